"""The likelihood of events when the manifold itself depends on theta.

Then nothing of an event can be computed before theta is known, and every point of a
posterior costs the encoder and the volume of every event again. Worse: densities on
different manifolds are mutually singular. At two parameter points the projections of
an event are different points, and the ratio of their densities is not the likelihood
ratio of anything. It has to be asked for by name.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.ratio import RatioEstimator
from lfi_mflow.inference.blocks import Block, Layout
from lfi_mflow.inference.likelihood import EventSetLikelihood, check_events, sum_events
from lfi_mflow.inference.ratios import RatioLikelihood

__all__ = ["MovingManifoldLikelihood", "has_likelihood_ratio", "likelihood_of"]

_MAX_ELEMENTS = 2**13
"""Pairs of event and theta per call, each of which needs a Jacobian."""


class MovingManifoldLikelihood:
    """Log-likelihood of one set of events, or of D sets, under a flow with a conditional chart.

    Arguments:
        flow: The flow, in evaluation mode.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events.
        max_elements: Pairs of event and theta that go through the flow at a time.

    Raises:
        InputError: If ``x`` has another shape.
        ModelMismatchError: If the model has no density.
    """

    def __init__(self, flow: Flow, x: Tensor, *, max_elements: int = _MAX_ELEMENTS) -> None:
        check_events(tuple(x.shape), flow.data_dim)
        if "log_prob" in flow.lacks:
            raise flow.missing("log_prob")
        self._flow = flow
        self._layout = Layout.of(tuple(x.shape), flow.theta_dim, max_elements)
        self._x = x.reshape(*self._layout.events, -1)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the log-likelihood in float64: (..., p) -> (...), or (D, ..., p) -> (D, ...)."""
        flat = self._layout.flatten(theta).to(self._x)
        with torch.set_grad_enabled(torch.is_grad_enabled() and theta.requires_grad):
            total = self._layout.add_up(self._terms, flat)
        return total.reshape(theta.shape[:-1]).to(theta.device)

    def _terms(self, block: Block, theta: Tensor) -> Tensor:
        """Sum of the terms of a block: theta (D', T', p) -> (D', T')."""
        x = self._x[block.sets, None, block.events]
        shape = (*theta.shape[:2], x.shape[2])
        pairs = x.expand(*shape, -1).flatten(0, 2), theta.unsqueeze(2).expand(*shape, -1)
        terms = self._flow.log_prob(pairs[0], pairs[1].flatten(0, 2))
        return sum_events(terms.reshape(shape))


def has_likelihood_ratio(flow: Flow) -> bool:
    """Say whether densities of a flow at different parameters refer to one measure."""
    return not (flow.conditional and flow.reference != "lebesgue")


def likelihood_of(
    flow: Flow,
    x: Tensor,
    *,
    known: Mapping[int, Tensor] | None = None,
    moving_manifold: bool = False,
) -> EventSetLikelihood | MovingManifoldLikelihood | RatioLikelihood:
    """Return the log-likelihood of events as a function of theta, whatever the model.

    That of a ratio estimator is relative to its denominator.

    Arguments:
        flow: The flow or ratio estimator, in evaluation mode.
        x: Events, with shape (N, d), or (D, N, d) for D sets of N events.
        known: Parameters that are known for each event; see :class:`EventSetLikelihood`.
        moving_manifold: Compare densities on different manifolds all the same.

    Raises:
        ModelMismatchError: If the manifold depends on theta and that is not asked for, or
            the model has no density, or parameters are known and the chart depends on them.
        InputError: If ``x`` or ``known`` has another shape.
        DataError: If an event cannot be encoded (NaN or infinite).
    """
    if isinstance(flow, RatioEstimator):
        if known:
            raise ModelMismatchError(
                "a flow, to know parameters of each event",
                "a ratio estimator",
                "train a model with a density",
            )
        return RatioLikelihood(flow, x)
    if not flow.conditional:
        return EventSetLikelihood(flow, x, known=known)
    if known:
        raise ModelMismatchError(
            "a manifold that does not depend on theta, to know parameters of each event",
            "a conditional chart",
            "train with conditional_chart = false",
        )
    if not (has_likelihood_ratio(flow) or moving_manifold):
        raise ModelMismatchError(
            "a manifold that does not depend on theta",
            "a conditional chart: densities on different manifolds have no likelihood ratio",
            "train with conditional_chart = false, estimate the ratio itself (--model nre-c), or "
            "say --moving-manifold (moving_manifold=True) to compare them all the same",
        )
    return MovingManifoldLikelihood(flow, x)
