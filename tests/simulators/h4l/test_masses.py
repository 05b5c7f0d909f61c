import numpy as np
import pytest
from scipy import integrate

from lfi_mflow_simulators.h4l.amplitude import ANGLE_INTEGRAL, helicity_form
from lfi_mflow_simulators.h4l.masses import MassSpectrum, mass_factor


def integrate_formula(formula, theta, m_h):
    """Integral of the five-fold density at one mass of the Higgs boson, in linear masses."""
    nodes3, weights3 = np.polynomial.legendre.leggauss(3)
    angles = [nodes3, nodes3, np.arange(5) * 2.0 * np.pi / 5.0]
    angle_weights = np.einsum("a,b,c->abc", weights3, weights3, np.full(5, 2.0 * np.pi / 5.0))
    total = 0.0
    for low, high in ((0.0, m_h / 2), (m_h / 2, 85.0), (85.0, 97.0), (97.0, m_h)):
        nodes, weights = np.polynomial.legendre.leggauss(60)
        m1 = low + 0.5 * (high - low) * (nodes + 1.0)
        nodes2, weights2 = np.polynomial.legendre.leggauss(40)
        top = np.minimum(m1, m_h - m1)
        m2 = 0.5 * top[:, None] * (nodes2 + 1.0)
        mass_weights = 0.25 * (high - low) * weights[:, None] * top[:, None] * weights2
        c1, c2, phi = np.meshgrid(*angles, indexing="ij")
        shape = (slice(None), slice(None), None, None, None)
        values = formula(theta, m_h, m1[:, None][shape], m2[shape], c1, c2, phi)
        total += np.einsum("ij,ijabc,abc->", mass_weights, values, angle_weights)
    return total


def test_published_ratios_of_the_rates(helicity_formula):
    rates = [integrate_formula(helicity_formula, theta, 125.0) for theta in np.eye(3)]
    expected = [rates[1] / rates[0], rates[2] / rates[0]]
    np.testing.assert_allclose(expected, [0.3617, 0.1529], atol=5e-5)
    found = MassSpectrum(0.0).rate
    # The quadrature of this test sees the threshold to five digits.
    np.testing.assert_allclose(found[[3, 5]] / found[0], expected, rtol=3e-5)
    np.testing.assert_allclose(found[0] * 125.0, rates[0], rtol=3e-5)


def test_interference(helicity_formula):
    total = integrate_formula(helicity_formula, np.array([1.0, -1.0, 0.0]), 125.0)
    rate = MassSpectrum(0.0).rate
    assert (rate[0] - rate[1] + rate[3]) * 125.0 == pytest.approx(total, rel=1e-5)
    # CP-even and CP-odd amplitudes do not interfere in the rate.
    np.testing.assert_allclose(rate[[2, 4]] / rate[0], 0.0, atol=1e-12)


def test_rate_of_a_wide_higgs_boson():
    spectrum = MassSpectrum(1.5)

    def rate_at(m_h, theta):
        nodes, weights = np.polynomial.legendre.leggauss(80)
        total = 0.0
        for low, high in ((0.0, m_h / 2), (m_h / 2, 85.0), (85.0, 97.0), (97.0, m_h)):
            m1 = low + 0.5 * (high - low) * (nodes + 1.0)
            top = np.minimum(m1, m_h - m1)[:, None]
            masses = np.full((80, 80), m_h), np.tile(m1[:, None], 80), 0.5 * top * (nodes + 1.0)
            values = mass_factor(*masses) * helicity_form(*masses)(theta)
            weight = 0.25 * (high - low) * weights[:, None] * top * weights
            total += (values * weight).sum()
        return total

    for theta, index in ((np.eye(3)[:1], 0), (np.eye(3)[2:], 5)):

        def integrand(m_h, theta=theta):
            return np.exp(spectrum.log_higgs_mass(np.array([m_h]))[0]) * rate_at(m_h, theta)

        options = {"epsrel": 1e-7, "points": [125.0, 124.0, 126.0], "limit": 100}
        total = ANGLE_INTEGRAL * integrate.quad(integrand, 110.0, 140.0, **options)[0]
        assert spectrum.rate[index] == pytest.approx(total, rel=3e-5)


@pytest.mark.parametrize("width", [0.004, 1.0, 2.0])
def test_breit_wigner_law_is_normalised(width):
    spectrum = MassSpectrum(width)

    def density(m_h):
        return np.exp(spectrum.log_higgs_mass(np.array([m_h]))[0])

    ends = 125.0 - 10.0 * width, 125.0 + 10.0 * width
    total = integrate.quad(density, *ends, points=[125.0 - width, 125.0, 125.0 + width])[0]
    assert total == pytest.approx(1.0, abs=1e-8)
    # A Breit-Wigner law falls to half of its height at half its width.
    assert density(125.0 + width / 2.0) == pytest.approx(0.5 * density(125.0), rel=1e-9)
    assert density(125.0 + 10.1 * width) == 0.0


def test_cube_covers_the_allowed_masses():
    spectrum = MassSpectrum(1.0)
    w, u, v = np.random.default_rng(0).random((3, 10_000))
    m_h, m1, m2 = spectrum.masses(w, u, v)
    assert np.all((m2 <= m1) & (m1 + m2 <= m_h * (1.0 + 1e-12)))
    np.testing.assert_allclose(spectrum.share(m1, m_h), u, atol=1e-9)
    assert m_h.min() < 118.0
    assert m_h.max() > 132.0


def test_factor_is_the_density_in_the_cube():
    spectrum = MassSpectrum(0.0)
    w, u, v = np.random.default_rng(1).uniform(0.1, 0.9, (3, 200))
    up = spectrum.masses(w, u + 1e-6, v)[1]
    down = spectrum.masses(w, u - 1e-6, v)[1]
    m_h, m1, m2 = spectrum.masses(w, u, v)
    slope = (up - down) / 2e-6 * np.minimum(m1, m_h - m1)
    np.testing.assert_allclose(
        spectrum.factor(m_h, m1, m2), mass_factor(m_h, m1, m2) * slope, rtol=1e-6
    )
