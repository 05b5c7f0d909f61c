import numpy as np
import pytest
from scipy import stats

from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent, differential_cross_section
from lfi_mflow_simulators.higgs_eft.partons import DENSITIES
from lfi_mflow_simulators.higgs_eft.sampler import Proposals, draw_proposals, pilot, propose

SCALES = np.array([1.0, 10.0, 10.0, 100.0, 100.0, 100.0])


@pytest.fixture(scope="module")
def components(proposals):
    """Components in the published units, with shape (6, N)."""
    return proposals[0].parts.sum(axis=0) * SCALES[:, None]


@pytest.fixture(scope="module")
def angle(proposals):
    """Azimuth of the jet at larger rapidity against that of the other."""
    z = proposals[0].z
    forward = z[1] > z[5]
    return np.angle(np.exp(1j * np.where(forward, z[2] - z[6], z[6] - z[2])))


def histogram(angle, weight):
    return np.histogram(angle, np.linspace(-np.pi, np.pi, 17), weights=weight)[0]


@pytest.mark.statistical
def test_cross_section_by_a_plain_integration(proposals):
    """The same integral from flat draws in other coordinates, to four standard errors."""
    rng, n = np.random.default_rng(8), 400_000
    # p(pT^2) = 400 / pT^4 above 20 GeV; rapidities of jets flat, the Higgs boson's within +-4.6.
    pt = 20.0 / np.sqrt(rng.random((2, n)))
    y = rng.uniform(-5.0, 5.0, (2, n))
    y_h, delta = rng.uniform(-4.65, 4.65, n), rng.uniform(-np.pi, np.pi, n)
    jacobian = np.prod(0.5 * pt**4 / 400.0, axis=0) * 10.0**2 * 9.3 * (2.0 * np.pi) ** 2
    jacobian *= (y[0] - y[1]) ** 2 + delta**2 > 0.4**2
    event = HardEvent(*pt, *y, y_h, delta)
    weight = jacobian * differential_cross_section(event, DENSITIES["les-houches"])[0, 0]
    drawn, attempts = proposals
    standard = drawn.parts[:, 0].sum(axis=0)
    error = np.hypot(weight.std() / np.sqrt(n), np.sqrt(np.sum(standard**2)) / attempts)
    assert abs(weight.mean() - standard.sum() / attempts) < 4.0 * error
    assert error < 0.03 * weight.mean()


@pytest.mark.statistical
def test_the_mixture_serves_every_theta(components):
    """Effective sample sizes per event; published: 0.21 to 0.48."""
    for t1, t2 in ((0.0, 0.0), (0.05, 0.0), (0.5, 0.0), (-1.0, -1.0), (0.0, 1.0), (-0.06, 0.0)):
        weight = np.array([1.0, t1, t2, t1 * t1, t1 * t2, t2 * t2]) @ components
        assert weight.min() >= -1e-9
        assert 0.17 < weight.sum() ** 2 / np.sum(weight**2) / len(weight) < 0.6


@pytest.mark.statistical
def test_azimuth_of_the_operators(components, angle):
    """Interference of O_W is largest at 0, of O_W~ odd; the square of O_W~ peaks at +-pi/2."""
    interference = histogram(angle, components[1])
    assert np.argmax(interference) in (7, 8)
    odd = histogram(angle, components[2])
    error = np.sqrt(histogram(angle, components[2] ** 2))
    assert np.all(np.abs(odd + odd[::-1]) < 4.5 * np.hypot(error, error[::-1]))
    assert np.max(np.abs(odd) / error) > 20.0
    square = histogram(angle, components[5])
    for half, at in ((square[:8], -np.pi / 2), (square[8:], np.pi / 2)):
        middle = (np.arange(8) + 0.5) * np.pi / 8 + (at - np.pi / 2)
        assert np.average(middle, weights=half) == pytest.approx(at, abs=0.15)
        assert half[3:5].mean() > 2.0 * half[[0, 7]].mean()


@pytest.mark.statistical
def test_coordinates_without_theta_have_their_densities(proposals):
    """Five Kolmogorov-Smirnov tests; one in a thousand seeds would fail one of them."""
    z = proposals[0].z[:, :20_000]
    for values, distribution in (
        (z[3], stats.norm(np.log(0.12), 0.35)),
        (z[9], stats.norm(0.0, 15.0)),
        (z[11], stats.norm(125.0, 1.5)),
        (np.abs(z[12]), stats.uniform(0.0, 1.0)),
        (z[2], stats.uniform(-np.pi, 2.0 * np.pi)),
    ):
        assert stats.kstest(values, distribution.cdf).pvalue > 2e-4


def test_the_parts_are_those_of_the_event(proposals):
    """Up to the density of the proposals, a number for each event."""
    drawn = proposals[0][:500]
    z = drawn.z
    delta = np.angle(np.exp(1j * (z[2] - z[6])))
    event = HardEvent(z[0], z[4], z[1], z[5], z[8], delta)
    parts = differential_cross_section(event, DENSITIES["les-houches"])
    ratio = drawn.parts[0, 0] / parts[0, 0]
    np.testing.assert_allclose(drawn.parts, parts * ratio, rtol=1e-7, atol=1e-12)


def test_as_many_events_as_asked_for():
    rng = np.random.default_rng(0)
    for n in (0, 1, 700):
        drawn = draw_proposals(n, "les-houches", "analysis", rng)
        assert (len(drawn), drawn.z.shape, drawn.p.shape) == (n, (14, n), (4, 4, n))
    assert isinstance(propose(10, "lhc", "jets", rng), Proposals)


def test_the_pilot_is_the_standard_model(sample):
    """Moments of the features, against another sample of the same cuts."""
    known = pilot("les-houches", "jets")
    mean = np.average(sample.x, axis=0, weights=sample.weight)
    np.testing.assert_allclose(mean / known.sd, known.mean / known.sd, atol=0.05)
    assert known.efficiency == pytest.approx(0.85, abs=0.02)
