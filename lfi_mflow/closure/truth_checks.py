"""The checks that ask how dense a posterior is at the true parameters."""

from __future__ import annotations

import numpy as np

from lfi_mflow.closure.check import Check, Outcome, needs_likelihood, needs_ratio
from lfi_mflow.closure.context import COMPARISON_STREAM, Study
from lfi_mflow.closure.posteriors import PosteriorSets
from lfi_mflow.closure.published import Array, Estimate, mean_estimate
from lfi_mflow.closure.truth import log_density_at_truth

__all__ = ["TRUTH_CHECKS"]


def _check_model(study: Study, _: np.random.Generator) -> Outcome:
    """Posteriors by the model."""
    values = _at_truth(study, study.observed_by_model)
    return Outcome(mean_estimate(values), {"log_posterior_at_truth": values})


def _check_exact(study: Study, _: np.random.Generator) -> Outcome:
    """Exact posteriors: what a perfect model would reach on these sets."""
    values = _at_truth(study, study.observed_exactly)
    return Outcome(mean_estimate(values), {"log_posterior_at_truth_exact": values})


def _check_difference(study: Study, _: np.random.Generator) -> Outcome:
    """Absolute difference of the two means; they belong to the same sets."""
    model, exact = (
        _at_truth(study, posteriors)
        for posteriors in (study.observed_by_model, study.observed_exactly)
    )
    difference = mean_estimate(model - exact)
    return Outcome(Estimate(abs(difference.value), difference.uncertainty))


def _at_truth(study: Study, posteriors: PosteriorSets) -> Array:
    """Log-density of each set's posterior at its true parameters."""
    bandwidth = study.settings.truth_bandwidth
    return log_density_at_truth(study.observed.theta, posteriors.draws, bandwidth)


TRUTH_CHECKS: dict[str, Check] = {
    "log_posterior_at_truth": Check(_check_model, COMPARISON_STREAM, (needs_ratio,)),
    "log_posterior_at_truth_exact": Check(
        _check_exact, COMPARISON_STREAM, (needs_ratio, needs_likelihood)
    ),
    "log_posterior_at_truth_error": Check(
        _check_difference, COMPARISON_STREAM, (needs_ratio, needs_likelihood)
    ),
}
"""The check behind each of these metrics."""
