r"""Does the residual know theta? Do true events look as if they were on the manifold?

The likelihood is that of the projections of events; what an event was off the
manifold is thrown away. That loses nothing if, given the projection u, the
distance v to the manifold does not depend on theta. Events are paired with a
neighbour in u; where the null hypothesis holds, which of the two distances belongs
to which theta is a toss of a coin, so the differences of distance (by rank) and of
theta within the pairs must not be correlated. Exchanging them at random gives the
null distribution, exact as far as the two projections are the same.

A dependence on theta through u alone is no loss, but it makes the p-value that
compares observed distances with those of all theta together wrong: sets of events
simulated at one theta show by how much.

References:
    Kernel-based conditional independence test and application in causal discovery
    (Zhang et al., 2011), https://arxiv.org/abs/1202.3775, for the question
    A permutation-based kernel conditional independence test (Doran et al., 2014),
    for permuting among neighbours
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.spatial import KDTree

from lfi_mflow.closure.published import Array
from lfi_mflow.closure.sbc import Integers
from lfi_mflow.errors import DataError
from lfi_mflow.inference.off_manifold import off_manifold_p_value

__all__ = ["distance_theta_dependence", "off_manifold_p_values", "too_small"]

_EXCHANGES = 999
_NEIGHBOURS = 8


def distance_theta_dependence(
    distance: Array, theta: Array, u: Array, rng: np.random.Generator
) -> float:
    """P-value of the independence of distance and theta, given the projection.

    Arguments:
        distance: Distances of events to the learned manifold, with shape (N,).
        theta: Parameters of each event, drawn from the prior, with shape (N, p).
        u: Latents of the events, with shape (N, n).
        rng: Exchanges the pairs.

    Returns:
        Smallest p-value of the correlations with each parameter and with its
        square (a residual that grows to both ends), times their number (Bonferroni).

    Raises:
        DataError: If the shapes do not belong together, or there are fewer than 20.
    """
    n = len(distance)
    if distance.shape != (n,) or n < 20 or len(theta) != n or len(u) != n:
        raise DataError(
            "distances (N,), theta (N, p) and latents (N, n) of N >= 20 events",
            f"shapes {distance.shape}, {theta.shape} and {u.shape}",
            "give the same events",
        )
    first, second = _pairs(u)
    ranks = stats.rankdata(distance) / n
    centred = theta - theta.mean(axis=0)
    features = np.concatenate([centred, centred**2], axis=1)
    change = (ranks[first] - ranks[second])[:, None] * (features[first] - features[second])
    signs = rng.choice([-1.0, 1.0], size=(_EXCHANGES, len(change)))
    observed, null = np.abs(change.sum(axis=0)), np.abs(signs @ change)
    p_values = (1 + np.sum(null >= observed * (1 - 1e-12), axis=0)) / (1 + _EXCHANGES)
    return min(1.0, float(len(p_values) * p_values.min()))


def off_manifold_p_values(
    distances: Array, reference_quantiles: ArrayLike, n_reference: int | None = None
) -> Array:
    """Off-manifold p-values of D sets of N events: (D, N) -> (D,).

    Arguments:
        distances: Distances of the events of each set, with shape (D, N).
        reference_quantiles: As for :func:`lfi_mflow.inference.off_manifold_p_value`.
        n_reference: Number of events that the quantiles were taken from.
    """
    return np.array(
        [off_manifold_p_value(row, reference_quantiles, n_reference) for row in distances]
    )


def too_small(p_values: Array) -> float:
    """Test whether p-values are smaller than they should be, by Kolmogorov and Smirnov.

    Ties at zero distance make p-values larger than uniform; that is no fault.

    Arguments:
        p_values: Independent p-values, with shape (D,).
    """
    return float(stats.kstest(p_values, "uniform", alternative="greater").pvalue)


def _pairs(u: Array) -> tuple[Integers, Integers]:
    """Pair events with a near neighbour, nearest pairs first; each event once at most."""
    spread = u.std(axis=0)
    points = u / np.where(spread > 0, spread, 1.0)
    gaps, neighbours = KDTree(points).query(points, k=_NEIGHBOURS + 1)
    candidates: Sequence[int] = np.argsort(gaps[:, 1:], axis=None, kind="stable").tolist()
    free = np.ones(len(u), dtype=bool)
    pairs = []
    for candidate in candidates:
        row, column = divmod(candidate, _NEIGHBOURS)
        other = int(neighbours[row, column + 1])
        if other != row and free[row] and free[other]:
            free[[row, other]] = False
            pairs.append((row, other))
    first, second = np.array(pairs).T
    return first, second
