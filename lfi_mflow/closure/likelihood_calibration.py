r"""Calibration of likelihood ratios: are they the odds that they claim to be?

Choose two parameter points, toss a coin which of them makes a set of events X:
given X, the odds of the two are the likelihood ratio, so that the posterior
probability of the first is

.. math:: P(1 | X) = \sigma(t), \quad t = \log p(X | \theta_1) - \log p(X | \theta_0).

A classifier that is allowed to correct the claimed t,

.. math:: P(1 | X) = \sigma(b\,t + c \cdot (\theta_1 - \theta_0)),

must find nothing to correct: b = 1 and c = 0. A slope b < 1 means ratios that claim
too much (posteriors that are too narrow), b > 1 too little; c is a shift of the
parameters. The remedy for a slope is to multiply the log-likelihood by b.

Equivalent to E[r] = 1 under the denominator, but bounded: a sum of ratios over
sets of events has no finite variance.

References:
    Approximating likelihood ratios with calibrated discriminative classifiers
    (Cranmer, Pavez & Louppe, 2015), https://arxiv.org/abs/1506.02169, section 3
    Two further applications of a model for binary regression (Cox, 1958), for the
    regression of outcomes on claimed log-odds
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit, log_expit

from lfi_mflow.closure.published import Array, Estimate
from lfi_mflow.closure.sbc import Integers
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Prior

__all__ = ["RatioCalibration", "parameter_pairs", "ratio_calibration"]

_STEPS = 50
_LARGEST = 700.0  # odds that still are a float
_NEAREST = 0.02


@dataclass(frozen=True)
class RatioCalibration:
    """What a classifier makes of claimed likelihood ratios.

    Arguments:
        slope: The factor b and its standard error.
        p_value: Probability of corrections this large if none are needed
            (likelihood ratio test of b = 1 and c = 0).
        shift: The coefficients c, with shape (p,); empty if there was no fit.
    """

    slope: Estimate
    p_value: float
    shift: tuple[float, ...] = ()


def parameter_pairs(prior: Prior, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw pairs of parameter points at all distances, each with shape (n, p).

    The second point divides the line from the first to another draw of the prior
    in a log-uniform ratio from 0.02 to 1: sets of few and of many events alike then
    have pairs between which they cannot decide, and only those tell odds apart.
    """
    first, other = prior.sample(n, rng), prior.sample(n, rng)
    share = np.exp(rng.uniform(np.log(_NEAREST), 0.0, (n, 1)))
    return first, first + share * (other - first)


def ratio_calibration(log_ratio: Array, difference: Array, outcome: Integers) -> RatioCalibration:
    """Test claimed log-likelihood ratios of sets of events.

    Arguments:
        log_ratio: log p(X | theta_1) - log p(X | theta_0) of each set, with shape (D,).
        difference: theta_1 - theta_0 in any units, with shape (D, p).
        outcome: 1 where theta_1 made the set and 0 where theta_0 did, with shape (D,).

    Returns:
        Slope and p-value; a slope of zero and a p-value of zero where a ratio calls
        impossible what happened, or is NaN.

    Raises:
        DataError: If the shapes do not belong together, or there are too few sets.
    """
    n, p = difference.shape
    if log_ratio.shape != (n,) or outcome.shape != (n,) or n < 10 * (p + 1):
        raise DataError(
            f"log-ratios and outcomes of shape (D,) with D >= {10 * (p + 1)}",
            f"{log_ratio.shape} and {outcome.shape} for differences of shape {(n, p)}",
            "add sets",
        )
    sign = np.where(outcome > 0, 1.0, -1.0)
    # In terms of the odds of what happened, every outcome is a success.
    claimed = sign * log_ratio
    if np.isnan(claimed).any() or np.isneginf(claimed).any():
        return RatioCalibration(Estimate(0.0, None), 0.0)
    claimed = np.clip(claimed, -_LARGEST, _LARGEST)
    spread = np.sqrt(np.mean(difference**2, axis=0))
    covariates = np.column_stack([claimed, sign[:, None] * difference / spread])
    start = np.zeros(p + 1)
    start[0] = 1.0
    fitted, covariance = _fit(covariates, start)
    gain = np.sum(log_expit(covariates @ fitted) - log_expit(claimed))
    p_value = float(stats.chi2.sf(2.0 * max(gain, 0.0), p + 1))
    slope = Estimate(float(fitted[0]), float(np.sqrt(covariance[0, 0])))
    return RatioCalibration(slope, p_value, tuple((fitted[1:] / spread).tolist()))


def _fit(covariates: Array, start: Array) -> tuple[Array, Array]:
    """Maximise sum log sigma(covariates . b) by Newton steps that never go downhill."""
    b, value = start, float(np.sum(log_expit(covariates @ start)))
    hessian = np.eye(len(start))
    for _ in range(_STEPS):
        probability = expit(covariates @ b)
        gradient = covariates.T @ (1.0 - probability)
        weights = probability * (1.0 - probability)
        hessian = (covariates * weights[:, None]).T @ covariates + 1e-9 * np.eye(len(b))
        step = np.linalg.solve(hessian, gradient)
        b, better = _line_search(covariates, b, step, value)
        if better - value < 1e-9:
            break
        value = better
    return b, np.asarray(np.linalg.inv(hessian))


def _line_search(covariates: Array, b: Array, step: Array, value: float) -> tuple[Array, float]:
    """Halve a step until it does not make things worse."""
    for _ in range(40):
        better = float(np.sum(log_expit(covariates @ (b + step))))
        if better >= value:
            return b + step, better
        step = 0.5 * step
    return b, value
