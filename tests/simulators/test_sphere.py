import math

import numpy as np
import pytest
from scipy import integrate, special, stats

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import check_simulator
from lfi_mflow_simulators.sphere import Sphere

THETA = [(0.0, 0.1), (0.7, 0.4), (-1.5, 1.0)]


def repeat(theta, n):
    return np.tile(np.array(theta), (n, 1))


def angle_to_centre(x, phi):
    return np.arccos(np.clip(x[:, 0] * math.cos(phi) + x[:, 1] * math.sin(phi), -1.0, 1.0))


@pytest.mark.parametrize("dim", [1, 2, 3, 10])
def test_conforms(dim):
    simulator = Sphere(dim)
    assert len(check_simulator(simulator)) == 9
    assert simulator.manifold_dim == dim
    assert len(simulator.observables) == dim + 1


def test_no_sphere_of_dimension_zero():
    with pytest.raises(InputError, match="dimension 1 or more, found 0"):
        Sphere(0)


@pytest.mark.parametrize("theta", THETA)
def test_density_integrates_to_one_on_the_circle(theta):
    angle = np.linspace(0.0, 2.0 * math.pi, 2000, endpoint=False)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    density = np.exp(Sphere(1).log_prob(x, np.array([theta])))
    assert density.sum() * 2.0 * math.pi / 2000 == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("theta", THETA)
def test_density_integrates_to_one_on_the_two_sphere(theta):
    # Poles on the last axis: the area element is d(cos) d(azimuth).
    cosine, weight = np.polynomial.legendre.leggauss(200)
    azimuth = np.linspace(0.0, 2.0 * math.pi, 400, endpoint=False)
    c, a = np.meshgrid(cosine, azimuth, indexing="ij")
    s = np.sqrt(1.0 - c**2)
    x = np.stack([s * np.cos(a), s * np.sin(a), c], axis=-1).reshape(-1, 3)
    density = np.exp(Sphere(2).log_prob(x, np.array([theta]))).reshape(200, 400)
    total = (weight[:, None] * density).sum() * 2.0 * math.pi / 400
    assert total == pytest.approx(1.0, abs=1e-10)


@pytest.mark.parametrize("dim", [3, 6])
def test_density_integrates_to_one_on_higher_spheres(dim):
    simulator = Sphere(dim)
    # Slices of equal angle g to the centre are (dim-1)-spheres of radius sin g.
    area = 2.0 * math.pi ** (dim / 2) / special.gamma(dim / 2)

    def slice_of(g):
        x = np.zeros((1, dim + 1))
        x[0, 0], x[0, 2] = math.cos(g), math.sin(g)
        density = math.exp(simulator.log_prob(x, np.array([[0.0, 0.4]]))[0])
        return density * area * math.sin(g) ** (dim - 1)

    assert integrate.quad(slice_of, 0.0, math.pi)[0] == pytest.approx(1.0, abs=1e-8)


def test_density_is_a_normal_distribution_where_it_is_narrow():
    offsets = np.array([0.0, 0.1, 0.2])
    x = np.stack([np.cos(offsets), np.sin(offsets)], axis=1)
    expected = stats.norm(0.0, 0.1).logpdf(offsets)
    np.testing.assert_allclose(Sphere().log_prob(x, np.array([[0.0, 0.1]])), expected, atol=0.01)


@pytest.mark.statistical
@pytest.mark.parametrize("theta", THETA)
def test_samples_follow_the_density_on_the_circle(theta):
    phi, sigma = theta
    x = Sphere(1).simulate(repeat(theta, 50_000), np.random.default_rng(4)).x
    angle = np.angle((x[:, 0] + 1j * x[:, 1]) * np.exp(-1j * phi))
    fine = np.linspace(-math.pi, math.pi, 20_001)
    points = np.stack([np.cos(fine + phi), np.sin(fine + phi)], axis=1)
    density = np.exp(Sphere(1).log_prob(points, np.array([theta])))
    cumulative = integrate.cumulative_trapezoid(density, fine, initial=0.0)
    assert stats.kstest(angle, lambda a: np.interp(a, fine, cumulative)).pvalue > 1e-3
    assert sigma / 2 < angle.std() < 2 * sigma


@pytest.mark.statistical
@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("theta", THETA)
def test_samples_follow_the_density_on_spheres(dim, theta):
    simulator, n = Sphere(dim), 50_000
    x = simulator.simulate(repeat(theta, n), np.random.default_rng(dim)).x
    assert simulator.distance(x).max() < 1e-14
    fine = np.linspace(0.0, math.pi, 20_001)
    points = np.zeros((len(fine), dim + 1))
    points[:, 0] = np.cos(fine) * math.cos(theta[0])
    points[:, 1] = np.cos(fine) * math.sin(theta[0])
    points[:, 2] = np.sin(fine)
    area = 2.0 * math.pi ** (dim / 2) / special.gamma(dim / 2)
    density = np.exp(simulator.log_prob(points, np.array([theta])))
    density *= area * np.sin(fine) ** (dim - 1)
    cumulative = integrate.cumulative_trapezoid(density, fine, initial=0.0)
    angle = angle_to_centre(x, theta[0])
    assert stats.kstest(angle, lambda g: np.interp(g, fine, cumulative)).pvalue > 1e-3
    # Around the centre no direction is preferred.
    side = np.stack([x[:, 1] * math.cos(theta[0]) - x[:, 0] * math.sin(theta[0]), *x.T[2:]])
    side /= np.linalg.norm(side, axis=0)
    assert np.all(np.abs(side.mean(axis=1)) < 4.0 / math.sqrt(dim * n))
    np.testing.assert_allclose(side @ side.T / n, np.eye(dim) / dim, atol=0.01)


@pytest.mark.statistical
def test_every_row_has_its_own_theta():
    theta = np.stack([np.linspace(-1.5, 1.5, 20_000), np.full(20_000, 0.1)], axis=1)
    x = Sphere(1).simulate(theta, np.random.default_rng(0)).x
    pull = (np.arctan2(x[:, 1], x[:, 0]) - theta[:, 0]) / 0.1
    assert abs(pull.mean()) < 0.04
    assert pull.std() == pytest.approx(1.0, abs=0.03)


def test_off_the_sphere():
    simulator = Sphere(2)
    x = np.array([[2.0, 0.0, 0.0], [0.0, 0.25, 0.0]])
    np.testing.assert_allclose(simulator.distance(x), [1.0, 0.75])
    theta = np.array([[0.3, 0.5]])
    on = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(simulator.log_prob(x, theta), simulator.log_prob(on, theta))
    moved = simulator.perturb(np.zeros((20_000, 3)), np.random.default_rng(0))
    np.testing.assert_allclose(moved.std(axis=0), 0.1, rtol=0.03)
