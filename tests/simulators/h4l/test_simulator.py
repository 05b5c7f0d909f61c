import numpy as np
import pytest

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import check_simulator
from lfi_mflow_simulators.h4l import H4l
from lfi_mflow_simulators.h4l.kinematics import coordinates, lepton_momenta

SM = np.array([[1.0, 0.0, 0.0]])


@pytest.fixture(scope="module", params=[1.0, 0.0], ids=["wide", "narrow"])
def simulator(request):
    return H4l(request.param)


@pytest.fixture(scope="module")
def prior_events(simulator):
    rng = np.random.default_rng(2)
    low, high = np.array([(item.low, item.high) for item in simulator.parameters]).T
    return simulator.simulate(rng.uniform(low, high, (40_000, 3)), rng)


def column(simulator, events, name):
    return events.x[:, [item.name for item in simulator.observables].index(name)]


def test_conforms(simulator):
    assert len(check_simulator(simulator)) >= 9
    assert len(simulator.observables) == 40


def test_dimension_and_features_of_the_mass():
    wide, narrow = H4l(), H4l(0.0)
    assert (wide.manifold_dim, narrow.manifold_dim) == (12, 11)
    assert wide.observables[-1].name == "m_h"
    # A constant feature could not be standardised.
    assert all(item.name != "m_h" for item in narrow.observables)


@pytest.mark.parametrize("width", [-0.1, 2.1, float("nan")])
def test_no_other_width(width):
    with pytest.raises(InputError, match="a width from 0 to 2 GeV"):
        H4l(width)


@pytest.mark.parametrize("theta", [(0.0, 0.0, 0.0), (1.0, np.nan, 0.0), (np.inf, 1.0, 0.0)])
def test_couplings_without_rate(theta):
    with pytest.raises(InputError, match="with a rate"):
        H4l(0.0).simulate(np.array([theta]), np.random.default_rng(0))


def test_no_rows():
    events = H4l(0.0).simulate(np.empty((0, 3)), np.random.default_rng(0))
    assert events.x.shape == (0, 40)


def test_masses(simulator, prior_events):
    m1, m2 = (column(simulator, prior_events, name) for name in ("m_z1", "m_z2"))
    assert np.all(m1 > m2)
    m_h = coordinates(simulator._features.momenta(prior_events.x))[-1]
    spread = 1e-9 if simulator.manifold_dim == 11 else 10.0
    assert np.abs(m_h - 125.0).max() < spread


def test_rate_of_the_standard_model_and_its_range(simulator):
    assert simulator.cross_section(SM)[0] == pytest.approx(2.88e-3)
    corners = simulator.cross_section(np.array([(1.5, 1.0, 2.0), (0.5, -1.0, 0.0)])) / 2.88e-3
    assert 4.0 < corners[0] < 5.0
    assert 0.1 < corners[1] < 0.15


def test_ratio_of_the_features_is_that_of_the_event(simulator, prior_events):
    x, theta = prior_events.x, prior_events.theta
    np.testing.assert_allclose(simulator.log_ratio(x, theta, SM), prior_events.log_ratio, atol=1e-8)
    np.testing.assert_allclose(simulator.score(x, theta), prior_events.score, atol=1e-7)
    np.testing.assert_allclose(simulator.log_ratio(x, theta, theta), 0.0)


def test_ratio_is_the_difference_of_the_densities(simulator, prior_events):
    x, theta = prior_events.x[:500], prior_events.theta[:500]
    difference = simulator.log_prob(x, theta) - simulator.log_prob(x, SM)
    np.testing.assert_allclose(simulator.log_ratio(x, theta, SM), difference, atol=1e-9)


def test_score_is_the_gradient(simulator, prior_events):
    x, theta = prior_events.x[:500], prior_events.theta[:500]
    score = simulator.score(x, theta)
    for i in range(3):
        step = 1e-5 * np.eye(3)[i]
        difference = simulator.log_ratio(x, theta + step, theta - step) / 2e-5
        np.testing.assert_allclose(score[:, i], difference, rtol=1e-5, atol=1e-5)


