"""A sphere and a torus, which no single chart covers, by atlases trained for a minute or two each."""

import math

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import ResidentEvents, atlas, fit
from lfi_mflow_simulators.sphere import Sphere
from lfi_mflow_simulators.toy_manifolds import Torus

pytestmark = pytest.mark.slow

CELLS = 150
THETA = {"sphere": np.array([[0.3, 1.0]]), "torus": np.array([[0.5]])}


def _sphere():
    """Points on the sphere and their areas: rings of equal steps in the cosine."""
    cosine, azimuth = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1, _angles()
    c, a = (values.ravel() for values in np.meshgrid(cosine, azimuth))
    s = np.sqrt(1 - c**2)
    x = np.stack([s * np.cos(a), s * np.sin(a), c], axis=1)
    return x, np.full(len(x), 4 * math.pi / len(x))


def _torus():
    """Points on the torus and their areas."""
    a, b = (values.ravel() for values in np.meshgrid(_angles(), _angles()))
    rho = 2.0 + 0.8 * np.cos(b)
    x = np.stack([rho * np.cos(a), rho * np.sin(a), 0.8 * np.sin(b)], axis=1)
    return x, 0.8 * rho * (2 * math.pi / CELLS) ** 2


def _angles():
    return (np.arange(CELLS) + 0.5) / CELLS * 2 * math.pi


SURFACES = {"sphere": (Sphere(2), _sphere), "torus": (Torus(), _torus)}
# a chart has to be flatter than half a circle, and the tube of the torus is narrow
CHARTS, EPOCHS = {"sphere": 16, "torus": 32}, {"sphere": (10, 15), "torus": (20, 15)}


@pytest.fixture(scope="module", params=SURFACES)
def trained(request):
    """A simulator at one parameter point, its surface and an atlas of it."""
    simulator, surface = SURFACES[request.param]
    theta = THETA[request.param]
    drawn = simulator.simulate(np.repeat(theta, 10_000, axis=0), np.random.default_rng(1))
    x = torch.tensor(np.asarray(drawn.x)).float()
    settings = {"quantiser": {"charts": CHARTS[request.param]}, "chart": {"base": "realnvp"}}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build_flow("vq-flow", Dimensions(3, 2, 0), settings)
    events = ResidentEvents(x, torch.zeros(len(x), 0), validation_fraction=0.1, seed=1)
    fit(flow, atlas(2, *EPOCHS[request.param], 250), events, seed=1)
    points, areas = surface()
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
