"""The exact likelihood of a set of events, by a simulator that knows it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import InputError
from lfi_mflow.inference.blocks import Block, Layout
from lfi_mflow.inference.experiment import LikelihoodFactory
from lfi_mflow.inference.likelihood import check_events
from lfi_mflow.simulation.contract import Array, HasLikelihood, HasLogRatio

__all__ = ["SimulatorLikelihood", "exact_likelihood"]


class SimulatorLikelihood:
    """Log-likelihood of one set of events, or of D sets, under a simulator's exact density.

    It is used wherever an :class:`EventSetLikelihood` is: with a grid it gives
    the exact posterior that closure tests compare with. Of a simulator that knows
    likelihood ratios only it is the log-likelihood up to a constant of the events,
    that of the parameters nearest to zero: a posterior does not notice.

    Arguments:
        simulator: A simulator that knows its likelihood, or likelihood ratio.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events.
        max_elements: Pairs of event and theta per call of the simulator.

    Raises:
        InputError: If the simulator has neither ``log_prob`` nor ``log_ratio``, ``x`` has
            another shape, or a call finds an event that cannot be at any theta.
    """

    def __init__(
        self,
        simulator: HasLikelihood | HasLogRatio,
        x: np.ndarray | Tensor,
        *,
        max_elements: int = 2**18,
    ) -> None:
        self._log_density = _exact_log_density(simulator)
        events = np.asarray(x, dtype=np.float64)
        observables = getattr(simulator, "observables", None)
        check_events(events.shape, None if observables is None else len(observables))
        parameters = getattr(simulator, "parameters", None)
        p = None if parameters is None else len(parameters)
        self._layout = Layout.of(events.shape, p, max_elements)
        self._x = events.reshape(*self._layout.events, -1)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-likelihood in float64: (..., p) -> (...), or (D, ..., p) -> (D, ...)."""
        flat = self._layout.flatten(theta.detach()).to("cpu", torch.float64)
        total = self._layout.add_up(self._terms, flat)
        if total.isnan().any():
            raise InputError(
                "events with a likelihood",
                "some that cannot be at any theta",
                "leave out events beyond the reach of the simulator",
            )
        return total.reshape(theta.shape[:-1]).to(theta.device)

    def _terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        x = self._x[block.sets, None, block.events]
        points = theta.numpy()[:, :, None, :]
        shape = (*theta.shape[:2], x.shape[2])
        terms = self._log_density(
            np.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1]),
            np.broadcast_to(points, (*shape, points.shape[-1])).reshape(-1, points.shape[-1]),
        )
        return torch.from_numpy(np.asarray(terms, dtype=np.float64).reshape(shape).sum(axis=-1))


def _exact_log_density(
    simulator: HasLikelihood | HasLogRatio,
) -> Callable[[Array, Array], Array]:
    """Return log p(x | theta) of a simulator, up to a number that depends on x only."""
    if isinstance(simulator, HasLikelihood):
        return simulator.log_prob
    if not isinstance(simulator, HasLogRatio):
        raise InputError(
            "a simulator that knows its likelihood, or likelihood ratio",
            f"{getattr(simulator, 'name', simulator)!r} without log_prob or log_ratio",
            "choose a test that needs no exact likelihood",
        )
    parameters = getattr(simulator, "parameters", ())
    reference = np.array([[np.clip(0.0, each.low, each.high) for each in parameters]])
    return lambda x, theta: simulator.log_ratio(x, theta, reference)


def exact_likelihood(simulator: object) -> LikelihoodFactory | None:
    """Return what makes exact likelihoods of events; None if the simulator knows none."""
    if isinstance(simulator, HasLikelihood | HasLogRatio):
        known = simulator
        return lambda x: SimulatorLikelihood(known, x)
    return None