def test_scale_of_the_couplings_is_in_the_rate_only(simulator, prior_events):
    x, theta = prior_events.x[:500], prior_events.theta[:500]
    np.testing.assert_allclose(simulator.log_ratio(x, 0.7 * theta, theta), 0.0, atol=1e-9)
    rate = simulator.cross_section(theta)
    np.testing.assert_allclose(simulator.cross_section(0.7 * theta), 0.49 * rate)


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [(1.0, 0.5, -0.5), (1.2, -0.3, 1.5), (0.5, 1.0, 0.0)])
def test_mean_ratio_is_one_and_mean_score_zero(simulator, theta):
    # Ten numbers in standard deviations: 5 are exceeded once in 10^5 runs.
    n, theta = 40_000, np.array([theta])
    own = simulator.simulate(np.repeat(theta, n, 0), np.random.default_rng(7))
    ratio = np.exp(simulator.log_ratio(own.x, SM, theta))
    assert abs(ratio.mean() - 1.0) < 5.0 * ratio.std() / np.sqrt(n)
    assert np.all(np.abs(own.score.mean(axis=0)) < 5.0 * own.score.std(axis=0) / np.sqrt(n))


@pytest.mark.statistical
def test_components_estimate_the_rate(simulator, prior_events):
    # Six numbers in standard deviations: 5 are exceeded once in 10^5 runs.
    weights = prior_events.components
    assert weights.shape == (40_000, 10)
    np.testing.assert_array_equal(weights[:, :4], 0.0)
    error = weights[:, 4:].std(axis=0) / np.sqrt(len(weights))
    assert np.all(np.abs(weights.mean(axis=0) - simulator.rates)[4:] < 5.0 * error)


def test_components_hold_the_ratio(simulator, prior_events):
    a1, a2, a3 = theta = np.array([1.1, -0.4, 0.8])
    monomials = np.array([1, a1, a2, a3, a1 * a1, a1 * a2, a1 * a3, a2 * a2, a2 * a3, a3 * a3])
    density = prior_events.components @ monomials / (simulator.rates @ monomials)
    # The weights are per density of the event's own theta.
    expected = simulator.log_ratio(prior_events.x, theta[None], prior_events.theta)
    np.testing.assert_allclose(np.log(density), expected, atol=1e-8)
    assert H4l(components=False).simulate(SM, np.random.default_rng(0)).components is None


@pytest.mark.statistical
def test_density_is_normalised(simulator):
    # A box in the masses and angles, with the production as it is: E[q / p] = 1. The box holds a
    # known volume of coordinates, its expectation is off by 5 standard deviations in 10^-6 runs.
    n, theta = 20_000, np.array([[1.0, 0.2, 0.5]])
    events = simulator.simulate(np.repeat(theta, n, 0), np.random.default_rng(11))
    log_prob = simulator.log_prob(events.x, theta)
    z = coordinates(simulator._features.momenta(events.x))
    log_density = log_prob + reference_log_volume(simulator, z)
    volume = (94.0 - 88.0) * (31.0 - 18.0) * 2.0 * 2.0 * 2.0 * np.pi
    inside = (np.abs(z[6] - 91.0) < 3.0) & (np.abs(z[7] - 24.5) < 6.5)
    if simulator.manifold_dim == 12:
        inside &= np.abs(z[11] - 125.0) < 0.5
    log_box = -np.log(volume) + reference_log_production(z[0], z[1])
    values = np.where(inside, np.exp(log_box - log_density), 0.0)
    assert abs(values.mean() - 1.0) < 5.0 * values.std() / np.sqrt(n)
    assert values.std() / np.sqrt(n) < 0.05


def reference_log_production(pt, y):
    """Gamma and normal distribution, three azimuths and a cosine."""
    log_pt = np.log(pt / 400.0) - pt / 20.0
    return log_pt - 0.5 * y**2 - 0.5 * np.log(2.0 * np.pi) - np.log(2.0 * (2.0 * np.pi) ** 3)


def reference_log_volume(simulator, z):
    """Volume of the features by finite differences of the coordinates."""
    columns = []
    for k in range(simulator.manifold_dim):
        step = 1e-6 * max(1.0, np.abs(z[k]).mean())
        up, down = z.copy(), z.copy()
        up[k] += step
        down[k] -= step
        values = [simulator._features.evaluate(lepton_momenta(at)) for at in (up, down)]
        columns.append((values[0] - values[1]) / (2.0 * step))
    tangents = np.stack(columns, axis=-1)
    return 0.5 * np.linalg.slogdet(np.einsum("nda,ndb->nab", tangents, tangents))[1]
