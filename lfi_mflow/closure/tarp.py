r"""Tests of accuracy with random points (TARP): the joint posterior, by distances.

Choose a reference point; the share of posterior draws nearer to it than the true
parameters is uniform if the posterior is exact, whatever the point, as long as it
does not know the truth:

.. math:: f = \Pr_{\theta' \sim q(\theta' | x)}
    \left[\|\theta' - \theta_r\| < \|\theta - \theta_r\|\right].

It sees all parameters together, where ranks see one after the other.

A reference point from the prior lies as often on one side of the posterior as on
the other, so that shifts cancel: of 300 posteriors moved by half their width it
gives away 30 % of all cases. The points are therefore mirrored to one side of the
posterior mean (they may depend on the data); then it is all of them. The shares
are tested by their ECDF band, which looks harder at the ends than the test of
Kolmogorov and Smirnov: of posteriors of one parameter that are 30 % too narrow it
finds nearly all at level 1 %, the other 80 % (docs/diagnostics.md).

References:
    Sampling-based accuracy testing of posterior estimators for general inference
    (Lemos et al., 2023), https://arxiv.org/abs/2302.03026, algorithm 2; theorem 3
    for reference points that depend on the data.
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.closure.published import Array
from lfi_mflow.closure.sbc import Integers, sbc_p_value, sbc_ranks
from lfi_mflow.errors import DataError

__all__ = ["one_sided", "tarp_p_value", "tarp_ranks"]


def one_sided(reference: Array, draws: Array) -> Array:
    """Mirror reference points to below the posterior mean, in every parameter.

    Arguments:
        reference: Points from the prior, with shape (D, p).
        draws: Posterior draws, with shape (D, L, p).
    """
    _check(reference, draws, "reference points")
    centre = draws.mean(axis=1)
    return np.asarray(centre - np.abs(reference - centre))


def tarp_ranks(
    theta: Array, draws: Array, reference: Array, scale: Array, rng: np.random.Generator
) -> Integers:
    """Count the draws that are nearer to the reference point than the truth is.

    Arguments:
        theta: True parameters of each data set, with shape (D, p).
        draws: Posterior draws of each data set, with shape (D, L, p).
        reference: Reference points, with shape (D, p).
        scale: Unit of each parameter in the distances, with shape (p,), such as its
            prior standard deviation.
        rng: Breaks ties at random.

    Returns:
        Integers from 0 to L, with shape (D,), uniform for exact posteriors.

    Raises:
        DataError: If the shapes do not belong together.
    """
    _check(reference, draws, "reference points")
    _check(theta, draws, "true parameters")
    truth = np.linalg.norm((theta - reference) / scale, axis=-1)
    others = np.linalg.norm((draws - reference[:, None]) / scale, axis=-1)
    return sbc_ranks(truth[:, None], others[..., None], rng)[:, 0]


def tarp_p_value(ranks: Integers, n_draws: int) -> float:
    """Probability of shares at least this far from uniform.

    Arguments:
        ranks: Counts of :func:`tarp_ranks`, with shape (D,).
        n_draws: Number L of posterior draws that were counted.
    """
    return sbc_p_value(ranks[:, None], n_draws)


def _check(points: Array, draws: Array, what: str) -> None:
    """Refuse points that are not one per data set."""
    expected = (draws.shape[0], draws.shape[-1])
    if draws.ndim != 3 or points.shape != expected:
        raise DataError(
            f"{what} of shape {expected} for draws of shape (D, L, p)",
            f"{points.shape} and {draws.shape}",
            "give one point per data set",
        )
