"""A few numbers per event that hold what it tells about theta.

The log-likelihood ratio of two parameter points orders events as well as anything can
that tells one point from the other (Neyman and Pearson); the score, the gradient of the
log-likelihood, is a sufficient statistic near the point where it is taken. Histograms
of them lose little, and they are what :mod:`lfi_mflow.inference.histograms` hands to
binned fits. The chart and its volume term do not depend on theta and drop out: only the
n-dimensional latent density is evaluated. Of a ratio estimator the denominator drops out.

References:
    | Constraining effective field theories with machine learning (Brehmer et al., 2018)
    | https://arxiv.org/abs/1805.00013
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.ratio import RatioEstimator

__all__ = ["event_log_ratios", "event_scores"]

_BATCH = 8192


def event_log_ratios(
    flow: Flow, x: ArrayLike, theta: ArrayLike, reference: ArrayLike
) -> NDArray[np.float64]:
    """Return log p(x | theta) - log p(x | reference) of each event, with shape (N,).

    Arguments:
        flow: A trained flow or ratio estimator.
        x: Events, with shape (N, d).
        theta: Parameters of the numerator, with shape (p,).
        reference: Parameters of the denominator, with shape (p,).

    Raises:
        InputError: If a shape does not fit the flow.
        DataError: If a ratio is not a number, as of an event with NaN.
    """
    points = [_point(flow, values) for values in (theta, reference)]
    log_prob = _theta_part(flow)

    def ratio(u: Tensor) -> Tensor:
        with torch.no_grad():
            above, below = (log_prob(u, point) for point in points)
            return above.double() - below.double()

    return _per_event(flow, x, ratio)


def event_scores(flow: Flow, x: ArrayLike, theta: ArrayLike) -> NDArray[np.float64]:
    """Return the gradient of log p(x | theta) by theta of each event, with shape (N, p).

    Arguments:
        flow: A trained flow or ratio estimator.
        x: Events, with shape (N, d).
        theta: The parameters at which it is taken, with shape (p,).

    Raises:
        InputError: If a shape does not fit the flow.
        DataError: If a score is not a number, as of an event with NaN.
    """
    point = _point(flow, theta)
    log_prob = _theta_part(flow)

    def score(u: Tensor) -> Tensor:
        # One theta per event: the gradient of the sum then holds the score of each.
        each = point.expand(len(u), -1).clone().requires_grad_()
        with torch.enable_grad():
            total = log_prob(u, each).sum()
        return torch.autograd.grad(total, each)[0].double()

    return _per_event(flow, x, score)


def _theta_part(flow: Flow) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the part of the log-density or log-ratio that depends on theta."""
    if isinstance(flow, RatioEstimator):
        return flow.log_ratio_standardised
    return flow.log_prob_latent


def _per_event(
    flow: Flow, x: ArrayLike, function: Callable[[Tensor], Tensor]
) -> NDArray[np.float64]:
    """Apply a function of latents, or of what a ratio estimator has, to events by batches."""
    events = np.asarray(x, dtype=np.float64)
    if events.ndim != 2 or events.shape[1] != flow.data_dim or not len(events):
        raise InputError(
            f"events of shape (N, {flow.data_dim})", f"shape {events.shape}", "one column each"
        )
    like = next(flow.parameters())
    encode = flow.standardise_events if isinstance(flow, RatioEstimator) else flow.latents
    parts = []
    for start in range(0, len(events), _BATCH):
        with torch.no_grad():
            u = encode(torch.tensor(events[start : start + _BATCH]).to(like))
        parts.append(function(u).cpu().numpy())
    values = np.concatenate(parts)
    bad = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if len(bad):
        raise DataError(
            "events that the flow can evaluate at these parameters",
            f"{len(bad)} of {len(values)} without a finite result, the first in row {bad[0]}",
            "check these rows, and that theta is inside the training range",
        )
    return values


def _point(flow: Flow, values: ArrayLike) -> Tensor:
    """Return a parameter point on the device and in the precision of the flow."""
    point = np.asarray(values, dtype=np.float64)
    if point.shape != (flow.theta_dim,) or not flow.theta_dim:
        raise InputError(
            f"theta of shape ({flow.theta_dim},), of a flow with parameters",
            f"shape {point.shape}",
            "give one value per parameter",
        )
    return torch.tensor(point).to(next(flow.parameters()))
