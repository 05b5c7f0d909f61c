"""Posteriors by ratio estimators that were trained for seconds, against exact ones."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.inference import (
    RatioLikelihood,
    SimulatorLikelihood,
    event_log_ratios,
    grid_posterior,
    log_posterior,
)
from lfi_mflow.simulation import Events, Normal, Prior, Uniform
from lfi_mflow.training import ALGORITHMS, ResidentEvents, fit
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

pytestmark = pytest.mark.statistical
EVENTS, SETS = 20, 10


class Gaussian:
    """x ~ N(theta, 1) with the prior N(0, 0.5^2): the posterior is known in closed form."""

    prior = Prior((Normal(0.0, 0.5),))

    def simulate(self, theta, rng):
        x = theta + rng.normal(size=theta.shape)
        log_ratio = (x * theta - 0.5 * theta**2)[:, 0]
        return Events(theta, x, score=x - theta, log_ratio=log_ratio)


class Surface(PolynomialSurface):
    """The polynomial surface with joint ratios."""

    prior = Prior((Uniform(-1.0, 1.0),))

    def __init__(self):
        super().__init__(reference=-1)


@pytest.fixture
def train():
    """A function that trains on n events of a simulator for some epochs."""

    def run(name, simulator, n, epochs):
        rng = np.random.default_rng(7)
        events = simulator.simulate(simulator.prior.sample(n, rng), rng)
        columns = ("x", "theta", "score", "log_ratio")
        tensors = {key: torch.from_numpy(getattr(events, key)).float() for key in columns}
        resident = ResidentEvents(**tensors, validation_fraction=0.1, seed=0)
        d = events.x.shape[1]
        flow = build_flow(name, Dimensions(d, d, 1), {"network": {"hidden": 48, "blocks": 2}})
        phases = [dataclasses.replace(p, epochs=epochs) for p in ALGORITHMS[name]()]
        fit(flow, phases, resident, seed=3)
        return flow

    return run


def _grid(likelihood, prior):
    return grid_posterior(log_posterior(likelihood, prior), prior, data_sets=SETS)


@pytest.mark.parametrize(("name", "n"), [("nre-c", 30_000), ("alices", 10_000)])
def test_the_conjugate_posterior(train, name, n):
    """Mean within a fifth of the width, width within a tenth, on average over ten data sets."""
    simulator = Gaussian()
    flow = train(name, simulator, n, 6)
    rng = np.random.default_rng(8)
    theta = simulator.prior.sample(SETS, rng)
    x = theta[:, None] + rng.normal(size=(SETS, EVENTS, 1))
    found = _grid(RatioLikelihood(flow, torch.from_numpy(x).float()), simulator.prior)
    precision = EVENTS + 1 / 0.25
    pull = (found.mean[:, 0].numpy() - x.sum(axis=(1, 2)) / precision) * precision**0.5
    assert np.sqrt(np.mean(pull**2)) < 0.2
    assert np.mean(found.sd[:, 0].numpy()) * precision**0.5 == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("name", "n", "correlation", "mismatch"),
    [("nre-c", 30_000, 0.96, 0.15), ("alices", 15_000, 0.98, 0.08)],
)
def test_the_polynomial_surface(train, name, n, correlation, mismatch):
    """Posteriors by the share of probability that is elsewhere, single events by correlation."""
    simulator = Surface()
    flow = train(name, simulator, n, 6)
    rng = np.random.default_rng(9)
    theta = simulator.prior.sample(SETS, rng)
    x = simulator.simulate(np.repeat(theta, EVENTS, axis=0), rng).x.reshape(SETS, EVENTS, 3)
    posteriors = (
        _grid(RatioLikelihood(flow, torch.from_numpy(x).float()), simulator.prior),
        _grid(SimulatorLikelihood(simulator, x), simulator.prior),
    )
    points = torch.linspace(-1, 1, 801, dtype=torch.float64).expand(SETS, -1)[..., None]
    densities = [_normalised(posterior.log_prob(points)) for posterior in posteriors]
    elsewhere = 0.5 * (densities[0] - densities[1]).abs().sum(dim=-1)
    assert elsewhere.mean() < mismatch

    test = simulator.simulate(simulator.prior.sample(2000, rng), rng).x
    points = (np.array([-0.6]), np.array([0.5]))
    exact = np.subtract(*(simulator.log_prob(test, point[None]) for point in points))
    assert np.corrcoef(event_log_ratios(flow, test, *points), exact)[0, 1] > correlation


def _normalised(log_prob):
    """Probabilities of grid points: (D, K) -> (D, K)."""
    return (log_prob - log_prob.logsumexp(dim=-1, keepdim=True)).exp()
