r"""Several processes, such as a signal and backgrounds, in one set of events.

.. math:: p(x | \theta) = \sum_c \mu_c(\theta) p_c(x | \theta) \, / \, \sum_c \mu_c(\theta)

with mu_c the expected number of events of a process. A mixture has a density only if all
its parts live on one manifold: densities on two manifolds are mutually singular, and
every event would be of the process whose manifold is a hair nearer. So the processes
share one chart, and each has a latent density of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.inference.blocks import Block, Layout, slices
from lfi_mflow.inference.experiment import EventSource
from lfi_mflow.inference.likelihood import check_events, sum_events
from lfi_mflow.inference.rates import Rate
from lfi_mflow.inference.sources import surrogate_events
from lfi_mflow.simulation import Array

__all__ = ["Process", "ProcessLikelihood", "mixture_events", "require_one_chart", "total_rate"]


@dataclass(frozen=True)
class Process:
    """A process that contributes events.

    Arguments:
        name: Its name, for messages.
        flow: Its density; the processes of a mixture share the chart.
        rate: Its expected number of events, of all parameters of the mixture.
        columns: Which of these parameters its flow knows, in the flow's order.
    """

    name: str
    flow: Flow
    rate: Rate
    columns: tuple[int, ...]


class ProcessLikelihood:
    """Log-likelihood of the shape of one set of events, or of D sets, under several processes.

    Arguments:
        processes: The processes.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events.
        max_elements: Pairs of event and theta that go through a flow at a time.

    Raises:
        InputError: If ``x`` has another shape.
        ModelMismatchError: If the processes do not share one chart.
    """

    def __init__(
        self, processes: Sequence[Process], x: Tensor, *, max_elements: int = 2**16
    ) -> None:
        require_one_chart(processes)
        self._processes, first = tuple(processes), processes[0].flow
        check_events(tuple(x.shape), first.data_dim)
        self._layout = Layout.of(tuple(x.shape), None, max_elements)
        flat = x.reshape(-1, x.shape[-1]).to(next(first.parameters()))
        with torch.no_grad():
            parts = [first.encode_events(flat[rows]) for rows in slices(len(flat), max_elements)]
        events = self._layout.events
        self._u = torch.cat([part.u for part in parts]).reshape(*events, -1)
        constant = torch.cat([part.log_constant for part in parts])
        self._constant = sum_events(constant.reshape(events))

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-likelihood in float64: (..., p) -> (...), or (D, ..., p) -> (D, ...)."""
        flat = self._layout.flatten(theta)
        with torch.set_grad_enabled(torch.is_grad_enabled() and theta.requires_grad):
            total = self._layout.add_up(self._terms, flat) + self._constant[:, None]
        return total.reshape(theta.shape[:-1])

    def _terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        u = self._u[block.sets, block.events].unsqueeze(1)
        rates = torch.stack([process.rate(theta) for process in self._processes])
        shares = rates.clamp_min(1e-300).log() - rates.sum(dim=0).clamp_min(1e-300).log()
        parts = [
            share.unsqueeze(-1).to(u)
            + process.flow.log_prob_latent(u, theta[..., list(process.columns)].unsqueeze(2).to(u))
            for share, process in zip(shares, self._processes, strict=True)
        ]
        return sum_events(torch.logsumexp(torch.stack(parts), dim=0))


def require_one_chart(processes: Sequence[Process]) -> None:
    """Check that densities of processes refer to one manifold.

    Raises:
        ModelMismatchError: If chart, standardisation or measure of two differ, or the chart
            depends on theta.
    """
    first = processes[0]
    for process in processes:
        if process.flow.conditional:
            raise ModelMismatchError(
                "processes on one manifold",
                f"a manifold of {process.name} that depends on theta",
                "train with conditional_chart = false",
            )
        if not _same_chart(first.flow, process.flow):
            raise ModelMismatchError(
                f"{process.name} on the chart of {first.name}",
                "another chart: densities on different manifolds cannot be mixed",
                "train it with: lfi-mflow train EVENTS --chart-of MODEL",
            )


def _same_chart(first: Flow, other: Flow) -> bool:
    """Whether chart, standardisation and measure of two flows are the same to the bit."""
    if first.reference != other.reference or (first.chart is None) != (other.chart is None):
        return False
    for name in ("standardisation", "chart"):
        parts = [getattr(flow, name) for flow in (first, other)]
        if parts[0] is None:
            continue
        left, right = (part.state_dict() for part in parts)
        if left.keys() != right.keys() or not all(
            left[key].shape == right[key].shape and torch.equal(left[key], right[key])
            for key in left
        ):
            return False
    return True


def total_rate(processes: Sequence[Process]) -> Rate:
    """Return the expected number of events of all processes together."""

    def rate(theta: Tensor) -> Tensor:
        return torch.stack([process.rate(theta) for process in processes]).sum(dim=0)

    return rate


def mixture_events(processes: Sequence[Process]) -> EventSource:
    """Return the source of events of a mixture: a process by its share, then its flow."""

    def draw(theta: Array, seed: int) -> tuple[Array, None]:
        rng = np.random.default_rng(seed)
        with torch.no_grad():
            rates = torch.stack([row.rate(torch.as_tensor(theta)) for row in processes]).numpy()
        edges = np.cumsum(rates, axis=0)
        chosen = (rng.random(len(theta)) * edges[-1] >= edges).sum(axis=0)
        x = np.empty((len(theta), processes[0].flow.data_dim))
        for index, process in enumerate(processes):
            rows = np.flatnonzero(chosen == index)
            if len(rows):
                point = theta[rows][:, list(process.columns)]
                x[rows] = surrogate_events(process.flow)(point, seed + 1 + index)[0]
        return x, None

    return draw
