"""Are observed events on the manifold that the simulator produced?

The likelihood is that of the events' projections: it does not notice how far an
event was from the manifold. The distances of the observed events are therefore
compared with those of validation events that the model has not been trained on.

Each distance becomes a tail probability p_i under the reference. If all is well
they are uniform. The test statistic is the smallest, over ranks k, of the
probability that k or more of N events have a tail probability below the k-th
smallest that was seen: k = 1 looks for one outlier (it is Sidak's test of the
smallest p_i), small k for a few among many, k near N for a shift of all of them.
Only too large distances count. Its distribution under the null hypothesis does
not depend on that of the distances, and is simulated.

References:
    | Goodness-of-fit test statistics that dominate the Kolmogorov statistics
      (Berk & Jones, 1979)
    | Higher criticism for detecting sparse heterogeneous mixtures
      (Donoho & Jin, 2004), for few among many
    | Controlling the false discovery rate (Benjamini & Hochberg, 1995), for the
      list of events
    | Parameter and quantile estimation for the generalized Pareto distribution
      (Hosking & Wallis, 1987), for the tail
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betainc

from lfi_mflow.errors import DataError

__all__ = [
    "lie_off_manifold",
    "off_manifold_events",
    "off_manifold_p_value",
    "reference_size",
    "tail_probabilities",
]

Array = NDArray[np.float64]

_LEVEL = 0.01  # of the warning
_MATERIAL_RATIO = 2.0
_BLOCK = 2**16
_TAIL_LEVEL = 0.95  # a generalised Pareto distribution is fitted above this quantile,
_TAIL_START = 0.99  # and used above this one
_SIMULATIONS = 9_999
_SEED = 20_08  # of the null distribution: the same data give the same p-value


def off_manifold_p_value(
    distances: ArrayLike, reference_quantiles: ArrayLike, n_reference: int | None = None
) -> float:
    """Test whether observed distances are no larger than those of the reference.

    Arguments:
        distances: Distances of the observed events to the manifold, with shape (N,).
        reference_quantiles: Quantiles of the distances of validation events at
            evenly spaced levels from 0 to 1, with shape (Q,).
        n_reference: Number of validation events, whose fluctuations are then
            allowed for: it matters where N is not much smaller. None for
            quantiles that are known exactly.

    Returns:
        p-value, uniform under the null hypothesis (larger where distances are
        tied at zero); small when events are off the manifold. The smallest
        possible value is 1e-4.

    Raises:
        DataError: If there are no distances, or some are NaN or negative.
    """
    p = np.sort(tail_probabilities(distances, reference_quantiles))
    observed = _statistic(p[_ranks(len(p)) - 1][None], len(p))[0]
    null = _null_statistics(len(p), n_reference)
    return float((1 + np.searchsorted(null, observed, side="right")) / (1 + len(null)))


def reference_size(training: Mapping[str, Any]) -> int | None:
    """Return the effective number of the events behind the quantiles of a model.

    Arguments:
        training: What a model file says of its training.
    """
    size = training.get("n_reference", training.get("n_validation"))
    return None if size is None else int(size)


def off_manifold_events(
    distances: ArrayLike, reference_quantiles: ArrayLike, level: float = 0.01
) -> NDArray[np.intp]:
    """Name the events that are off the manifold.

    Arguments:
        distances: Distances of the observed events to the manifold, with shape (N,).
        reference_quantiles: As for :func:`off_manifold_p_value`.
        level: Expected share of false ones among the events that are named.

    Returns:
        Indices of the events, the farthest first.

    Raises:
        DataError: If there are no distances, or some are NaN or negative.
    """
    p = tail_probabilities(distances, reference_quantiles)
    candidates = np.flatnonzero(p <= level)  # the others cannot pass, and may be very many
    far = np.asarray(distances, dtype=np.float64)[candidates]
    order = candidates[np.lexsort((-far, p[candidates]))]
    passed = np.flatnonzero(p[order] <= level * np.arange(1, len(order) + 1) / len(p))
    return order[: passed[-1] + 1] if len(passed) else order[:0]


def lie_off_manifold(summary: Mapping[str, Any]) -> bool:
    """Say whether observed events lie off the manifold by so much that it matters.

    The reference mixes all parameters, and distances may depend on them a little:
    among thousands of events the p-value alone would see that. So there must also
    be events that stand out, or distances that are twice as large.

    Arguments:
        summary: As ``Posterior.summary()`` gives it.
    """
    p_value = summary.get("off_manifold_p_value")
    if p_value is None or p_value >= _LEVEL:
        return False
    ratio = summary.get("distance_ratio")
    return bool(summary.get("off_manifold_events")) or ratio is None or ratio > _MATERIAL_RATIO


def tail_probabilities(distances: ArrayLike, reference_quantiles: ArrayLike) -> Array:
    """Probability of a reference distance at least as large, for each distance.

    Between quantiles it is interpolated. The last per cent, and what lies beyond
    all of the reference, follows a generalised Pareto distribution: among many
    events, one that is far out has to be told from one that is merely the largest.

    Arguments:
        distances: Distances, with shape (N,).
        reference_quantiles: As for :func:`off_manifold_p_value`.

    Returns:
        Probabilities, with shape (N,).

    Raises:
        DataError: If there are no distances, or some are NaN or negative.
    """
    values = _check("distances", distances, 1)
    quantiles = np.sort(_check("reference quantiles", reference_quantiles, 101))
    p = np.empty_like(values)
    for start in range(0, len(values), _BLOCK):  # millions of events need no copies of themselves
        block = slice(start, start + _BLOCK)
        p[block] = _block_tail_probabilities(values[block], quantiles)
    return p


def _block_tail_probabilities(values: Array, quantiles: Array) -> Array:
    """Tail probabilities of a block of distances."""
    levels = np.linspace(0.0, 1.0, len(quantiles))
    # The first of tied quantiles: a distance that equals them is at least as large as all.
    upper = np.searchsorted(quantiles, values, side="left")
    inside = np.clip(upper, 1, len(quantiles) - 1)
    below, above = quantiles[inside - 1], quantiles[inside]
    width = np.where(above > below, above - below, 1.0)
    level = levels[inside - 1] + (values - below) / width * (levels[1] - levels[0])
    p = np.where(upper == 0, 1.0, 1.0 - np.clip(level, 0.0, 1.0))
    start = float(np.interp(_TAIL_START, levels, quantiles))
    return np.where(values > start, _tail(values, start, quantiles, levels), p)


def _tail(values: Array, start: float, quantiles: Array, levels: Array) -> Array:
    """Tail probabilities of distances above ``start`` by a generalised Pareto distribution."""
    threshold = float(np.interp(_TAIL_LEVEL, levels, quantiles))
    # Probability-weighted moments of the excess, by the trapezoid rule over its quantiles.
    conditional = np.linspace(0.0, 1.0, 201)
    excess = (
        np.interp(_TAIL_LEVEL + (1.0 - _TAIL_LEVEL) * conditional, levels, quantiles) - threshold
    )
    first = np.trapezoid(excess, conditional)
    second = np.trapezoid(excess * (1.0 - conditional), conditional)
    tiny = np.finfo(float).tiny
    # An exponential tail at least: a bounded one would call any excess impossible.
    shape = max(0.0, 2.0 - first / max(first - 2.0 * second, tiny)) if first > 0 else 0.0
    scale = max(first * (1.0 - shape) + shape * (start - threshold), tiny)
    pull = np.maximum(values - start, 0.0) / scale
    log_p = -pull if shape < 1e-6 else -np.log1p(shape * pull) / shape
    return np.asarray((1.0 - _TAIL_START) * np.exp(log_p))


def _ranks(n: int) -> NDArray[np.intp]:
    """Ranks that are looked at: all small ones, then evenly spaced in their logarithm."""
    steps = np.geomspace(1, n, num=min(n, 40)).round().astype(np.intp)
    return np.unique(steps)


def _statistic(p: Array, n: int) -> Array:
    """Smallest probability over the ranks: sorted p at the ranks, (S, K) -> (S,)."""
    ranks = _ranks(n)
    return np.asarray(betainc(ranks, n - ranks + 1, p).min(axis=1))


@lru_cache(maxsize=8)
def _null_statistics(n: int, n_reference: int | None) -> Array:
    """Sorted statistics of events that are on the manifold."""
    rng = np.random.default_rng(_SEED)
    steps = np.diff(_ranks(n), prepend=0, append=n + 1)
    p = _ordered_uniforms(np.broadcast_to(steps, (_SIMULATIONS, len(steps))), rng)
    if n_reference is not None:
        p = _blur(p, n_reference, rng)
    return np.sort(_statistic(np.clip(p, 0.0, 1.0), n))


def _blur(p: Array, n_reference: int, rng: np.random.Generator) -> Array:
    """Let true tail probabilities fluctuate as a finite reference makes them: (S, K) -> (S, K).

    Where the reference is counted, its shares fluctuate as ordered uniforms do.
    Below, its fitted tail is off by a share of the logarithm.
    """
    counted = np.maximum(p, 1.0 - _TAIL_START)
    gaps = np.diff(counted, axis=1, prepend=0.0, append=1.0)
    shares = _ordered_uniforms(np.maximum(gaps * (n_reference + 1), 1e-12), rng)
    error = np.sqrt(2.0 / ((1.0 - _TAIL_LEVEL) * n_reference))
    power = 1.0 + error * rng.standard_normal((len(p), 1))
    return np.asarray(shares * (p / counted) ** power)


def _ordered_uniforms(steps: Array, rng: np.random.Generator) -> Array:
    """Ordered uniform numbers from gamma distributed gaps: steps (S, K + 1) -> (S, K)."""
    sums = np.cumsum(rng.standard_gamma(steps), axis=1)
    return np.asarray(sums[:, :-1] / sums[:, -1:])


def _check(name: str, values: ArrayLike, least: int) -> Array:
    """Return distances as an array, or say what is wrong with them."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) < least:
        raise DataError(f"{name} of shape (N,), N >= {least}", f"shape {array.shape}", "give more")
    bad = np.flatnonzero(~np.isfinite(array) | (array < 0))
    if len(bad):
        raise DataError(
            f"finite {name} of at least zero",
            f"{len(bad)} others, the first {array[bad[0]]:g} at index {bad[0]}",
            "check the events in these rows",
        )
    return array
