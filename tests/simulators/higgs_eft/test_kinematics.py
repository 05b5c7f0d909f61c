import numpy as np
import pytest

from lfi_mflow_simulators.higgs_eft.kinematics import (
    LATENTS,
    four_vectors,
    hard_event,
    order_pairs,
    pseudorapidity,
    rapidity,
    read_latents,
    transverse_momentum,
)


@pytest.fixture(scope="module")
def z(proposals):
    return proposals[0].z[:, :5000]


def mass2(p):
    return p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2


def test_jets_are_what_their_coordinates_say(z):
    p = four_vectors(z)
    for jet, (pt, y, phi, log_m) in ((p[2], z[0:4]), (p[3], z[4:8])):
        np.testing.assert_allclose(np.hypot(jet[1], jet[2]), pt)
        np.testing.assert_allclose(0.5 * np.log((jet[0] + jet[3]) / (jet[0] - jet[3])), y)
        np.testing.assert_allclose(np.exp(1j * phi), (jet[1] + 1j * jet[2]) / pt)
        np.testing.assert_allclose(np.sqrt(mass2(jet)), pt * np.exp(log_m), rtol=1e-6)


def test_photons_are_massless_and_make_the_higgs_boson(z):
    p = four_vectors(z)
    higgs = p[0] + p[1]
    for photon in p[:2]:
        assert np.abs(mass2(photon)).max() < 1e-11 * photon[0].max() ** 2
        assert photon[0].min() > 0.0
    np.testing.assert_allclose(np.sqrt(mass2(higgs)), z[11], rtol=1e-8)
    np.testing.assert_allclose(rapidity(higgs), z[8], atol=1e-10)
    recoil = (higgs + p[2] + p[3])[1:3]
    np.testing.assert_allclose(recoil, z[9:11], atol=1e-9)


def test_the_decay_is_boosted_from_the_rest_frame(z):
    """By the matrix of the boost, against the formula in components."""
    p = four_vectors(z)
    for event in range(20):
        higgs = p[0, :, event] + p[1, :, event]
        velocity = higgs[1:] / higgs[0]
        gamma = higgs[0] / z[11, event]
        boost = np.eye(4)
        boost[0] = gamma * np.array([1.0, *velocity])
        boost[1:, 0] = gamma * velocity
        boost[1:, 1:] += (gamma - 1.0) * np.outer(velocity, velocity) / (velocity @ velocity)
        cosine, phi = z[12, event], z[13, event]
        sine = np.sqrt(1.0 - cosine**2)
        star = np.array([1.0, sine * np.cos(phi), sine * np.sin(phi), cosine])
        np.testing.assert_allclose(p[0, :, event], boost @ star * z[11, event] / 2.0, rtol=1e-7)


def test_coordinates_are_read_back(z):
    assert len(LATENTS) == len(z) == 14
    np.testing.assert_allclose(read_latents(four_vectors(z)), z, atol=2e-8)


def test_the_matrix_element_reads_the_same_from_four_vectors(z):
    event = hard_event(four_vectors(z))
    np.testing.assert_allclose(event.pt1, z[0])
    np.testing.assert_allclose(event.y2, z[5], atol=1e-9)
    np.testing.assert_allclose(event.y_h, z[8], atol=1e-9)
    np.testing.assert_allclose(np.exp(1j * event.delta), np.exp(1j * (z[2] - z[6])), atol=1e-12)


def test_the_larger_transverse_momentum_comes_first(proposals):
    p, z = proposals[0].p, proposals[0].z
    pt = transverse_momentum(p)
    assert np.all(pt[0] >= pt[1])
    assert np.all(pt[2] >= pt[3])
    np.testing.assert_allclose(p[:, :, :99], four_vectors(z[:, :99]), rtol=1e-9, atol=1e-9)
    assert np.abs(z[13]).max() <= np.pi
    mixed = p[[1, 0, 3, 2]][:, :, :99].copy()
    order_pairs(mixed)
    np.testing.assert_array_equal(mixed, p[:, :, :99])


def test_rapidity_below_the_mass_shell_is_pseudorapidity():
    p = np.array([[1.0], [30.0], [40.0], [-120.0]])
    np.testing.assert_allclose(rapidity(p), np.arcsinh(-120.0 / 50.0))
    np.testing.assert_allclose(pseudorapidity(np.array([50.0]), p[3]), rapidity(p))
