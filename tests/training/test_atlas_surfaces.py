"""A sphere and a torus, which no single chart covers, by atlases trained for a minute."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import ResidentEvents, atlas, fit
from lfi_mflow_simulators.sphere import Sphere
from lfi_mflow_simulators.torus import Torus

pytestmark = pytest.mark.slow

CELLS = 150
THETA = np.array([[0.3, 1.0]])


class Surface(NamedTuple):
    """A surface, and what is trained on it and asked of the density there."""

    simulator: Any
    events: int
    schedule: tuple[int, int, int, int]  # epochs of the three phases, and events of a batch
    settings: dict[str, Any]
    error: float
    divergence: float


SURFACES = {
    "sphere": Surface(
        Sphere(2),
        10_000,
        (2, 10, 15, 250),
        {"quantiser": {"charts": 16}, "chart": {"base": "realnvp"}},
        error=0.15,
        divergence=0.02,
    ),
    "torus": Surface(
        Torus(),
        20_000,
        (2, 20, 20, 250),
        {
            "quantiser": {"charts": 64, "overlap": 0.5},
            "chart": {"base": "realnvp", "features": 8},
        },
        error=0.2,
        divergence=0.03,
    ),
}


def _sphere():
    """Points on the sphere and their areas: rings of equal steps in the cosine."""
    cosine, azimuth = (np.arange(CELLS) + 0.5) / CELLS * 2 - 1, _angles()
    c, a = (values.ravel() for values in np.meshgrid(cosine, azimuth))
    s = np.sqrt(1 - c**2)
    x = np.stack([s * np.cos(a), s * np.sin(a), c], axis=1)
    return x, np.full(len(x), 4 * math.pi / len(x))


def _torus():
    """Points on the torus and their areas: a lattice in both angles."""
    a, b = (values.ravel() for values in np.meshgrid(_angles(), _angles()))
    from_axis = 1 + 0.4 * np.cos(b)
    x = np.stack([from_axis * np.cos(a), from_axis * np.sin(a), 0.4 * np.sin(b)], axis=1)
    return x, 0.4 * from_axis * (2 * math.pi / CELLS) ** 2


def _angles():
    return (np.arange(CELLS) + 0.5) / CELLS * 2 * math.pi


@pytest.fixture(scope="module", params=SURFACES)
def trained(request):
    """The surface, an atlas of its events at one parameter point, and its densities."""
    surface, theta = SURFACES[request.param], THETA
    simulator = surface.simulator
    start = np.random.default_rng(1)
    drawn = simulator.simulate(np.repeat(theta, surface.events, axis=0), start)
    x = torch.tensor(np.asarray(drawn.x)).float()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build_flow("vq-flow", Dimensions(3, 2, 0), surface.settings)
    events = ResidentEvents(x, torch.zeros(len(x), 0), validation_fraction=0.1, seed=1)
    fit(flow, atlas(*surface.schedule), events, seed=1)
    points, areas = {"sphere": _sphere, "torus": _torus}[request.param]()
    with torch.no_grad():
        log_prob = flow.log_prob(torch.tensor(points).float(), torch.zeros(len(points), 0))
    exact = simulator.log_prob(points, theta)
    return surface, flow, areas, log_prob.double().numpy(), exact


def test_the_density_integrates_to_one(trained):
    *_, areas, log_prob, _ = trained
    assert (np.exp(log_prob) * areas).sum() == pytest.approx(1.0, abs=0.005)


def test_the_density_is_the_exact_one(trained):
    surface, _, areas, log_prob, exact = trained
    mass = np.exp(exact) * areas
    assert (mass * np.abs(log_prob - exact)).sum() < surface.error
    assert (mass * (exact - log_prob)).sum() < surface.divergence


@torch.no_grad()
def test_events_are_reproduced_and_generated(trained):
    surface, flow, *_ = trained
    fresh = surface.simulator.simulate(np.repeat(THETA, 5000, axis=0), np.random.default_rng(2))
    x = torch.tensor(np.asarray(fresh.x)).float()
    assert (x - flow.project(x)).square().sum(dim=1).mean() < 1e-4
    drawn = flow.sample(torch.zeros(5000, 0), torch.Generator().manual_seed(1))
    assert surface.simulator.distance(drawn.double().numpy()).mean() < 0.01
