"""Have the chains converged, and how many independent draws are they worth.

Rank-normalised split R-hat and effective sample sizes. Draws are replaced by
normal scores of their ranks, so that heavy tails do not matter, and each chain
is split in two, so that a drift shows. R-hat is taken for location and, on
folded draws, for scale; ESS for the bulk and for the 5 % and 95 % quantiles.

References:
    | Rank-normalization, folding, and localization: an improved R-hat for
      assessing convergence of MCMC (Vehtari et al., 2021), arXiv:1903.08008
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from lfi_mflow.errors import InputError

__all__ = ["Convergence", "convergence", "ess_bulk", "ess_tail", "r_hat"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Convergence:
    """Diagnostics of draws; every array has the leading shape of the draws.

    Arguments:
        r_hat: Rank-normalised split R-hat, the larger of bulk and folded.
        ess_bulk: Effective sample size for the centre.
        ess_tail: Smaller effective sample size of the 5 % and 95 % quantiles.
    """

    r_hat: Array
    ess_bulk: Array
    ess_tail: Array

    @property
    def ess(self) -> Array:
        """The smaller of bulk and tail effective sample size."""
        return np.minimum(self.ess_bulk, self.ess_tail)

    def __getitem__(self, row: int) -> Convergence:
        """Return the diagnostics of one row of the leading dimension."""
        return Convergence(self.r_hat[row], self.ess_bulk[row], self.ess_tail[row])

    def within(self, r_hat: float, ess: float) -> bool:
        """Whether all R-hat are at most, and all effective sizes at least, the limits.

        NaN is never within.
        """
        return bool(np.all(self.r_hat <= r_hat) and np.all(self.ess >= ess))


def convergence(draws: Array) -> Convergence:
    """Diagnose draws with shape (..., chains, draws)."""
    return Convergence(r_hat(draws), ess_bulk(draws), ess_tail(draws))


def r_hat(draws: Array) -> Array:
    """Rank-normalised split R-hat.

    Arguments:
        draws: Draws, with shape (..., chains, draws), at least 4 draws per chain.

    Returns:
        R-hat, with shape (...); NaN where a draw is not finite, or all are equal.

    Raises:
        InputError: If there are fewer than four draws per chain.
    """
    chains = _split(_check(draws))
    folded = np.abs(chains - np.median(chains, axis=(-2, -1), keepdims=True))
    return np.maximum(_r_hat(_normal_scores(chains)), _r_hat(_normal_scores(folded)))


def ess_bulk(draws: Array) -> Array:
    """Effective sample size of the rank-normalised draws: (..., chains, draws) -> (...)."""
    return _ess(_normal_scores(_split(_check(draws))))


def ess_tail(draws: Array) -> Array:
    """Smaller ESS of the 5 % and 95 % quantiles: (..., chains, draws) -> (...)."""
    draws = _check(draws)
    flat = np.sort(draws.reshape(*draws.shape[:-2], -1), axis=-1)
    sizes = []
    for level in (0.05, 0.95):
        quantile = _quantile(flat, level)[..., None, None]
        sizes.append(_ess(_split(np.where(np.isnan(draws), np.nan, draws <= quantile))))
    return np.minimum(*sizes)


def _check(draws: Array) -> Array:
    """Return draws as float64 with the shape (..., chains, draws)."""
    draws = np.asarray(draws, dtype=np.float64)
    if draws.ndim < 2 or draws.shape[-1] < 4:
        raise InputError(
            "draws of shape (..., chains, draws) with at least 4 draws",
            f"shape {draws.shape}",
            "draw more",
        )
    # One number that is not finite spoils the ranks of all others: mark the whole set.
    finite = np.isfinite(draws).all(axis=(-2, -1), keepdims=True)
    return np.where(finite, draws, np.nan)


def _split(draws: Array) -> Array:
    """Cut each chain in two halves; the middle draw of an odd number is left out."""
    half = draws.shape[-1] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)


def _normal_scores(draws: Array) -> Array:
    """Replace draws by normal scores of their ranks among all chains."""
    flat = draws.reshape(*draws.shape[:-2], -1)
    ranks = rankdata(flat, axis=-1)
    scores = ndtri((ranks - 0.375) / (flat.shape[-1] + 0.25))
    return np.asarray(np.where(np.isnan(draws), np.nan, scores.reshape(draws.shape)))


def _r_hat(chains: Array) -> Array:
    """Square root of the variance over all chains by the variance within."""
    n = chains.shape[-1]
    between = chains.mean(-1).var(-1, ddof=1)
    within = chains.var(-1, ddof=1).mean(-1)
    ratio = np.divide(between, within, out=np.full_like(within, np.nan), where=within > 0)
    return np.asarray(np.sqrt(ratio + (n - 1) / n))


def _quantile(ordered: Array, level: float) -> Array:
    """Quantile of sorted draws with plotting positions (k - 0.4) / (n + 0.2)."""
    n = ordered.shape[-1]
    position = np.clip(level * n + 0.4 + 0.2 * level, 1, n) - 1
    below = int(position)
    above = min(below + 1, n - 1)
    share = position - below
    return np.asarray((1.0 - share) * ordered[..., below] + share * ordered[..., above])


def _ess(chains: Array) -> Array:
    """Effective sample size by Geyer's initial monotone sequence of autocorrelations."""
    m, n = chains.shape[-2:]
    covariance = _autocovariance(chains).mean(-2)
    within = covariance[..., :1] * n / (n - 1)
    total = covariance[..., :1]
    if m > 1:
        total = total + chains.mean(-1).var(-1, ddof=1)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = 1.0 - (within - covariance) / total
    rho[..., 0] = 1.0
    # Pairs of lags (0, 1), (2, 3), …; the last lags are too noisy to be looked at.
    pairs_count = max(1, (n - 1) // 2)
    even, odd = rho[..., 0 : 2 * pairs_count : 2], rho[..., 1 : 2 * pairs_count : 2]
    pairs = even + odd
    positive = np.logical_and.accumulate(pairs >= 0, axis=-1)
    # The sum ends before the first negative pair; of that one the even lag counts once if positive.
    end = np.minimum(positive.sum(-1), pairs_count - 1)[..., None]
    summed = np.minimum.accumulate(pairs, axis=-1)
    summed = np.where(np.arange(pairs_count) < end, summed, 0.0).sum(-1)
    tail = np.maximum(np.take_along_axis(even, end, axis=-1)[..., 0], 0.0)
    size = m * n
    time = np.maximum(-1.0 + 2.0 * summed + tail, 1.0 / np.log10(size))
    constant = np.ptp(chains, axis=(-2, -1)) < np.finfo(float).resolution
    unknown = np.isnan(total[..., 0])
    return np.asarray(np.where(unknown, np.nan, np.where(constant, size, size / time)))


def _autocovariance(chains: Array) -> Array:
    """Autocovariance of each chain at all lags, by the fast Fourier transform."""
    n = chains.shape[-1]
    centred = chains - chains.mean(-1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n, axis=-1)
    return np.asarray(np.fft.irfft(spectrum * spectrum.conj(), 2 * n, axis=-1)[..., :n] / n)
