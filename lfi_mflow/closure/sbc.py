r"""Simulation-based calibration over sets of events.

Draw theta from the prior, simulate a set of events, draw from its posterior: if
the posterior is right, the rank of theta among the draws is uniform. A narrow
posterior gives too many extreme ranks, a wide one too few, a shifted one a
slope. The ranks are tested by their empirical distribution function with a
simultaneous band, which has no bins to choose.

At thresholds t the number of ranks below t is binomial; the statistic is the
smallest of the two-sided binomial tail probabilities,

.. math:: \gamma = 2 \min_t \min\{ \Pr(B_t \le b_t), \Pr(B_t \ge b_t) \},

and its distribution under uniform ranks is simulated. The band and the p-value
are two views of it: the function leaves the band at level 1 - alpha if and only
if the p-value is below alpha.

References:
    Validating Bayesian Inference Algorithms with Simulation-Based Calibration
    (Talts et al., 2018), https://arxiv.org/abs/1804.06788
    Graphical test for discrete uniformity and its applications in goodness-of-fit
    evaluation and multiple sample comparison (Säilynoja, Bürkner & Vehtari, 2022),
    https://arxiv.org/abs/2103.10522
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lfi_mflow.closure.published import Array
from lfi_mflow.errors import DataError

__all__ = ["EcdfBand", "check_ranks", "ecdf_band", "sbc_p_value", "sbc_ranks"]

Integers = NDArray[np.int64]

_THRESHOLDS = 100
_SIMULATIONS = 4_000
_SEED = 20_210_313


@dataclass(frozen=True)
class EcdfBand:
    """Empirical distribution of ranks, less the uniform one, and its band.

    Arguments:
        z: Fractional ranks at the thresholds, with shape (K,).
        difference: Empirical minus uniform distribution function, with shape (K,).
        low: Lower edge of the simultaneous band, with shape (K,).
        high: Upper edge of the simultaneous band, with shape (K,).
    """

    z: Array
    difference: Array
    low: Array
    high: Array

    @property
    def inside(self) -> bool:
        """Whether the function stays within the band."""
        slack = 1e-9
        return bool(
            np.all((self.low - slack <= self.difference) & (self.difference <= self.high + slack))
        )


def sbc_ranks(theta: Array, draws: Array, rng: np.random.Generator) -> Integers:
    """Ranks of the true parameters among the posterior draws.

    Arguments:
        theta: True parameters of each data set, with shape (D, p).
        draws: Posterior draws of each data set, with shape (D, L, p).
        rng: Breaks ties (a sampler that repeats draws) at random.

    Returns:
        Integers from 0 to L, with shape (D, p).
    """
    if draws.shape[0] != theta.shape[0] or draws.shape[2] != theta.shape[1]:
        raise DataError(
            f"draws of shape ({theta.shape[0]}, L, {theta.shape[1]})",
            f"{draws.shape}",
            "give the draws of every data set",
        )
    below = np.sum(draws < theta[:, None, :], axis=1)
    equal = np.sum(draws == theta[:, None, :], axis=1)
    return np.asarray(below + rng.integers(0, equal + 1), dtype=np.int64)


def sbc_p_value(ranks: Integers, n_draws: int) -> float:
    """Probability of ranks at least this far from uniform.

    Arguments:
        ranks: Ranks from 0 to ``n_draws``, with shape (D, p).
        n_draws: Number L of posterior draws that each rank counts.

    Returns:
        The smallest p-value of the p parameters times p (Bonferroni), at most 1.
    """
    check_ranks(ranks, n_draws)
    p_values = [_column_p_value(column, n_draws) for column in ranks.T]
    return min(1.0, len(p_values) * min(p_values))


def ecdf_band(ranks: Integers, n_draws: int, level: float = 0.95) -> EcdfBand:
    """Compare the empirical distribution of the ranks of one parameter with its band.

    Arguments:
        ranks: Ranks from 0 to ``n_draws``, with shape (D,).
        n_draws: Number L of posterior draws that each rank counts.
        level: Probability that uniform ranks stay within the band everywhere.
    """
    check_ranks(ranks[:, None], n_draws)
    n = len(ranks)
    thresholds = _thresholds(n_draws)
    z = thresholds / (n_draws + 1)
    # The smallest gamma that still belongs to the level; half of it on each side.
    gamma = float(np.quantile(_null_statistics(n, n_draws), 1.0 - level, method="lower"))
    low = stats.binom.ppf(0.5 * gamma, n, z) / n
    high = stats.binom.isf(0.5 * gamma, n, z) / n
    difference = _counts(ranks, thresholds) / n - z
    return EcdfBand(z, difference, low - z, high - z)


def _column_p_value(ranks: Integers, n_draws: int) -> float:
    """P-value of the ranks of one parameter."""
    counts = _counts(ranks, _thresholds(n_draws))[None, :]
    observed = _statistic(counts, _tails(len(ranks), n_draws))[0]
    null = _null_statistics(len(ranks), n_draws)
    # The binomial tails of equal counts can differ in the last digits.
    below = np.sum(null <= observed * (1.0 + 1e-9))
    return float((1 + below) / (1 + len(null)))


@lru_cache(maxsize=16)
def _null_statistics(n: int, n_draws: int) -> Array:
    """Simulate the statistic of uniform ranks; the same numbers every time."""
    rng = np.random.default_rng(_SEED)
    thresholds = _thresholds(n_draws)
    edges = np.concatenate([[0], thresholds, [n_draws + 1]])
    probabilities = np.diff(edges) / (n_draws + 1)
    cells = rng.multinomial(n, probabilities, size=_SIMULATIONS)
    counts = np.cumsum(cells, axis=1)[:, :-1]
    return _statistic(counts, _tails(n, n_draws))


def _thresholds(n_draws: int) -> Integers:
    """Up to 100 integers t, evenly within 1 ... L; ranks below t are counted."""
    k = min(_THRESHOLDS, n_draws)
    return np.unique(np.round(np.arange(1, k + 1) * (n_draws + 1) / (k + 1)).astype(np.int64))


def _counts(ranks: Integers, thresholds: Integers) -> Integers:
    """How many ranks are below each threshold."""
    return np.searchsorted(np.sort(ranks), thresholds, side="left").astype(np.int64)


@lru_cache(maxsize=16)
def _tails(n: int, n_draws: int) -> Array:
    """Tabulate the smaller binomial tail probability of every count: shape (K, n + 1)."""
    counts = np.arange(n + 1)
    z = _thresholds(n_draws)[:, None] / (n_draws + 1)
    lower = stats.binom.cdf(counts, n, z)
    upper = stats.binom.sf(counts - 1, n, z)
    return np.asarray(np.minimum(lower, upper))


def _statistic(counts: Integers, tails: Array) -> Array:
    """Gamma of each row of counts: (S, K) -> (S,)."""
    columns = np.arange(tails.shape[0])
    return np.asarray(2.0 * np.min(tails[columns, counts], axis=1))


def check_ranks(ranks: Integers, n_draws: int) -> None:
    """Refuse ranks that cannot have come from ``n_draws`` draws."""
    if ranks.ndim != 2 or len(ranks) < 2:
        raise DataError("ranks of shape (D, p) with D >= 2", f"{ranks.shape}", "add data sets")
    if ranks.min() < 0 or ranks.max() > n_draws:
        raise DataError(
            f"ranks from 0 to {n_draws}",
            f"from {ranks.min()} to {ranks.max()}",
            "give the number of draws that the ranks were counted among",
        )
