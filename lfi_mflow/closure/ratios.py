r"""Calibration of a ratio estimator, event by event.

Toss a coin whether an event x comes from p(x | theta) or from the denominator q(x). The
probability of the first, given x, is sigma(log r(x | theta)), so that

- among the events with a claimed probability s, a share s must come from p(x | theta):
  the reliability curve is the diagonal;
- a fit of sigma(b log r + a) to the outcomes finds b = 1 and a = 0. It is the remedy, too:
  b log r + a is calibrated to first order (Platt scaling);
- the mean of r over events of q is 1.

The likelihood calibration of sets of events has more power against what matters to a
posterior; this one sees factors that depend on x alone, and works where q is not among
the densities of the simulator.

References:
    | Approximating likelihood ratios with calibrated discriminative classifiers
    | (Cranmer, Pavez & Louppe, 2015), https://arxiv.org/abs/1506.02169
    | Probabilistic outputs for support vector machines (Platt, 1999)
    | Goodness of fit tests for the multiple logistic regression model
    | (Hosmer & Lemeshow, 1980), for the test of the curve
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats
from scipy.special import expit

from lfi_mflow.closure.likelihood_calibration import ratio_calibration
from lfi_mflow.closure.published import Array, Estimate, mean_estimate
from lfi_mflow.closure.sbc import Integers

__all__ = ["Reliability", "ratio_normalisation", "reliability"]

_GROUPS = 20
_LEAST_VARIANCE = 5.0  # of the number of successes in a group, for the chi-squared distribution


@dataclass(frozen=True)
class Reliability:
    """How often what a classifier claims comes true.

    Arguments:
        claimed: Mean claimed probability of each group of events, with shape (G,).
        observed: Share of the events in it that come from the numerator, with shape (G,).
        uncertainty: Standard error of the share if the claim is right, with shape (G,).
        slope: The factor b of log r that fits best, and its standard error.
        offset: The summand a of log r that fits best.
        p_value: Probability of deviations this large of a calibrated ratio, by the curve
            or by the fit; both count.
    """

    claimed: Array
    observed: Array
    uncertainty: Array
    slope: Estimate
    offset: float
    p_value: float


def reliability(log_ratio: Array, outcome: Integers) -> Reliability:
    """Compare claimed probabilities with outcomes.

    Arguments:
        log_ratio: log r of each event, with shape (N,).
        outcome: 1 where the event comes from the numerator, 0 where it comes from the
            denominator, with shape (N,).

    Returns:
        Curve, fit and p-value; a p-value of zero where a ratio calls impossible what
        happened, or is NaN.

    Raises:
        DataError: If the shapes do not belong together, or there are fewer than 20 events.
    """
    fit = ratio_calibration(log_ratio, np.ones((len(log_ratio), 1)), outcome)
    claim = np.nan_to_num(expit(log_ratio), nan=0.5)
    order = np.argsort(claim, kind="stable")
    claim, success = claim[order], (outcome[order] > 0).astype(float)
    group = _groups(claim * (1.0 - claim))
    count, expected, observed, variance = (
        np.bincount(group, values) for values in (None, claim, success, claim * (1.0 - claim))
    )
    deviation = (observed - expected) ** 2 / np.maximum(variance, 1e-12)
    by_curve = float(stats.chi2.sf(deviation.sum(), len(count)))
    return Reliability(
        claimed=expected / count,
        observed=observed / count,
        uncertainty=np.sqrt(variance) / count,
        slope=fit.slope,
        offset=fit.shift[0] if fit.shift else 0.0,
        p_value=min(1.0, 2.0 * min(by_curve, fit.p_value)),
    )


def ratio_normalisation(log_ratio: Array) -> Estimate:
    """Mean of r over events of its denominator, which is 1 if it is normalised.

    Arguments:
        log_ratio: log r of events of the denominator, with shape (N,).
    """
    with np.errstate(over="ignore"):
        ratio = np.exp(log_ratio)
    return mean_estimate(ratio) if np.isfinite(ratio).all() else Estimate(np.inf, None)


def _groups(variance: Array) -> Integers:
    """Cut ordered events into groups of equal variance: (N,) -> (N,), numbers from 0."""
    total = variance.sum()
    groups = int(np.clip(total / _LEAST_VARIANCE, 1, _GROUPS))
    share = np.cumsum(variance) / max(total, 1e-300)
    cut = np.minimum((share * groups * (1 - 1e-12)).astype(np.intp), groups - 1)
    # without gaps, should one event have the variance of several groups
    return np.unique(cut, return_inverse=True)[1]
