r"""The likelihood ratio of a set of events as a function of theta, by a ratio estimator.

For N events that share theta, log r(theta) = sum_i log r(x_i | theta). Its denominator is a
constant, so that it has the posteriors and the ratios of two parameter points of the
likelihood, and serves wherever an :class:`lfi_mflow.inference.EventSetLikelihood` does. Its
value is no density: there is nothing to compare it with but itself at another theta.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lfi_mflow.errors import DataError, ModelMismatchError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.ratio import RatioEstimator
from lfi_mflow.inference.blocks import Block, Layout, slices
from lfi_mflow.inference.likelihood import DEFAULT_MAX_ELEMENTS, check_events, sum_events

__all__ = ["RatioLikelihood"]


class RatioLikelihood:
    """Log-likelihood ratio of one set of events, or of D sets at once, to the denominator.

    Arguments:
        flow: A ratio estimator, in evaluation mode.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events, in the
            precision and on the device of the estimator.
        max_elements: Pairs of event and theta that go through the network at a time.

    Raises:
        ModelMismatchError: If the model is no ratio estimator.
        InputError: If ``x`` has another shape.
        DataError: If an event is not finite.

    Example:
        >>> ratio = RatioLikelihood(flow, x)  # doctest: +SKIP
        >>> ratio(torch.zeros(100, 1)).shape  # doctest: +SKIP
        torch.Size([100])
    """

    def __init__(self, flow: Flow, x: Tensor, *, max_elements: int = DEFAULT_MAX_ELEMENTS) -> None:
        if not isinstance(flow, RatioEstimator):
            raise ModelMismatchError(
                "a ratio estimator",
                f"a model with a density of its own ({type(flow).__name__})",
                "use lfi_mflow.inference.likelihood_of, which takes either",
            )
        check_events(tuple(x.shape), flow.data_dim)
        self._flow = flow
        self._layout = Layout.of(tuple(x.shape), flow.theta_dim, max_elements)
        self._z = _standardise(flow, x, max_elements).reshape(*self._layout.events, -1)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-ratio in float64; differentiable in theta.

        Arguments:
            theta: Parameters, with shape (..., p), or (D, ..., p) for D sets.

        Raises:
            InputError: If theta has another shape.
        """
        flat = self._layout.flatten(theta).to(self._z)
        with torch.set_grad_enabled(torch.is_grad_enabled() and theta.requires_grad):
            total = self._layout.add_up(self._terms, flat)
        return total.reshape(theta.shape[:-1]).to(theta.device)

    def _terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        z = self._z[block.sets, block.events].unsqueeze(1)
        return sum_events(self._flow.log_ratio_standardised(z, theta.unsqueeze(2)))


def _standardise(flow: RatioEstimator, x: Tensor, rows: int) -> Tensor:
    """Standardise events once, block by block, and refuse those that are not finite."""
    flat = x.reshape(-1, x.shape[-1])
    with torch.no_grad():
        z = torch.cat([flow.standardise_events(flat[part]) for part in slices(len(flat), rows)])
    bad = torch.nonzero(~torch.isfinite(z).all(-1))
    if len(bad):
        raise DataError(
            "finite events",
            f"{len(bad)} of {len(flat)} with NaN or infinite values, the first in row "
            f"{int(bad[0, 0])}",
            "check these rows",
        )
    return z
