r"""The metrics of the M-flow paper, and the error of the density.

Each takes arrays and returns an :class:`Estimate`. Distances are clipped at 10
as in the paper, so that one lost event cannot decide a mean.

References:
    Flows for simultaneous manifold learning and density estimation (Brehmer &
    Cranmer, 2020), https://arxiv.org/abs/2003.13913, section 4 and appendix.
    A kernel two-sample test (Gretton et al., 2012), for MMD.
    Comparing the areas under two or more correlated receiver operating
    characteristic curves (DeLong, DeLong & Clarke-Pearson, 1988), for the
    uncertainty of the AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError

__all__ = [
    "Array",
    "Estimate",
    "log_density_error",
    "manifold_distance",
    "median_distance",
    "ood_auc",
    "posterior_mmd2",
    "reconstruction_error",
]

Array = NDArray[np.float64]

CLIP = 10.0
"""Distances beyond this count as this, in the units of the observables."""

_CHUNK = 64
_BANDWIDTH_ROWS = 2_000


@dataclass(frozen=True)
class Estimate:
    """A number and its standard error (None if unknown)."""

    value: float
    uncertainty: float | None


def mean_estimate(values: Array) -> Estimate:
    """Mean and standard error of the mean of independent values, with shape (N,)."""
    if len(values) < 2:
        return Estimate(float(np.mean(values)), None)
    return Estimate(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))


def manifold_distance(distance: Array) -> Estimate:
    """Mean distance of the model's samples to the true manifold.

    Arguments:
        distance: Distances of events drawn from the model, with shape (N,); a
            sample that is not finite counts as ``CLIP``.
    """
    return mean_estimate(_clipped(distance))


def reconstruction_error(x: Array, projected: Array) -> Estimate:
    """Mean Euclidean distance of test events to their projection on the learned manifold.

    Arguments:
        x: Test events, with shape (N, d).
        projected: Their projections by the model, with shape (N, d).
    """
    _same_shape(x, projected, "projected events")
    return mean_estimate(_clipped(np.linalg.norm(x - projected, axis=-1)))


def log_density_error(model: Array, exact: Array) -> Estimate:
    """Mean absolute difference of two log-densities of the same events, in nats.

    Both refer to the same measure. Differences that are not finite (an event
    that the model holds impossible) make the value infinite.

    Arguments:
        model: Log-density by the model, with shape (N,).
        exact: Exact log-density, with shape (N,).
    """
    _same_shape(model, exact, "exact log-densities")
    difference = np.abs(model - exact)
    if not np.all(np.isfinite(difference)):
        return Estimate(np.inf, None)
    return mean_estimate(difference)


def posterior_mmd2(model: Array, exact: Array) -> float:
    r"""Unbiased squared maximum mean discrepancy between two sets of posterior samples.

    .. math:: \overline{k(a, a')} + \overline{k(b, b')} - 2\,\overline{k(a, b)},
        \quad k(a, b) = \exp(-\|a - b\|^2 / 2 h^2)

    without the diagonal, with the median distance between samples of the exact
    posterior as bandwidth h. It can be slightly negative.

    Arguments:
        model: Samples of the model's posterior, with shape (M, p).
        exact: Samples of the exact posterior, with shape (L, p).

    Raises:
        DataError: If the samples are of different dimension, or fewer than two.
    """
    if model.shape[1:] != exact.shape[1:] or min(len(model), len(exact)) < 2:
        raise DataError(
            "two sets of two or more samples of the same dimension",
            f"shapes {model.shape} and {exact.shape}",
            "give (M, p) and (L, p)",
        )
    # Centred in float64 first: the kernel is summed in float32, where a narrow
    # posterior far from zero would have no digits left.
    scale = 1.0 / (np.sqrt(2.0) * median_distance(exact))
    centre = np.median(exact, axis=0)
    a, b = (model - centre) * scale, (exact - centre) * scale
    return _pair_mean(a, a) + _pair_mean(b, b) - 2.0 * _kernel_sum(a, b) / (len(a) * len(b))


def median_distance(samples: Array) -> float:
    """Median distance between samples, with shape (N, p).

    The first 2,000 are enough: two million pairs fix the median to a per mille.
    """
    rows = samples[:_BANDWIDTH_ROWS]
    first, second = np.triu_indices(len(rows), k=1)
    median = float(np.median(np.linalg.norm(rows[first] - rows[second], axis=-1)))
    if not median > 0:
        raise DataError(
            "posterior samples that differ", f"a median distance of {median}", "check the sampler"
        )
    return median


def ood_auc(inside: Array, outside: Array) -> Estimate:
    """Area under the ROC curve of a score that should be larger off the manifold.

    The probability that a random event off the manifold scores higher than a
    random event on it; ties count one half.

    Arguments:
        inside: Scores of events on the manifold, with shape (N,).
        outside: Scores of events off the manifold, with shape (M,). A score that
            is NaN counts as the largest: the model rejects the event.
    """
    inside, outside = (np.where(np.isnan(score), np.inf, score) for score in (inside, outside))
    above = _fraction_below(outside, inside)
    below = 1.0 - _fraction_below(inside, outside)
    variance = np.var(above) / len(outside) + np.var(below) / len(inside)
    return Estimate(float(np.mean(above)), float(np.sqrt(variance)))


def _fraction_below(values: Array, reference: Array) -> Array:
    """For each value, the fraction of the reference below it; ties count one half."""
    ordered = np.sort(reference)
    left = np.searchsorted(ordered, values, side="left")
    right = np.searchsorted(ordered, values, side="right")
    return 0.5 * (left + right) / len(reference)


def _clipped(distance: Array) -> Array:
    """Distances cut at ``CLIP``; what is not a number counts as ``CLIP``."""
    return np.minimum(np.where(np.isfinite(distance), np.abs(distance), CLIP), CLIP)


def _pair_mean(a: Array, b: Array) -> float:
    """Mean kernel over different pairs within one set."""
    n = len(a)
    return (_kernel_sum(a, b) - n) / (n * (n - 1))


def _kernel_sum(a: Array, b: Array) -> float:
    """Sum of exp(-|a_i - b_j|^2) over all pairs, in blocks of rows that fit the cache.

    Differences, not the expanded square: that would lose the digits that an
    MMD of 1e-4 needs. float32 within a row block, float64 across them.
    """
    total = 0.0
    columns = np.ascontiguousarray(b.T, dtype=np.float32)
    work = np.empty((_CHUNK, len(b)), dtype=np.float32)
    for start in range(0, len(a), _CHUNK):
        rows = a[start : start + _CHUNK].astype(np.float32)
        squared = np.zeros((len(rows), len(b)), dtype=np.float32)
        difference = work[: len(rows)]
        for axis, column in enumerate(columns):
            np.subtract(rows[:, axis, None], column, out=difference)
            np.multiply(difference, difference, out=difference)
            squared -= difference
        total += float(np.exp(squared, out=squared).sum(axis=1).astype(np.float64).sum())
    return total


def _same_shape(first: Array, second: Array, what: str) -> None:
    """Refuse to compare rows that do not belong together."""
    if first.shape != second.shape:
        raise DataError(f"{what} of shape {first.shape}", f"{second.shape}", "give the same events")
