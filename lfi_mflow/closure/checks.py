"""The checks behind the metrics of a closure test.

Every check draws from its own random stream, so a metric has the same value
whichever others are computed beside it.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from lfi_mflow.closure.calibration_checks import CALIBRATION_CHECKS
from lfi_mflow.closure.check import (
    Check,
    Outcome,
    needs_closure,
    needs_density,
    needs_encoder,
    needs_exact_density,
    needs_likelihood,
    needs_manifold,
    needs_ratio,
    needs_samples,
)
from lfi_mflow.closure.context import COMPARISON_STREAM, Study, draw_seed
from lfi_mflow.closure.divergence import kl_divergence
from lfi_mflow.closure.posteriors import PosteriorSets
from lfi_mflow.closure.published import (
    log_density_error,
    manifold_distance,
    mean_estimate,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.closure.ratio_checks import RATIO_CHECKS
from lfi_mflow.closure.truth_checks import TRUTH_CHECKS
from lfi_mflow.simulation import HasClosure, HasLikelihood, HasManifold

__all__ = ["CHECKS", "SURFACE_STREAM", "surface_curves"]

_DIVERGENCE_DRAWS = 1_000


def surface_curves(study: Study, rng: np.random.Generator) -> dict[str, Any]:
    """Simulated and generated events for the figure of the manifold.

    Both are drawn at the same theta from the prior, and their log-densities are
    those at the reference theta. A model that generates no events has none of it.
    """
    if needs_samples(study) is not None:
        return {}
    n = study.settings.surface_points
    theta = study.prior.sample(n, rng)
    truth: dict[str, Any] = {"x": study.simulate(theta, rng), "theta": theta}
    model: dict[str, Any] = {"x": study.model.sample(theta, draw_seed(rng))}
    reference = study.reference(n)
    if needs_exact_density(study) is None:
        exact = cast("HasLikelihood", study.simulator)
        truth["log_prob"] = exact.log_prob(truth["x"], reference)
        model["log_prob"] = study.model.log_prob(model["x"], reference)
    if needs_manifold(study) is None:
        model["distance"] = cast("HasManifold", study.simulator).distance(model["x"])
    return {"surface": {"truth": truth, "model": model}}


def _check_distance(study: Study, rng: np.random.Generator) -> Outcome:
    """Distance of generated events to the true manifold."""
    theta = study.prior.sample(study.settings.model_samples, rng)
    x = study.model.sample(theta, draw_seed(rng))
    finite = np.all(np.isfinite(x), axis=1)
    distance = np.full(len(x), np.inf)
    distance[finite] = cast("HasManifold", study.simulator).distance(x[finite])
    return Outcome(manifold_distance(distance))


def _check_kinematics(study: Study, rng: np.random.Generator) -> Outcome:
    """Relations between the observables of generated events, at the test points."""
    points, n = study.test_points(), study.settings.model_samples
    closure = cast("HasClosure", study.simulator).kinematic_closure
    values = np.concatenate(
        [closure(study.model.sample(np.tile(point, (n, 1)), draw_seed(rng))) for point in points]
    )
    return Outcome(manifold_distance(values))


def _check_reconstruction(study: Study, rng: np.random.Generator) -> Outcome:
    """Reconstruction error of test events."""
    theta = study.reference(study.settings.test_events)
    x = study.simulate(theta, rng)
    return Outcome(reconstruction_error(x, study.model.project(x, theta)))


def _check_posterior(study: Study, _: np.random.Generator) -> Outcome:
    """MMD^2 between the posteriors of model and exact likelihood."""
    theta, model, exact = study.observed.theta, study.observed_by_model, study.observed_exactly
    mmd2 = np.array([posterior_mmd2(*pair) for pair in zip(model.draws, exact.draws, strict=True)])
    names = [parameter.name for parameter in study.simulator.parameters]
    curves = [
        _posterior_curve(model, exact, row, column, float(theta[row, column]))
        | {"parameter": name, "title": f"set {row + 1}"}
        for row in range(len(theta))
        for column, name in enumerate(names)
    ]
    return Outcome(mean_estimate(mmd2), {"posterior": curves, "posterior_mmd2": mmd2})


def _check_divergence(study: Study, _: np.random.Generator) -> Outcome:
    """Divergence of the model's posteriors from the exact ones."""
    x, draws = study.observed.x, study.observed_exactly.draws[:, :_DIVERGENCE_DRAWS]
    theta = torch.from_numpy(draws)
    with torch.no_grad():
        exact, model = (
            likelihood(theta).cpu().numpy()
            for likelihood in (study.exact_likelihood(x), study.model_likelihood(x))
        )
    divergence = kl_divergence(exact, model)
    return Outcome(mean_estimate(divergence), {"posterior_kl": divergence})


def _check_ood(study: Study, rng: np.random.Generator) -> Outcome:
    """AUC of test events against events moved off the manifold, by the better score."""
    theta = study.reference(study.settings.test_events)
    inside = study.simulate(theta, rng)
    outside = cast("HasManifold", study.simulator).perturb(study.simulate(theta, rng), rng)
    samples = (inside, outside)
    errors = [np.linalg.norm(x - study.model.project(x, theta), axis=-1) for x in samples]
    scores = {"reconstruction_error": ood_auc(*errors)}
    if needs_density(study) is None:
        scores["log_prob"] = ood_auc(*(-study.model.log_prob(x, theta) for x in samples))
    best = max(scores.values(), key=lambda estimate: estimate.value)
    return Outcome(best, {"ood": {name: score.value for name, score in scores.items()}})


def _check_density(study: Study, rng: np.random.Generator) -> Outcome:
    """Error of the log-density of test events."""
    theta = study.prior.sample(study.settings.density_events, rng)
    x = study.simulate(theta, rng)
    exact = cast("HasLikelihood", study.simulator).log_prob(x, theta)
    return Outcome(log_density_error(study.model.log_prob(x, theta), exact))


def _posterior_curve(
    model: PosteriorSets, exact: PosteriorSets, row: int, column: int, truth: float
) -> dict[str, Any]:
    """Marginal posterior densities of one parameter of one set, on common points."""
    theta = exact.span(row, column, model)
    return {
        "theta": theta,
        "model": model.marginal(row, column, theta),
        "exact": exact.marginal(row, column, theta),
        "truth": truth,
    }


SURFACE_STREAM = 6
"""Random stream of :func:`surface_curves`."""

CHECKS: dict[str, Check] = {
    "manifold_distance": Check(_check_distance, 0, (needs_manifold, needs_samples)),
    "reconstruction_error": Check(_check_reconstruction, 1, (needs_encoder,)),
    "posterior_mmd2": Check(_check_posterior, COMPARISON_STREAM, (needs_ratio, needs_likelihood)),
    "posterior_kl": Check(_check_divergence, COMPARISON_STREAM, (needs_ratio, needs_likelihood)),
    "ood_auc": Check(_check_ood, 3, (needs_manifold, needs_encoder)),
    "log_density_error": Check(_check_density, 4, (needs_exact_density,)),
    "kinematic_closure": Check(_check_kinematics, 14, (needs_closure, needs_samples)),
    **TRUTH_CHECKS,
    **CALIBRATION_CHECKS,
    **RATIO_CHECKS,
}
"""The check behind each metric."""
