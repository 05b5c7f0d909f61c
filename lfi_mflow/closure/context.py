"""What a closure test works on: a flow, a simulator, a prior and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import numpy as np

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.closure.posteriors import PosteriorSets, sample_posteriors
from lfi_mflow.closure.published import Array
from lfi_mflow.closure.sbc import Integers, sbc_ranks
from lfi_mflow.errors import ConfigError, DataError, ModelMismatchError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.inference.exact import SimulatorLikelihood
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.simulation import (
    HasLikelihood,
    HasTestPoints,
    Prior,
    Simulator,
    simulate_unweighted,
)

__all__ = [
    "CALIBRATION_STREAM",
    "COMPARISON_STREAM",
    "Calibration",
    "ClosureSettings",
    "Observed",
    "Study",
    "check_dimensions",
    "draw_seed",
]

COMPARISON_STREAM = 2
CALIBRATION_STREAM = 5


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
        observed_sets: Observed sets for the comparison of posteriors, at each test point.
        observed_events: Events in each of them.
        posterior_samples: Samples of each posterior.
        calibration_sets: Sets of events for the calibration test.
        calibration_events: Events in each of them.
        calibration_draws: Posterior draws that each rank counts.
        ratio_sets: Sets of as many events for the calibration of likelihood ratios.
        ratio_events: Single events for the calibration of a ratio estimator.
        classifier_samples: Samples of each posterior that a classifier has to tell apart.
        surface_points: Events in each panel of the manifold figure.
        truth_bandwidth: Width of the kernels by which the density of posterior samples
            at the truth is estimated, in the units of the parameters.
        reference_theta: Where test and observed events are simulated; None for
            zero, or the middle of a prior that does not hold zero.
        test_points: Where posteriors and kinematic closure are tested; None for those of
            the simulator that the prior holds, or without any for the reference theta.

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
    ratio_sets: int = 1_000
    ratio_events: int = 10_000
    classifier_samples: int = 1_000
    surface_points: int = 4_000
    truth_bandwidth: float = 0.15
    reference_theta: tuple[float, ...] | None = None
    test_points: tuple[tuple[float, ...], ...] | None = None

    def __post_init__(self) -> None:
        """Check the sizes."""
        single = ("observed_sets", "observed_events", "calibration_events")
        for name, value in vars(self).items():
            least = 1 if name in single else 2
            if type(value) is int and value < least:
                raise ConfigError(f"{name} >= {least}", str(value), "raise it")
        if not 0.0 < self.truth_bandwidth < np.inf:
            raise ConfigError("truth_bandwidth > 0", str(self.truth_bandwidth), "correct it")


@dataclass(frozen=True)
class Observed:
    """Simulated sets of events at the test points, as if they were observed.

    Arguments:
        theta: The true parameters, with shape (D, p).
        x: The sets of events, with shape (D, N, d).
        seeds: Seeds of the posteriors by the model and of the exact ones.
    """

    theta: Array
    x: Array
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Calibration:
    """Posteriors of sets of events whose parameters are draws of the prior.

    Arguments:
        theta: The true parameters, with shape (D, p).
        x: The sets of events, with shape (D, N, d).
        posteriors: Their posteriors by the model.
        ranks: Ranks of the true parameters among the draws, with shape (D, p).
    """

    theta: Array
    x: Array
    posteriors: PosteriorSets
    ranks: Integers

    @property
    def n_draws(self) -> int:
        """Number L of draws that each rank counts."""
        return self.posteriors.draws.shape[1]


@dataclass(frozen=True)
class Study:
    """What every check works on.

    Arguments:
        model: The flow under test.
        simulator: The simulator that it was trained on.
        prior: Prior of the parameters.
        seed: Seed of all randomness.
        settings: Sizes.
        training: What the model file says of the training.
        training_prior: Prior of the training events, None if unknown: then it is taken
            for the prior.
    """

    model: FlowEvaluator
    simulator: Simulator
    prior: Prior
    seed: int
    settings: ClosureSettings
    training: Mapping[str, Any] = field(default_factory=dict)
    training_prior: Prior | None = None

    @cached_property
    def observed(self) -> Observed:
        """The observed sets; drawn once, for all checks that need them."""
        settings, rng = self.settings, self.rng(COMPARISON_STREAM)
        theta = np.repeat(self.test_points(), settings.observed_sets, axis=0)
        x = self.simulate_sets(theta, settings.observed_events, rng)
        return Observed(theta, x, (draw_seed(rng), draw_seed(rng)))

    @cached_property
    def observed_by_model(self) -> PosteriorSets:
        """Posteriors of the observed sets by the model."""
        sets, samples = self.observed, self.settings.posterior_samples
        return self.model_posteriors(sets.x, samples, sets.seeds[0])

    @cached_property
    def observed_exactly(self) -> PosteriorSets:
        """Exact posteriors of the observed sets."""
        sets, samples = self.observed, self.settings.posterior_samples
        return self.exact_posteriors(sets.x, samples, sets.seeds[1])

    @cached_property
    def calibration(self) -> Calibration:
        """Posteriors of the calibration sets; taken once, for all checks that need them."""
        settings, rng = self.settings, self.rng(CALIBRATION_STREAM)
        theta = self.prior.sample(settings.calibration_sets, rng)
        x = self.simulate_sets(theta, settings.calibration_events, rng)
        posteriors = self.model_posteriors(x, settings.calibration_draws, draw_seed(rng))
        return Calibration(theta, x, posteriors, sbc_ranks(theta, posteriors.draws, rng))

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

    def test_points(self) -> Array:
        """Return the parameters at which posteriors are tested, with shape (K, p).

        Raises:
            ConfigError: If the settings name points of other dimension.
        """
        points = self.settings.test_points
        if points is None and isinstance(self.simulator, HasTestPoints):
            known = np.array(self.simulator.test_points, dtype=float)
            inside = np.isfinite(self.prior.log_prob(known))
            points = tuple(map(tuple, known[inside]))
        if not points:
            return self.reference(1)
        if any(len(point) != self.prior.dim for point in points):
            raise ConfigError(
                f"test_points with {self.prior.dim} values each", str(points), "correct them"
            )
        return np.array(points, dtype=float)

    def simulate(self, theta: Array, rng: np.random.Generator) -> Array:
        """Simulate one event per row of theta, unweighted: (N, p) -> (N, d).

        Raises:
            ConfigError: If the simulator's weights cannot be removed.
        """
        try:
            events = simulate_unweighted(self.simulator, theta, rng)
        except DataError as error:
            raise ConfigError(error.expected, error.found, error.remedy) from error
        return np.asarray(events.x, dtype=float)

    def simulate_sets(self, theta: Array, events: int, rng: np.random.Generator) -> Array:
        """Simulate a set of events per row of theta: (D, p) -> (D, events, d)."""
        x = self.simulate(np.repeat(theta, events, axis=0), rng)
        return x.reshape(len(theta), events, -1)

    def model_posteriors(self, x: Array, n_draws: int, seed: int) -> PosteriorSets:
        """Posteriors by the model of D sets of events, with shape (D, N, d)."""
        return sample_posteriors(self.model_likelihood, x, self.prior, n_draws, seed)

    def exact_posteriors(self, x: Array, n_draws: int, seed: int) -> PosteriorSets:
        """Exact posteriors of D sets of events, with shape (D, N, d)."""
        return sample_posteriors(self.exact_likelihood, x, self.prior, n_draws, seed)

    def model_likelihood(self, x: Array) -> LogPosterior:
        """Log-likelihood by the model of D sets of events, with shape (D, N, d)."""
        return likelihood_of(self.model.flow, self.model.tensor(x))

    def exact_likelihood(self, x: Array) -> LogPosterior:
        """Exact log-likelihood of D sets of events, with shape (D, N, d)."""
        return SimulatorLikelihood(cast("HasLikelihood", self.simulator), x)


def draw_seed(rng: np.random.Generator) -> int:
    """Draw a seed for a torch generator."""
    return int(rng.integers(2**62))


def check_dimensions(flow: Flow, simulator: Simulator, prior: Prior) -> None:
    """Refuse a flow that cannot have been trained on this simulator."""
    pairs = (
        ("observables", flow.data_dim, len(simulator.observables)),
        ("parameters", flow.theta_dim, len(simulator.parameters)),
        ("parameters in the prior", flow.theta_dim, prior.dim),
    )
    for what, expected, found in pairs:
        if expected != found:
            raise ModelMismatchError(
                f"{expected} {what}, as in the model",
                f"{found} with simulator {simulator.name!r}",
                "name the simulator that the model was trained on",
            )
