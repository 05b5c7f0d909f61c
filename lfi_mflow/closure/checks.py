"""The checks behind the metrics of a closure test.

A check has requirements: what the simulator must offer and what measure the
flow must use. Where they are not met the check is skipped, and says why. Every
check draws from its own random stream, so a metric has the same value whichever
others are computed beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from lfi_mflow.closure.context import Study
from lfi_mflow.closure.posteriors import PosteriorSets
from lfi_mflow.closure.published import (
    Estimate,
    log_density_error,
    manifold_distance,
    mean_estimate,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.closure.sbc import sbc_p_value, sbc_ranks
from lfi_mflow.inference.moving import has_likelihood_ratio
from lfi_mflow.simulation import HasLikelihood, HasManifold

__all__ = ["CHECKS", "Check", "Outcome", "surface_curves"]


@dataclass(frozen=True)
class Outcome:
    """What a check found: the number, and what figures need."""

    estimate: Estimate
    curves: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """How a metric is computed.

    Arguments:
        run: Computes it.
        needs: Requirements; each returns what is in the way, or None.
    """

    run: Callable[[Study, np.random.Generator], Outcome]
    needs: tuple[Callable[[Study], str | None], ...] = ()

    def obstacle(self, study: Study) -> str | None:
        """Say why the check cannot be made, None if it can."""
        return next(filter(None, (need(study) for need in self.needs)), None)


def surface_curves(study: Study, rng: np.random.Generator) -> dict[str, Any]:
    """Simulated and generated events for the figure of the manifold.

    Both are drawn at the same theta from the prior, and their log-densities are
    those at the reference theta.
    """
    n = study.settings.surface_points
    theta = study.prior.sample(n, rng)
    truth: dict[str, Any] = {"x": study.simulate(theta, rng)}
    model: dict[str, Any] = {"x": study.model.sample(theta, _seed(rng))}
    reference = study.reference(n)
    if _exact_density(study) is None:
        exact = cast("HasLikelihood", study.simulator)
        truth["log_prob"] = exact.log_prob(truth["x"], reference)
        model["log_prob"] = study.model.log_prob(model["x"], reference)
    if _manifold(study) is None:
        model["distance"] = cast("HasManifold", study.simulator).distance(model["x"])
    return {"surface": {"truth": truth, "model": model}}


def _check_distance(study: Study, rng: np.random.Generator) -> Outcome:
    """Distance of generated events to the true manifold."""
    theta = study.prior.sample(study.settings.model_samples, rng)
    x = study.model.sample(theta, _seed(rng))
    finite = np.all(np.isfinite(x), axis=1)
    distance = np.full(len(x), np.inf)
    distance[finite] = cast("HasManifold", study.simulator).distance(x[finite])
    return Outcome(manifold_distance(distance))


def _check_reconstruction(study: Study, rng: np.random.Generator) -> Outcome:
    """Reconstruction error of test events."""
    theta = study.reference(study.settings.test_events)
    x = study.simulate(theta, rng)
    return Outcome(reconstruction_error(x, study.model.project(x, theta)))


def _check_posterior(study: Study, rng: np.random.Generator) -> Outcome:
    """MMD^2 between the posteriors of model and exact likelihood."""
    settings = study.settings
    theta = study.reference(settings.observed_sets)
    x = study.simulate_sets(theta, settings.observed_events, rng)
    model = study.model_posteriors(x, settings.posterior_samples, _seed(rng))
    exact = study.exact_posteriors(x, settings.posterior_samples, _seed(rng))
    mmd2 = np.array([posterior_mmd2(*pair) for pair in zip(model.draws, exact.draws, strict=True)])
    names = [parameter.name for parameter in study.simulator.parameters]
    curves = [
        _posterior_curve(model, exact, row, column, float(theta[row, column]))
        | {"parameter": name, "title": f"set {row + 1}"}
        for row in range(len(x))
        for column, name in enumerate(names)
    ]
    return Outcome(mean_estimate(mmd2), {"posterior": curves, "posterior_mmd2": mmd2})


def _check_ood(study: Study, rng: np.random.Generator) -> Outcome:
    """AUC of test events against events moved off the manifold, by the better score."""
    theta = study.reference(study.settings.test_events)
    inside = study.simulate(theta, rng)
    outside = cast("HasManifold", study.simulator).perturb(study.simulate(theta, rng), rng)
    samples = (inside, outside)
    errors = [np.linalg.norm(x - study.model.project(x, theta), axis=-1) for x in samples]
    scores = {"reconstruction_error": ood_auc(*errors)}
    if _density(study) is None:
        scores["log_prob"] = ood_auc(*(-study.model.log_prob(x, theta) for x in samples))
    best = max(scores.values(), key=lambda estimate: estimate.value)
    return Outcome(best, {"ood": {name: score.value for name, score in scores.items()}})


def _check_density(study: Study, rng: np.random.Generator) -> Outcome:
    """Error of the log-density of test events."""
    theta = study.prior.sample(study.settings.density_events, rng)
    x = study.simulate(theta, rng)
    exact = cast("HasLikelihood", study.simulator).log_prob(x, theta)
    return Outcome(log_density_error(study.model.log_prob(x, theta), exact))


def _check_calibration(study: Study, rng: np.random.Generator) -> Outcome:
    """Simulation-based calibration with sets of events."""
    settings = study.settings
    theta = study.prior.sample(settings.calibration_sets, rng)
    x = study.simulate_sets(theta, settings.calibration_events, rng)
    posteriors = study.model_posteriors(x, settings.calibration_draws, _seed(rng))
    ranks = sbc_ranks(theta, posteriors.draws, rng)
    n_draws = posteriors.draws.shape[1]
    p_value = sbc_p_value(ranks, n_draws)
    return Outcome(Estimate(p_value, None), {"sbc": {"ranks": ranks, "n_draws": n_draws}})


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


def _seed(rng: np.random.Generator) -> int:
    """Draw a seed for a torch generator."""
    return int(rng.integers(2**62))


def _likelihood(study: Study) -> str | None:
    """Require the exact likelihood."""
    known = isinstance(study.simulator, HasLikelihood)
    return None if known else f"the likelihood of {study.simulator.name!r} is not known"


def _manifold(study: Study) -> str | None:
    """Require the true manifold."""
    known = isinstance(study.simulator, HasManifold)
    return None if known else f"the manifold of {study.simulator.name!r} is not known"


def _encoder(study: Study) -> str | None:
    """Require a way to project events."""
    return "the model has no encoder" if "encode" in study.model.flow.lacks else None


def _density(study: Study) -> str | None:
    """Require a density."""
    return "the model has no density" if "log_prob" in study.model.flow.lacks else None


def _ratio(study: Study) -> str | None:
    """Require something to infer, and densities that can be compared at different parameters."""
    if not study.prior.dim:
        return "the model has no parameters"
    if _density(study) is None and not has_likelihood_ratio(study.model.flow):
        return "the model's manifold depends on theta, so that there is no likelihood ratio"
    return _density(study)


def _exact_density(study: Study) -> str | None:
    """Require an exact density with respect to the measure of the model's."""
    reference = study.model.flow.reference
    full = study.simulator.manifold_dim == study.model.flow.data_dim
    if reference == "hausdorff" or (reference == "lebesgue" and full):
        return _likelihood(study)
    return f"the model's density refers to the {reference} measure, the exact one to the manifold"


CHECKS: dict[str, Check] = {
    "manifold_distance": Check(_check_distance, (_manifold,)),
    "reconstruction_error": Check(_check_reconstruction, (_encoder,)),
    "posterior_mmd2": Check(_check_posterior, (_ratio, _likelihood)),
    "ood_auc": Check(_check_ood, (_manifold, _encoder)),
    "log_density_error": Check(_check_density, (_exact_density,)),
    "sbc_p_value": Check(_check_calibration, (_ratio,)),
}
"""The check behind each metric."""
