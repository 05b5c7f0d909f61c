import numpy as np
import pytest

from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent, differential_cross_section
from lfi_mflow_simulators.higgs_eft.channels import (
    TARGETS,
    Channels,
    adapted_channels,
    from_cube,
    to_cube,
)
from lfi_mflow_simulators.higgs_eft.cuts import passes_jet_cuts
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES


@pytest.fixture(scope="module")
def channels():
    return adapted_channels("les-houches")


def columns(event):
    return np.stack([event.pt1, event.pt2, event.y1, event.y2, event.y_h, event.delta])


def test_the_cube_is_mapped_to_events_and_back():
    t = np.random.default_rng(0).random((6, 5000))
    event, jacobian = from_cube(t)
    reached = jacobian > 0.0
    assert 0.2 < reached.mean() < 1.0
    again, same = to_cube(event[reached])
    np.testing.assert_allclose(again, t[:, reached], atol=1e-9)
    np.testing.assert_allclose(same, jacobian[reached], rtol=1e-9)


def test_the_jacobian_is_that_of_the_map():
    t = np.random.default_rng(1).uniform(0.3, 0.7, (6, 30))
    event, jacobian = from_cube(t)
    step = 1e-6
    for row in range(30):
        shifts = step * np.eye(6)
        high, low = (columns(from_cube(t[:, [row]] + sign * shifts)[0]) for sign in (1.0, -1.0))
        determinant = abs(np.linalg.det((high - low) / (2.0 * step)))
        # d2pT1 d2pT2 = pT1 pT2 dpT1 dpT2 d(delta) dphi, and phi is integrated.
        expected = determinant * event.pt1[row] * event.pt2[row] * 2.0 * np.pi
        assert jacobian[row] == pytest.approx(expected, rel=1e-6)


@pytest.mark.statistical
def test_draws_follow_the_density(channels):
    """Volumes and moments by weights 1 / density, to four standard errors each."""
    t = channels.draw(200_000, np.random.default_rng(2))
    assert t.min() >= 0.0
    assert t.max() <= 1.0
    weight = 1.0 / channels.density(t)
    for values, expected in (
        (np.ones(t.shape[1]), 1.0),
        (t[0] * t[3], 0.25),
        (np.all(t > 0.4, axis=0) * 1.0, 0.6**6),
    ):
        product = weight * values
        assert abs(product.mean() - expected) < 4.0 * product.std() / np.sqrt(len(weight))


def test_histograms_are_normalised(channels):
    np.testing.assert_allclose(channels._tables.mean(axis=2), 1.0)
    assert channels._tables.shape[:2] == (6, len(TARGETS))


@pytest.mark.statistical
def test_the_own_channel_of_the_standard_model_is_efficient(channels):
    own = Channels(channels._tables[:, :1])
    t = own.draw(100_000, np.random.default_rng(3))
    event, jacobian = from_cube(t)
    weight = jacobian / own.density(t) * passes_jet_cuts(event)
    weight *= differential_cross_section(event, DENSITIES["les-houches"])[0, 0]
    # Published: 0.61.
    assert weight.sum() ** 2 / np.sum(weight**2) / len(weight) == pytest.approx(0.63, abs=0.05)


def test_adaptation_is_deterministic_and_leaves_global_state_alone():
    before = np.random.get_state(legacy=False)["state"]["key"].copy()
    first = adapted_channels("lhc")._tables
    adapted_channels.cache_clear()
    np.testing.assert_array_equal(adapted_channels("lhc")._tables, first)
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before)


def test_swapped_events_stay_in_the_cube(proposals, channels):
    z = proposals[0].z[:, :2000]
    delta = np.angle(np.exp(1j * (z[2] - z[6])))
    event = HardEvent(z[0], z[4], z[1], z[5], z[8], delta)
    for assigned in (event, event.swapped()):
        t, jacobian = to_cube(assigned)
        assert t.min() >= 0.0
        assert t.max() <= 1.0
        assert jacobian.min() > 0.0
        assert channels.density(t).min() > 0.0
