import math

import numpy as np
import pytest
from scipy import stats

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import check_simulator
from lfi_mflow_simulators.torus import Torus

THETA = [(0.0, 0.15), (0.7, 0.4), (-1.5, 1.0)]


def surface(steps, R, r):
    angle = np.linspace(0.0, 2.0 * math.pi, steps, endpoint=False)
    a, b = (grid.ravel() for grid in np.meshgrid(angle, angle))
    from_axis = R + r * np.cos(b)
    x = np.stack([from_axis * np.cos(a), from_axis * np.sin(a), r * np.sin(b)], axis=1)
    return x, r * from_axis * (2.0 * math.pi / steps) ** 2


def test_conforms():
    assert len(check_simulator(Torus())) == 9


@pytest.mark.parametrize("theta", THETA)
@pytest.mark.parametrize(("R", "r"), [(1.0, 0.4), (3.0, 2.5)])
def test_density_integrates_to_one(theta, R, r):
    x, area = surface(300, R, r)
    density = np.exp(Torus(R, r).log_prob(x, np.array([theta])))
    assert (density * area).sum() == pytest.approx(1.0, abs=1e-10)


@pytest.mark.statistical
def test_events_follow_the_density():
    """Expected counts in boxes, at a false-alarm rate of 1e-3."""
    theta = (0.4, 0.6)
    events = Torus().simulate(np.tile(theta, (20_000, 1)), np.random.default_rng(1))
    x, area = surface(400, 1.0, 0.4)
    mass = np.exp(Torus().log_prob(x, np.array([theta]))) * area
    edges = [np.array([-np.inf, 0.7, 1.1, np.inf]), np.array([-np.inf, 0.3, 0.7, np.inf])]
    expected, *_ = np.histogram2d(x[:, 0], x[:, 1], edges, weights=20_000 * mass)
    found, *_ = np.histogram2d(events.x[:, 0], events.x[:, 1], edges)
    kept = expected.ravel() > 20
    chi2 = ((found - expected).ravel()[kept] ** 2 / expected.ravel()[kept]).sum()
    assert stats.chi2.sf(chi2, kept.sum() - 1) > 1e-3


def test_events_lie_on_the_torus_and_perturbed_ones_do_not():
    rng = np.random.default_rng(2)
    simulator = Torus(2.0, 0.5)
    x = simulator.simulate(np.tile(THETA[2], (500, 1)), rng).x
    np.testing.assert_allclose(simulator.distance(x), 0.0, atol=1e-12)
    assert simulator.distance(simulator.perturb(x, rng)).mean() > 0.03
    outward = np.array([[2.7, 0.0, 0.0], [0.0, 2.0, 0.8], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(simulator.distance(outward), [0.2, 0.3, 1.5])


@pytest.mark.parametrize("radii", [(1.0, 1.0), (1.0, 0.0), (0.5, 1.0), (math.inf, 1.0)])
def test_radii_that_make_no_torus_are_refused(radii):
    with pytest.raises(InputError, match="tube_radius < axis_radius"):
        Torus(*radii)
