"""The likelihood of a simulator that knows its likelihood ratio, but not its density.

log r(x | theta) = log p(x | theta) / p(x | reference) differs from the log-density by a
number of the event, which no fit, limit or posterior sees.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import InputError
from lfi_mflow.inference.blocks import Block, Layout
from lfi_mflow.inference.experiment import LikelihoodFactory
from lfi_mflow.inference.likelihood import SimulatorLikelihood, check_events
from lfi_mflow.simulation import HasLikelihood, HasLogRatio

__all__ = ["ExactRatioLikelihood", "exact_likelihood"]


class ExactRatioLikelihood:
    """Log-likelihood ratio of one set of events, or of D sets, by a simulator.

    Arguments:
        simulator: A simulator that knows its likelihood ratio.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events.
        reference: Parameters of the denominator, with shape (p,).
        max_elements: Pairs of event and theta per call of the simulator.

    Raises:
        InputError: If ``x`` has another shape, or a ratio is not a number.
    """

    def __init__(
        self,
        simulator: HasLogRatio,
        x: np.ndarray | Tensor,
        reference: Sequence[float],
        *,
        max_elements: int = 2**17,
    ) -> None:
        events = np.asarray(x, dtype=np.float64)
        check_events(events.shape, None)
        self._simulator = simulator
        self._reference = np.asarray(reference, dtype=float).reshape(1, -1)
        self._layout = Layout.of(events.shape, self._reference.shape[1], max_elements)
        self._x = events.reshape(*self._layout.events, -1)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-ratio in float64: (..., p) -> (...), or (D, ..., p) -> (D, ...)."""
        flat = self._layout.flatten(theta.detach()).to("cpu", torch.float64)
        total = self._layout.add_up(self._terms, flat)
        if total.isnan().any():
            raise InputError(
                "events with a likelihood ratio",
                "some that cannot be at any theta",
                "leave out events beyond the reach of the simulator",
            )
        return total.reshape(theta.shape[:-1]).to(theta.device)

    def _terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        x = self._x[block.sets, None, block.events]
        points = theta.numpy()[:, :, None, :]
        shape = (*theta.shape[:2], x.shape[2])
        terms = self._simulator.log_ratio(
            np.broadcast_to(x, (*shape, x.shape[-1])).reshape(-1, x.shape[-1]),
            np.broadcast_to(points, (*shape, points.shape[-1])).reshape(-1, points.shape[-1]),
            self._reference,
        )
        return torch.from_numpy(np.asarray(terms, dtype=np.float64).reshape(shape).sum(axis=-1))


def exact_likelihood(simulator: object, reference: Sequence[float]) -> LikelihoodFactory | None:
    """Return what makes exact likelihoods of events; None if the simulator knows none.

    Arguments:
        simulator: A simulator.
        reference: Parameters of the denominator, where only ratios are known, with shape (p,).
    """
    if isinstance(simulator, HasLikelihood):
        known = simulator
        return lambda x: SimulatorLikelihood(known, x)
    if isinstance(simulator, HasLogRatio):
        ratio = simulator
        return lambda x: ExactRatioLikelihood(ratio, x, reference)
    return None
