r"""Morphing: densities that are quadratic polynomials of the parameters.

Where an amplitude is linear in the couplings theta, every event contributes

    d sigma(theta) = sum_k c_k m_k(theta),   m = (1, theta_i, theta_i theta_j with i <= j),

to the cross-section. Its component weights c_k, and their sums sigma_k over all
events, give the exact likelihood ratio and score,

    p(x | theta) = sum_k c_k m_k(theta) / sum_k sigma_k m_k(theta),

and carry a sample from one theta to any other by new weights.

References:
    ATLAS collaboration, A morphing technique for signal modelling in a
    multidimensional space of coupling parameters, 2015, ATL-PHYS-PUB-2015-047.
    J. Brehmer, K. Cranmer, G. Louppe and J. Pavez, A guide to constraining
    effective field theories with machine learning, 2018, arXiv:1805.00020,
    section III.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.weights import WeightSummary

__all__ = [
    "Morphed",
    "component_log_ratio",
    "component_score",
    "monomials",
    "morph",
    "morphed_events",
    "morphing_powers",
    "warn_if_poor",
]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]  # as events hold them

_REMEDY = "simulate at a nearer theta or more events"


@dataclasses.dataclass(frozen=True)
class Morphed:
    """A sample that was carried to another theta.

    Arguments:
        events: The events with their new theta and weight; without the joint ratio
            and score, which belong to the theta that they were simulated at.
        effective_sample_size: (sum w)^2 / sum w^2 of the new weights.
    """

    events: Events
    effective_sample_size: float


def monomials(theta: Floats) -> Array:
    """Return 1, theta_i and theta_i theta_j with i <= j: (N, p) -> (N, (p+1)(p+2)/2)."""
    theta = np.asarray(theta, dtype=float)
    first, second = np.array(_pairs(theta.shape[1]), dtype=int).reshape(-1, 2).T
    products = theta[:, first] * theta[:, second]
    return np.concatenate([np.ones((len(theta), 1)), theta, products], axis=1)


def morphing_powers(p: int) -> NDArray[np.int64]:
    """Return the powers of theta in each monomial: ((p+1)(p+2)/2, p)."""
    unit = np.eye(p, dtype=np.int64)
    products = [unit[i] + unit[j] for i, j in _pairs(p)]
    return np.array([np.zeros(p, dtype=np.int64), *unit, *products]).reshape(-1, p)


def component_log_ratio(
    components: Floats, theta: Floats, reference: Floats, rates: Array
) -> Array:
    """Log-likelihood ratio of events from their component weights, with shape (N,).

    It is NaN for an event whose density is zero at both points.

    Arguments:
        components: Component weights in any units, with shape (N, C).
        theta: Parameters, with shape (N, p) or (1, p).
        reference: Parameters of the denominator, with shape (N, p) or (1, p).
        rates: Components sigma_k of the cross-section, with shape (C,).

    Raises:
        InputError: If theta or the reference has another number of parameters.
    """
    above, below = (_log_density(components, point, rates) for point in (theta, reference))
    with np.errstate(invalid="ignore"):
        return np.asarray(above - below)


def component_score(components: Floats, theta: Floats, rates: Array) -> Array:
    """Gradient of log p(x | theta) in theta from component weights, with shape (N, p).

    It is not finite for an event whose density is zero.

    Arguments:
        components: Component weights in any units, with shape (N, C).
        theta: Parameters, with shape (N, p) or (1, p).
        rates: Components sigma_k of the cross-section, with shape (C,).

    Raises:
        InputError: If theta has another number of parameters.
    """
    values, slopes = _checked_monomials(theta, rates), _slopes(np.asarray(theta, dtype=float))
    with np.errstate(divide="ignore", invalid="ignore"):
        event = np.einsum("nk,nkp->np", components, slopes) / _sum(components, values)[:, None]
    return np.asarray(event - np.einsum("k,nkp->np", rates, slopes) / (values @ rates)[:, None])


def morph(events: Events, theta: Floats, rates: Array) -> Morphed:
    """Carry a sample to another theta by weights.

    Each weight is multiplied by p(x | theta) / p(x | theta of the event). Where
    the sample holds few events of the region that theta prefers, a few of them
    get most of the weight, and the effective sample size says so.

    Arguments:
        events: The sample, with component weights.
        theta: The parameters to go to, with shape (p,).
        rates: Components sigma_k of the cross-section, with shape (C,).

    Warns:
        UserWarning: If the effective sample size is below 10 % of the events.

    Raises:
        DataError: If the events have no component weights, or the effective sample
            size is below 50.
        InputError: If theta is not finite or has another number of parameters.
    """
    moved = morphed_events(events, theta, rates)
    summary = WeightSummary.of([np.asarray(moved.weight)])
    warn_if_poor(summary, theta)
    return Morphed(moved, summary.effective_sample_size)


def morphed_events(events: Events, theta: Floats, rates: Array) -> Events:
    """Carry a part of a sample to another theta, whatever it is worth there.

    As :func:`morph`, for samples that are read block by block. Weights may be
    negative: signs are kept. An event that is impossible at both points gets the
    weight zero.

    Arguments:
        events: Events of the sample, with component weights.
        theta: The parameters to go to, with shape (p,).
        rates: Components sigma_k of the cross-section, with shape (C,).

    Raises:
        DataError: If the events have no component weights.
        InputError: If theta is not finite or has another number of parameters.
    """
    if events.components is None:
        raise DataError("events with component weights", "none", "simulate them with components")
    target = np.asarray(theta, dtype=float).reshape(1, -1)
    if not np.isfinite(target).all():
        raise InputError("finite parameters to morph to", f"{theta}", "correct them")
    there, here = (_density(events.components, point, rates) for point in (target, events.theta))
    ratio = np.divide(there, here, out=np.zeros_like(there), where=(here != 0.0) | (there != 0.0))
    return dataclasses.replace(
        events,
        theta=np.repeat(target, len(events), axis=0),
        weight=ratio if events.weight is None else events.weight * ratio,
        log_ratio=None,
        score=None,
    )


def warn_if_poor(summary: WeightSummary, theta: Floats) -> None:
    """Refuse a morphed sample that a few events dominate, and warn of a poor one.

    Warns:
        UserWarning: If the effective sample size is below 10 % of the events.

    Raises:
        DataError: If it is below 50, or the weights have no positive sum.
    """
    where = "(" + ", ".join(f"{value:g}" for value in np.ravel(theta)) + ")"
    remedy = _REMEDY if summary.total > 0.0 else "give events whose weights have a positive sum"
    summary.check(f"at theta = {where}", remedy)
    if summary.poor:
        size, n = summary.effective_sample_size, summary.n_events
        text = f"the sample morphed to theta = {where} is worth {size:.0f} of its {n} events"
        warnings.warn(f"{text}; {_REMEDY}", stacklevel=3)


def _log_density(components: Floats, theta: Floats, rates: Array) -> Array:
    """Log p(x | theta) up to a number that depends on the event only."""
    values = _checked_monomials(theta, rates)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(_sum(components, values)) - np.log(values @ rates))


def _density(components: Floats, theta: Floats, rates: Array) -> Array:
    """Return p(x | theta) up to a factor that depends on the event only; it may be negative."""
    values = _checked_monomials(theta, rates)
    return np.asarray(_sum(components, values) / (values @ rates))


def _checked_monomials(theta: Floats, rates: Array) -> Array:
    """Return the monomials of parameters that must be as many as the rates say."""
    theta = np.asarray(theta, dtype=float)
    p = math.isqrt(2 * len(rates)) - 1
    if theta.ndim != 2 or theta.shape[1] != p:
        raise InputError(f"theta of shape (N, {p})", f"shape {theta.shape}", "one column each")
    return monomials(theta)


def _sum(components: Floats, values: Array) -> Array:
    """Sum over components; one row of values serves all events."""
    if len(values) == 1:
        return np.asarray(components @ values[0])
    return np.asarray(np.einsum("nk,nk->n", components, values))


def _slopes(theta: Floats) -> Array:
    """Gradients of the monomials, with shape (N, C, p)."""
    n, p = theta.shape
    slopes = np.zeros((n, (p + 1) * (p + 2) // 2, p))
    slopes[:, 1 : p + 1] = np.eye(p)
    for k, (i, j) in enumerate(_pairs(p), start=p + 1):
        slopes[:, k, i] += theta[:, j]
        slopes[:, k, j] += theta[:, i]
    return slopes


def _pairs(p: int) -> list[tuple[int, int]]:
    """Pairs i <= j in the order 11, 12, .., 22, 23, .."""
    return list(itertools.combinations_with_replacement(range(p), 2))
