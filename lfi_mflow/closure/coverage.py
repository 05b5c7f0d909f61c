r"""Expected coverage: do credible regions hold the truth as often as they say?

Draw theta from the prior, simulate a set of events, take its posterior: a region
of credibility 1 - alpha holds the truth with that probability, averaged over the
prior. The highest-density region that just reaches the truth holds the draws of
higher density than the truth, so a count of those is all it takes; the central
interval of a parameter follows from its rank in the same way. Both counts are
uniform on 0 ... L for an exact posterior, like the ranks of simulation-based
calibration, and are tested and drawn in the same way.

Warning:
    Expected coverage says nothing about posteriors that equal the prior, and
    little about shifts: a shifted region misses the truth on one side and gains
    on the other.

References:
    A crisis in simulation-based inference? Beware, your posterior approximations
    can be unfaithful (Hermans et al., 2022), https://arxiv.org/abs/2110.06581,
    equation 3
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.closure.published import Array, Estimate
from lfi_mflow.closure.sbc import Integers, check_ranks, sbc_ranks
from lfi_mflow.errors import DataError

__all__ = ["central_ranks", "expected_coverage", "hpd_ranks"]


def hpd_ranks(log_prob: Array, draws_log_prob: Array, rng: np.random.Generator) -> Integers:
    """Count the draws inside the highest-density region that ends at the truth.

    Arguments:
        log_prob: Posterior log-density at the true parameters, with shape (D,); a
            constant of each data set may be missing.
        draws_log_prob: The same at the posterior draws, with shape (D, L).
        rng: Breaks ties at random.

    Returns:
        Integers from 0 to L, with shape (D,), uniform for exact posteriors.

    Raises:
        DataError: If the shapes do not belong together, or a log-density is NaN.
    """
    if np.isnan(log_prob).any() or np.isnan(draws_log_prob).any():
        raise DataError("log-densities", "NaN", "check the posterior where it is NaN")
    return sbc_ranks(-log_prob[:, None], -draws_log_prob[..., None], rng)[:, 0]


def central_ranks(ranks: Integers, n_draws: int, rng: np.random.Generator) -> Integers:
    """Count the draws inside the central interval that ends at the truth.

    Arguments:
        ranks: Ranks of the truth from 0 to ``n_draws``, with shape (D, p).
        n_draws: Number L of posterior draws that each rank counts.
        rng: Spreads each rank over its 1 / (L + 1) of probability: what is counted
            takes only every second value otherwise.

    Returns:
        Integers from 0 to L, with shape (D, p), uniform for exact posteriors.
    """
    check_ranks(ranks, n_draws)
    u = (ranks + rng.uniform(size=ranks.shape)) / (n_draws + 1)
    counts = np.floor(np.abs(2.0 * u - 1.0) * (n_draws + 1)).astype(np.int64)
    return np.minimum(counts, n_draws)


def expected_coverage(ranks: Integers, n_draws: int, level: float) -> Estimate:
    """Share of the regions of a credibility that hold the truth.

    Arguments:
        ranks: Counts of :func:`hpd_ranks` or :func:`central_ranks`, with shape (D,).
        n_draws: Number L of posterior draws that were counted.
        level: Credibility of the regions, such as 0.68.

    Returns:
        The share, and the binomial standard error that calibrated posteriors have:
        that of the share itself would vanish where all regions hold the truth.
    """
    check_ranks(ranks[:, None], n_draws)
    inside = (ranks + 0.5) / (n_draws + 1) < level
    return Estimate(float(np.mean(inside)), float(np.sqrt(level * (1.0 - level) / len(ranks))))
