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

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.closure.posteriors import PosteriorSets, sample_posteriors
from lfi_mflow.closure.published import (
    Array,
    Estimate,
    log_density_error,
    manifold_distance,
    mean_estimate,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.closure.sbc import sbc_p_value, sbc_ranks
from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.likelihood import EventSetLikelihood, SimulatorLikelihood
from lfi_mflow.simulation import HasLikelihood, HasManifold, Prior, Simulator

__all__ = ["CHECKS", "Check", "ClosureSettings", "Outcome", "Study", "surface_curves"]


@dataclass(frozen=True)
class ClosureSettings:
    """Sizes of a closure test; the defaults are those of the published study.

    The published MMD^2 comes from one observed set. It depends on that set as
    much as on the model, so several sets are used here: the metric is their mean,
    its uncertainty the standard error of that mean.

    Arguments:
        model_samples: Events drawn from the model for the distance to the manifold.
        test_events: Test events for reconstruction and out-of-distribution scores.
        density_events: Test events for the error of the log-density.
        observed_sets: Observed sets for the comparison of posteriors.
        observed_events: Events in each of them.
        posterior_samples: Samples of each posterior.
        calibration_sets: Sets of events for the calibration test.
        calibration_events: Events in each of them.
        calibration_draws: Posterior draws that each rank counts.
        surface_points: Events in each panel of the manifold figure.
        reference_theta: Where test and observed events are simulated; None for
            zero, or the middle of a prior that does not hold zero.

    Raises:
        ConfigError: If a size is smaller than two.
    """

    model_samples: int = 10_000
    test_events: int = 1_000
    density_events: int = 2_000
    observed_sets: int = 5
    observed_events: int = 20
    posterior_samples: int = 5_000
    calibration_sets: int = 300
    calibration_events: int = 20
    calibration_draws: int = 499
    surface_points: int = 4_000
    reference_theta: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the sizes."""
        single = ("observed_sets", "observed_events", "calibration_events")
        for name, value in vars(self).items():
            least = 1 if name in single else 2
            if name != "reference_theta" and value < least:
                raise ConfigError(f"{name} >= {least}", str(value), "raise it")


@dataclass(frozen=True)
class Study:
    """What every check works on.

    Arguments:
        model: The flow under test.
        simulator: The simulator that it was trained on.
        prior: Prior of the parameters.
        seed: Seed of all randomness.
        settings: Sizes.
    """

    model: FlowEvaluator
    simulator: Simulator
    prior: Prior
    seed: int
    settings: ClosureSettings

    def rng(self, stream: int) -> np.random.Generator:
        """Return the random stream of one check."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(stream,)))

    def reference(self, n: int) -> Array:
        """Repeat the reference theta: (n, p)."""
        theta = self.settings.reference_theta
        if theta is None:
            holds_zero = (self.prior.low <= 0.0) & (self.prior.high >= 0.0)
            ends = [np.where(holds_zero, 0.0, end) for end in (self.prior.low, self.prior.high)]
            return np.tile(0.5 * (ends[0] + ends[1]), (n, 1))
        if len(theta) != self.prior.dim:
            raise ConfigError(
                f"reference_theta with {self.prior.dim} values", str(theta), "correct it"
            )
        return np.tile(np.asarray(theta, dtype=float), (n, 1))

    def simulate(self, theta: Array, rng: np.random.Generator) -> Array:
        """Simulate one event per row of theta: (N, p) -> (N, d)."""
        return np.asarray(self.simulator.simulate(theta, rng).x, dtype=float)

    def simulate_sets(self, theta: Array, events: int, rng: np.random.Generator) -> Array:
        """Simulate a set of events per row of theta: (D, p) -> (D, events, d)."""
        x = self.simulate(np.repeat(theta, events, axis=0), rng)
        return x.reshape(len(theta), events, -1)

    def model_posteriors(self, x: Array, n_draws: int, seed: int) -> PosteriorSets:
        """Posteriors by the model of D sets of events, with shape (D, N, d)."""
        likelihood = EventSetLikelihood(self.model.flow, self.model.tensor(x))
        return sample_posteriors(likelihood, self.prior, len(x), n_draws, seed)

    def exact_posteriors(self, x: Array, n_draws: int, seed: int) -> PosteriorSets:
        """Exact posteriors of D sets of events, with shape (D, N, d)."""
        likelihood = SimulatorLikelihood(cast("HasLikelihood", self.simulator), x)
        return sample_posteriors(likelihood, self.prior, len(x), n_draws, seed)


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
    x = study.simulate(study.reference(study.settings.test_events), rng)
    return Outcome(reconstruction_error(x, study.model.project(x)))


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
    errors = [np.linalg.norm(x - study.model.project(x), axis=-1) for x in (inside, outside)]
    surprises = [-study.model.log_prob(x, theta) for x in (inside, outside)]
    scores = {"reconstruction_error": ood_auc(*errors), "log_prob": ood_auc(*surprises)}
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


def _parameters(study: Study) -> str | None:
    """Require something to infer."""
    return None if study.prior.dim else "the model has no parameters"


def _exact_density(study: Study) -> str | None:
    """Require an exact density with respect to the measure of the model's."""
    reference = study.model.flow.reference
    full = study.simulator.manifold_dim == study.model.flow.data_dim
    if reference == "hausdorff" or (reference == "lebesgue" and full):
        return _likelihood(study)
    return f"the model's density refers to the {reference} measure, the exact one to the manifold"


CHECKS: dict[str, Check] = {
    "manifold_distance": Check(_check_distance, (_manifold,)),
    "reconstruction_error": Check(_check_reconstruction),
    "posterior_mmd2": Check(_check_posterior, (_parameters, _likelihood)),
    "ood_auc": Check(_check_ood, (_manifold,)),
    "log_density_error": Check(_check_density, (_exact_density,)),
    "sbc_p_value": Check(_check_calibration, (_parameters,)),
}
"""The check behind each metric."""
