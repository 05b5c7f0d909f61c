import numpy as np
import pytest

from lfi_mflow_simulators.h4l.kinematics import (
    COORDINATES,
    coordinates,
    higgs_mass_gradient,
    lepton_momenta,
    log_jacobian,
)


def invariant_mass(momenta):
    energy = np.sqrt((momenta**2).sum(axis=1)).sum(axis=0)
    return np.sqrt(energy**2 - (momenta.sum(axis=0) ** 2).sum(axis=0))


def test_there_and_back(z):
    np.testing.assert_allclose(coordinates(lepton_momenta(z)), z, rtol=1e-9, atol=1e-10)


def test_masses_and_momentum_of_the_bosons(z):
    momenta = lepton_momenta(z)
    at = dict(zip(COORDINATES, z, strict=True))
    np.testing.assert_allclose(invariant_mass(momenta), at["m_h"], rtol=1e-10)
    np.testing.assert_allclose(invariant_mass(momenta[:2]), at["m1"], rtol=1e-10)
    np.testing.assert_allclose(invariant_mass(momenta[2:]), at["m2"], rtol=1e-9)
    px, py, pz = momenta.sum(axis=0)
    energy = np.sqrt((momenta**2).sum(axis=1)).sum(axis=0)
    np.testing.assert_allclose(np.hypot(px, py), at["pt"], rtol=1e-9)
    np.testing.assert_allclose(0.5 * np.log((energy + pz) / (energy - pz)), at["y"], atol=1e-10)


def test_decay_angle_is_that_in_the_frame_of_the_boson(z):
    # p(l-) . P(H) in the frame of Z1, where the Higgs boson flies against its direction.
    momenta = lepton_momenta(z)
    energies = np.sqrt((momenta**2).sum(axis=1))
    p = np.concatenate([energies[:, None], momenta], axis=1)
    minus, z1, higgs = p[0], p[0] + p[1], p.sum(axis=0)

    def dot(a, b):
        return a[0] * b[0] - (a[1:] * b[1:]).sum(axis=0)

    m1 = np.sqrt(dot(z1, z1))
    energy = dot(higgs, z1) / m1
    momentum = np.sqrt(energy**2 - dot(higgs, higgs))
    cosine = (dot(minus, higgs) - 0.5 * m1 * energy) / (0.5 * m1 * momentum)
    np.testing.assert_allclose(cosine, z[8], atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_jacobian_is_that_of_finite_differences(z, scale):
    steps = scale * 1e-5 * np.maximum(1.0, np.abs(z).mean(axis=1))
    columns = []
    for k, step in enumerate(steps):
        up, down = z.copy(), z.copy()
        up[k] += step
        down[k] -= step
        difference = lepton_momenta(up) - lepton_momenta(down)
        columns.append(difference.reshape(12, -1).T / (2.0 * step))
    expected = np.linalg.slogdet(np.stack(columns, axis=-1))[1]
    np.testing.assert_allclose(log_jacobian(z, lepton_momenta(z)), expected, atol=2e-5)


def test_gradient_of_the_mass(z):
    momenta = lepton_momenta(z)
    gradient = higgs_mass_gradient(momenta)
    for index in np.ndindex(4, 3):
        up, down = momenta.copy(), momenta.copy()
        up[index] += 1e-4
        down[index] -= 1e-4
        difference = (invariant_mass(up) - invariant_mass(down)) / 2e-4
        np.testing.assert_allclose(gradient[index], difference, atol=1e-6)
