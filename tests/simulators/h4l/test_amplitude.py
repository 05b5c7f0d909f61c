import numpy as np
import pytest

from lfi_mflow_simulators.h4l.amplitude import (
    ANGLE_INTEGRAL,
    LARGEST_ANGLE_FACTOR,
    Z_MASS,
    Decay,
    angular_form,
    helicity_form,
)
from lfi_mflow_simulators.h4l.kinematics import lepton_momenta
from lfi_mflow_simulators.h4l.masses import mass_factor

METRIC = np.diag([1.0, -1.0, -1.0, -1.0])


def levi_civita():
    epsilon = np.zeros((4, 4, 4, 4))
    for axes in np.ndindex(4, 4, 4, 4):
        if len(set(axes)) == 4:
            epsilon[axes] = np.linalg.det(np.eye(4)[list(axes)])
    return epsilon


def lepton_tensor(minus, plus):
    """Spin sum of the current of a pair of massless leptons, both indices up."""
    dot = np.einsum("ni,ij,nj->n", minus, METRIC, plus)
    outer = np.einsum("ni,nj->nij", minus, plus)
    low = [np.einsum("ij,nj->ni", METRIC, p) for p in (minus, plus)]
    odd = np.einsum("ijkl,nk,nl->nij", levi_civita(), *low)
    return outer + outer.transpose(0, 2, 1) - dot[:, None, None] * METRIC + 0.149j * odd


def squared_matrix_element(theta, momenta):
    """Vertex and lepton tensors contracted, for momenta (4, 3, N), without propagators."""
    energies = np.sqrt((momenta**2).sum(axis=1))
    p = np.concatenate([energies[:, None], momenta], axis=1).transpose(0, 2, 1)
    q1, q2 = p[0] + p[1], p[2] + p[3]
    k1, k2, k3 = Z_MASS**2 * theta[0], 2.0 * theta[1], 2.0 * theta[2]
    low1, low2 = q1 @ METRIC, q2 @ METRIC
    s = np.einsum("ni,ni->n", q1, low2)
    vertex = (k1 + k2 * s)[:, None, None] * METRIC - k2 * np.einsum("ni,nj->nij", low2, low1)
    # The sign of a3 is that of epsilon_{0123} = 1.
    vertex = vertex + k3 * np.einsum("ijkl,nk,nl->nij", levi_civita(), q1, q2)
    tensors = lepton_tensor(p[0], p[1]), lepton_tensor(p[2], p[3])
    return np.einsum("nac,nbd,nab,ncd->n", vertex, vertex, *tensors).real


def decay_of(z):
    return Decay(z[11], *z[6:11])


def test_amplitude_is_that_of_the_vertex_and_the_currents(z, couplings):
    momenta, decay = lepton_momenta(z), decay_of(z)
    ratios = [
        angular_form(decay)(theta[None])
        * (decay.m1 * decay.m2) ** 2
        / squared_matrix_element(theta, momenta)
        for theta in couplings
    ]
    np.testing.assert_allclose(ratios, ratios[0][0], rtol=1e-6)


def test_real_form_is_the_helicity_formula(z, couplings, helicity_formula):
    decay = decay_of(z)
    for theta in couplings:
        expected = helicity_formula(theta, *decay)
        found = angular_form(decay)(theta[None]) * mass_factor(decay.m_h, decay.m1, decay.m2)
        np.testing.assert_allclose(found * decay.m_h, expected, rtol=1e-10)


def test_exchange_of_the_bosons_changes_nothing(z, couplings):
    m_h, m1, m2, c1, c2, phi = decay_of(z)
    direct = angular_form(Decay(m_h, m1, m2, c1, c2, phi))(couplings[3:4])
    swapped = angular_form(Decay(m_h, m2, m1, c2, c1, phi))(couplings[3:4])
    np.testing.assert_allclose(direct, swapped, rtol=1e-12)


def test_only_a3_tells_right_from_left(z, couplings):
    decay = decay_of(z)
    mirrored = angular_form(decay._replace(phi=-decay.phi))
    theta = couplings[3:4]
    np.testing.assert_allclose(
        mirrored(theta), angular_form(decay)(theta * np.array([1.0, 1.0, -1.0])), rtol=1e-12
    )
    assert not np.allclose(mirrored(theta), angular_form(decay)(theta), rtol=0.1)


@pytest.mark.parametrize("index", range(6))
def test_integral_over_the_angles(z, couplings, index):
    # Three nodes are exact for polynomials of degree two, five for harmonics up to two.
    nodes, weights = np.polynomial.legendre.leggauss(3)
    c1, c2, phi = np.meshgrid(nodes, nodes, np.arange(5) * 2.0 * np.pi / 5.0, indexing="ij")
    weight = (weights[:, None] * weights)[:, :, None] * (2.0 * np.pi / 5.0)
    m_h, m1, m2 = z[11, 0], z[6, 0], z[7, 0]
    theta = couplings[index : index + 1]
    masses = tuple(np.full(c1.size, m) for m in (m_h, m1, m2))
    density = angular_form(Decay(*masses, c1.ravel(), c2.ravel(), phi.ravel()))(theta)
    total = (density.reshape(3, 3, 5) * weight).sum()
    expected = ANGLE_INTEGRAL * helicity_form(*(m[:1] for m in masses))(theta)[0]
    assert total == pytest.approx(expected, rel=1e-12)


def test_largest_density_of_the_angles():
    rng = np.random.default_rng(0)
    n = 20_000
    c1, c2 = rng.uniform(-1.0, 1.0, (2, n))
    c1[:50] = c2[:50] = 1.0
    masses = np.full(n, 125.0), rng.uniform(40.0, 90.0, n), rng.uniform(5.0, 30.0, n)
    decay = Decay(*masses, c1, c2, rng.uniform(-np.pi, np.pi, n))
    form, total = angular_form(decay), helicity_form(*masses)
    points = rng.normal(size=(100, 1, 3)) * np.array([1.0, 3.0, 5.0])
    ratios = np.stack([form(theta) / total(theta) for theta in points])
    assert np.all(ratios > -1e-12)
    assert 0.99 * LARGEST_ANGLE_FACTOR < ratios.max() <= LARGEST_ANGLE_FACTOR * (1.0 + 1e-12)
