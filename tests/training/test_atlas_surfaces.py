"""A sphere, which no single chart covers, by an atlas trained for a minute."""

import math

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import ResidentEvents, atlas, fit
from lfi_mflow_simulators.sphere import Sphere

pytestmark = pytest.mark.slow

CELLS = 150
THETA = np.array([[0.3, 1.0]])


def _sphere():
    """Points on the sphere and their areas: rings of equal steps in the cosine."""
    cosine, azimuth = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1, _angles()
    c, a = (values.ravel() for values in np.meshgrid(cosine, azimuth))
    s = np.sqrt(1 - c**2)
    x = np.stack([s * np.cos(a), s * np.sin(a), c], axis=1)
    return x, np.full(len(x), 4 * math.pi / len(x))


def _angles():
    return (np.arange(CELLS) + 0.5) / CELLS * 2 * math.pi


@pytest.fixture(scope="module")
def trained():
    """The simulator, an atlas of its events at one parameter point, and the surface."""
    simulator, theta = Sphere(2), THETA
    drawn = simulator.simulate(np.repeat(theta, 10_000, axis=0), np.random.default_rng(1))
    x = torch.tensor(np.asarray(drawn.x)).float()
    settings = {"quantiser": {"charts": 16}, "chart": {"base": "realnvp"}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build_flow("vq-flow", Dimensions(3, 2, 0), settings)
    events = ResidentEvents(x, torch.zeros(len(x), 0), validation_fraction=0.1, seed=1)
    fit(flow, atlas(2, 10, 15, 250), events, seed=1)
    points, areas = _sphere()
    with torch.no_grad():
        log_prob = flow.log_prob(torch.tensor(points).float(), torch.zeros(len(points), 0))
    exact = simulator.log_prob(points, theta)
    return simulator, theta, flow, areas, log_prob.double().numpy(), exact


def test_the_density_integrates_to_one(trained):
    *_, areas, log_prob, _ = trained
    assert (np.exp(log_prob) * areas).sum() == pytest.approx(1.0, abs=0.005)


def test_the_density_is_the_exact_one(trained):
    *_, areas, log_prob, exact = trained
    mass = np.exp(exact) * areas
    assert (mass * np.abs(log_prob - exact)).sum() < 0.15
    assert (mass * (exact - log_prob)).sum() < 0.02


@torch.no_grad()
def test_events_are_reproduced_and_generated(trained):
    simulator, theta, flow, *_ = trained
    fresh = simulator.simulate(np.repeat(theta, 5000, axis=0), np.random.default_rng(2))
    x = torch.tensor(np.asarray(fresh.x)).float()
    assert (x - flow.project(x)).square().sum(dim=1).mean() < 1e-4
    drawn = flow.sample(torch.zeros(5000, 0), torch.Generator().manual_seed(1))
    assert simulator.distance(drawn.double().numpy()).mean() < 0.01
