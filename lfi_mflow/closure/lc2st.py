r"""Local classifier two-sample test (LC2ST): is the posterior wrong somewhere?

Averages over the prior hide faults that differ in sign from place to place. Here
a classifier d sees the true parameters (class 1) or a posterior draw (class 0) of
a set of events together with a summary of that set; if the posterior is exact,
they are exchangeable and d is 1/2 everywhere. The statistic of one set is the mean
of (d - 1/2)^2 over its draws, and that of the whole test the mean over all sets.
Its null distribution is exact: a draw of each set takes the place of the truth,
and the classifier is trained again.

A set of events is of any size and order, so its summary is what the model itself
makes of it: the mean m and the standard deviation s of its posterior. The
classifier is a linear one, trained by least squares, on the pulls z = (theta - m)
/ s and their squares, each also times m and log s, and on the products of pulls:
z sees shifts, z^2 widths, products correlations, and the factors see where. A few
hundred sets would not teach a network more, and a network could not be trained a
thousand times.

Warning:
    A single set weighs little in the classifier: the p-value of one set is that
    of its neighbourhood in m and log s.

References:
    L-C2ST: local diagnostics for posterior approximations in simulation-based
    inference (Linhart, Gramfort & Rodrigues, 2023), https://arxiv.org/abs/2306.03580,
    algorithms 1 and 2; here with a null distribution by exchange, not by training
    on draws alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfi_mflow.closure.published import Array
from lfi_mflow.closure.sbc import Integers
from lfi_mflow.errors import DataError

__all__ = ["LocalTest", "lc2st"]

_OTHERS = 10  # draws that stand against the truth: their noise is a tenth of its
_EXCHANGES = 999
_SHRINKAGE = 1e-3  # of features of unit spread


@dataclass(frozen=True)
class LocalTest:
    """Outcome of the local classifier test.

    Arguments:
        p_value: Of all sets together; the smallest possible value is 0.001.
        local: p-value of each set, with shape (D,).
    """

    p_value: float
    local: Array


def lc2st(theta: Array, draws: Array, rng: np.random.Generator) -> LocalTest:
    """Test the posteriors of D sets of events, together and one by one.

    Arguments:
        theta: True parameters of each set, drawn from the prior, with shape (D, p).
        draws: Posterior draws of each set, independent, with shape (D, L, p),
            L >= 20.
        rng: Chooses draws and exchanges.

    Raises:
        DataError: If the shapes do not belong together, or there are too few.
    """
    n, n_draws, p = draws.shape
    if theta.shape != (n, p) or n < 10 or n_draws < 2 * _OTHERS:
        raise DataError(
            f"theta of shape (D, p) and draws of shape (D, L, p), D >= 10, L >= {2 * _OTHERS}",
            f"{theta.shape} and {draws.shape}",
            "add sets or draws",
        )
    order = rng.permuted(np.broadcast_to(np.arange(n_draws), (n, n_draws)), axis=1)
    mixed = np.take_along_axis(draws, order[..., None], axis=1)
    # What the summary is made of would not be exchangeable with the truth.
    others, rest = mixed[:, :_OTHERS], mixed[:, _OTHERS:]
    features = _features(np.concatenate([theta[:, None], others], axis=1), rest)
    observed = _statistics(features, np.zeros((1, n), dtype=np.int64))[0]
    null = _statistics(features, rng.integers(0, _OTHERS + 1, (_EXCHANGES, n)))
    local = (1 + np.sum(null >= observed, axis=0)) / (1 + _EXCHANGES)
    above = np.sum(null.mean(axis=1) >= observed.mean())
    return LocalTest(float((1 + above) / (1 + _EXCHANGES)), local)


def _features(points: Array, draws: Array) -> Array:
    """Pulls and their products, times what is known of the set: (D, K, p) -> (D, K, F)."""
    mean, sd = draws.mean(axis=1), draws.std(axis=1)
    sd = np.where(sd > 0, sd, 1.0)
    z = (points - mean[:, None]) / sd[:, None]
    place = _standardised(np.concatenate([mean, np.log(sd)], axis=-1))
    place = np.concatenate([np.ones((len(place), 1)), place], axis=-1)
    powers = np.concatenate([z, z**2], axis=-1)
    local = (powers[..., None] * place[:, None, None, :]).reshape(*points.shape[:2], -1)
    first, second = np.triu_indices(z.shape[-1], k=1)
    return _standardised(np.concatenate([local, z[..., first] * z[..., second]], axis=-1))


def _standardised(values: Array) -> Array:
    """Scale the last axis to unit spread; what does not vary stays."""
    axes = tuple(range(values.ndim - 1))
    spread = values.std(axis=axes)
    return np.asarray((values - values.mean(axis=axes)) / np.where(spread > 0, spread, 1.0))


def _statistics(features: Array, truth: Integers) -> Array:
    """Mean of (d - 1/2)^2 over each set, for S choices of the points that count as true.

    Arguments:
        features: Features of K points of each set, with shape (D, K, F).
        truth: Which of the K points counts as true, with shape (S, D).

    Returns:
        Statistics, with shape (S, D).
    """
    n, k, _ = features.shape
    flat = features.reshape(n * k, -1)
    moments = flat.T @ flat / len(flat)
    moments[np.diag_indices_from(moments)] += _SHRINKAGE
    # Both classes weigh one half, and the targets are +-1/2.
    is_true = truth[..., None] == np.arange(k)
    targets = 0.25 * np.where(is_true, 1.0, -1.0 / (k - 1)).reshape(len(truth), -1) / n
    coefficients = np.linalg.solve(moments, (targets @ flat).T)
    d = (flat @ coefficients).reshape(n, k, -1)
    return np.asarray(np.mean(d**2, axis=1).T)
