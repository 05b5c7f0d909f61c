"""The checks that ask whether posteriors, likelihood ratios and distances can be trusted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lfi_mflow.closure.c2st import c2st
from lfi_mflow.closure.check import (
    Check,
    Outcome,
    needs_distance_reference,
    needs_encoder,
    needs_likelihood,
    needs_parameters,
    needs_ratio,
    needs_residual,
)
from lfi_mflow.closure.context import CALIBRATION_STREAM, Study
from lfi_mflow.closure.coverage import central_ranks, expected_coverage, hpd_ranks
from lfi_mflow.closure.lc2st import lc2st
from lfi_mflow.closure.likelihood_calibration import parameter_pairs, ratio_calibration
from lfi_mflow.closure.published import Estimate, mean_estimate
from lfi_mflow.closure.residual import (
    distance_theta_dependence,
    off_manifold_p_values,
    too_small,
)
from lfi_mflow.closure.sbc import sbc_p_value
from lfi_mflow.closure.tarp import one_sided, tarp_p_value, tarp_ranks
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.inference.off_manifold import reference_size

__all__ = ["CALIBRATION_CHECKS"]

ONE_SIGMA = 0.6827
TWO_SIGMA = 0.95


def _check_ranks(study: Study, _: np.random.Generator) -> Outcome:
    """Simulation-based calibration with sets of events."""
    ranks, n_draws = study.calibration.ranks, study.calibration.n_draws
    p_value = sbc_p_value(ranks, n_draws)
    return Outcome(Estimate(p_value, None), {"sbc": {"ranks": ranks, "n_draws": n_draws}})


def _check_coverage(level: float) -> Callable[[Study, np.random.Generator], Outcome]:
    """Expected coverage of highest-density regions of a credibility."""

    def check(study: Study, rng: np.random.Generator) -> Outcome:
        sets = study.calibration
        points = np.concatenate([sets.theta[:, None], sets.posteriors.draws], axis=1)
        log_prob = sets.posteriors.log_prob(points)
        hpd = hpd_ranks(log_prob[:, 0], log_prob[:, 1:], rng)
        central = central_ranks(sets.ranks, sets.n_draws, rng)
        curves = {"hpd": hpd, "central": central, "n_draws": sets.n_draws}
        return Outcome(expected_coverage(hpd, sets.n_draws, level), {"coverage": curves})

    return check


def _check_tarp(study: Study, rng: np.random.Generator) -> Outcome:
    """Accuracy of the joint posterior by distances to reference points."""
    sets, prior = study.calibration, study.prior
    draws = sets.posteriors.draws
    reference = one_sided(prior.sample(len(draws), rng), draws)
    ranks = tarp_ranks(sets.theta, draws, reference, sets.theta.std(axis=0), rng)
    p_value = tarp_p_value(ranks, sets.n_draws)
    return Outcome(Estimate(p_value, None), {"tarp": {"ranks": ranks, "n_draws": sets.n_draws}})


def _check_local(study: Study, rng: np.random.Generator) -> Outcome:
    """Local classifier test of the calibration posteriors."""
    sets = study.calibration
    test = lc2st(sets.theta, sets.posteriors.draws, rng)
    curves = {"theta": sets.theta, "p_value": test.local}
    return Outcome(Estimate(test.p_value, None), {"lc2st": curves})


def _check_ratio(study: Study, rng: np.random.Generator) -> Outcome:
    """Calibration of likelihood ratios of sets of events."""
    settings = study.settings
    pairs = np.stack(parameter_pairs(study.prior, settings.ratio_sets, rng), axis=1)
    outcome = rng.integers(0, 2, len(pairs))
    made_by = pairs[np.arange(len(pairs)), outcome]
    x = study.simulate_sets(made_by, settings.calibration_events, rng)
    likelihood = likelihood_of(study.model.flow, study.model.tensor(x))
    log_prob = likelihood(torch.from_numpy(pairs)).cpu().double().numpy()
    found = ratio_calibration(log_prob[:, 1] - log_prob[:, 0], pairs[:, 1] - pairs[:, 0], outcome)
    curves = {"slope": found.slope.value, "uncertainty": found.slope.uncertainty}
    return Outcome(Estimate(found.p_value, None), {"likelihood_calibration": curves})


def _check_classifier(study: Study, rng: np.random.Generator) -> Outcome:
    """Accuracy of a classifier between the posteriors of model and exact likelihood."""
    n = study.settings.classifier_samples
    seed = int(rng.integers(2**31))
    pairs = zip(study.observed_by_model.draws, study.observed_exactly.draws, strict=True)
    accuracy = [c2st(model[:n], exact[:n], seed) for model, exact in pairs]
    values = np.array([estimate.value for estimate in accuracy])
    found = mean_estimate(values) if len(values) > 1 else accuracy[0]
    return Outcome(found, {"c2st": values})


def _check_off_manifold(study: Study, _: np.random.Generator) -> Outcome:
    """Off-manifold p-values of simulated sets, which are on the manifold."""
    x, theta = study.calibration.x, study.calibration.theta
    of_events = np.repeat(theta, x.shape[1], axis=0)
    distances = study.model.distance(x.reshape(-1, x.shape[-1]), of_events).reshape(x.shape[:2])
    training = study.training
    p_values = off_manifold_p_values(
        distances, training["distance_quantiles"], reference_size(training)
    )
    return Outcome(Estimate(too_small(p_values), None), {"off_manifold": {"p_value": p_values}})


def _check_residual(study: Study, rng: np.random.Generator) -> Outcome:
    """Independence of distance and theta, given the projection."""
    theta = study.prior.sample(study.settings.density_events, rng)
    x = study.simulate(theta, rng)
    distance, u = study.model.distance(x, theta), study.model.encode(x, theta)
    return Outcome(Estimate(distance_theta_dependence(distance, theta, u, rng), None))


CALIBRATION_CHECKS: dict[str, Check] = {
    "sbc_p_value": Check(_check_ranks, CALIBRATION_STREAM, (needs_ratio,)),
    "coverage_68": Check(_check_coverage(ONE_SIGMA), 7, (needs_ratio,)),
    "coverage_95": Check(_check_coverage(TWO_SIGMA), 7, (needs_ratio,)),
    "tarp_p_value": Check(_check_tarp, 8, (needs_ratio,)),
    "lc2st_p_value": Check(_check_local, 9, (needs_ratio,)),
    "likelihood_calibration": Check(_check_ratio, 10, (needs_ratio,)),
    "c2st": Check(_check_classifier, 11, (needs_ratio, needs_likelihood)),
    "off_manifold_p_value": Check(
        _check_off_manifold,
        12,
        (needs_ratio, needs_encoder, needs_residual, needs_distance_reference),
    ),
    "distance_theta_dependence": Check(
        _check_residual, 13, (needs_parameters, needs_encoder, needs_residual)
    ),
}
"""The check behind each of these metrics."""
