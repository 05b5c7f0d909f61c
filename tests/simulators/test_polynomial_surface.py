import time

import numpy as np
import pytest
from scipy import stats
from sklearn.preprocessing import PolynomialFeatures

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import SimulationJob, check_simulator, default_prior, simulate_chunk
from lfi_mflow_simulators import polynomial_surface
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

# The draw of the published study, as its authors printed it.
PAPER_FIRST, PAPER_LAST = -1.21685866, 0.0121157044


@pytest.fixture(params=[None, 7], ids=["paper", "seed 7"])
def surface(request) -> PolynomialSurface:
    return PolynomialSurface(request.param)


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(0.0, 2.0, (500, 2))


def grid(step: float):
    """Latents on a square that holds all but 1e-6 of the density, and their cell."""
    axis = np.arange(-10.0, 12.0, step) + step / 2
    z0, z1 = np.meshgrid(axis, axis - 2.0, indexing="ij")
    return np.stack([z0.ravel(), z1.ravel()], axis=1), step**2


def area_element(simulator, z, epsilon=1e-5):
    """Area of the surface per dz, by finite differences of its points alone."""
    tangents = []
    for axis in range(2):
        shift = np.zeros(2)
        shift[axis] = epsilon
        tangents.append((simulator.surface(z + shift) - simulator.surface(z - shift)) / 2 / epsilon)
    return np.linalg.norm(np.cross(*tangents), axis=1)


def test_conforms(surface):
    assert len(check_simulator(surface)) == 9


def test_height_is_the_published_polynomial(latents):
    simulator = PolynomialSurface()
    coefficients = np.array(polynomial_surface._PAPER_COEFFICIENTS)
    assert (len(coefficients), coefficients[0], coefficients[-1]) == (21, PAPER_FIRST, PAPER_LAST)
    features = PolynomialFeatures(degree=5)
    expected = features.fit_transform(latents) @ coefficients
    expected *= np.exp(-0.1 * np.sum(latents**2, axis=1))
    np.testing.assert_allclose(simulator.height(latents), expected, atol=1e-12)
    assert [tuple(powers) for powers in features.powers_] == polynomial_surface.monomials()


def test_rotation_is_the_published_one():
    rotation = PolynomialSurface().rotation
    np.testing.assert_allclose(rotation, polynomial_surface._PAPER_ROTATION, atol=1e-8)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-15)


def test_points_are_rotated_graphs(surface, latents):
    graph = np.column_stack([latents, surface.height(latents)])
    np.testing.assert_allclose(surface.surface(latents), graph @ surface.rotation.T, atol=1e-12)
    assert surface.distance(surface.surface(latents)).max() < 1e-12


def test_distance_is_along_the_third_axis(surface, latents):
    x = surface.surface(latents)
    for step in (0.3, -20.0):
        np.testing.assert_allclose(surface.distance(x + step * surface.rotation[:, 2]), abs(step))


def test_distance_far_away_is_not_nan():
    simulator = PolynomialSurface()
    far = np.array([[1e80, -1e80, 3.0], [np.inf, 0.0, 0.0]]) @ simulator.rotation.T
    with np.errstate(invalid="ignore"):
        distance = simulator.distance(far)
    assert np.isfinite(distance[0])
    np.testing.assert_array_equal(simulator.height(np.array([[1e300, 0.0], [0.0, -1e80]])), 0.0)


def test_other_seeds_are_other_surfaces(latents):
    first, again, second = PolynomialSurface(1), PolynomialSurface(1), PolynomialSurface(2)
    np.testing.assert_array_equal(first.surface(latents), again.surface(latents))
    assert not np.allclose(first.height(latents), second.height(latents))
    assert not np.allclose(first.rotation, second.rotation)
    for seed in range(5):
        assert np.linalg.det(PolynomialSurface(seed).rotation) == pytest.approx(1.0)
    with pytest.raises(InputError, match="seed >= 0"):
        PolynomialSurface(-1)


@pytest.mark.statistical
def test_drawn_coefficients_have_the_published_widths():
    scaled = []
    for seed in range(200):
        coefficients = PolynomialSurface(seed).coefficients
        scaled += [
            coefficients[i, j] * max(i + j, 1) ** 3 for i, j in polynomial_surface.monomials()
        ]
    assert stats.kstest(scaled, "norm").pvalue > 1e-3


@pytest.mark.parametrize(("theta", "sd"), [(-1.0, 0.2), (0.0, 0.6), (0.5, 0.8), (1.0, 1.0)])
def test_density_is_the_published_mixture_per_area(surface, latents, theta, sd):
    mixture = 0.6 * stats.multivariate_normal([1.0, -1.0], 4.0).pdf(latents)
    mixture += 0.4 * stats.multivariate_normal([-1.0, 1.0], sd**2).pdf(latents)
    log_prob = surface.log_prob(surface.surface(latents), np.full((len(latents), 1), theta))
    expected = np.log(mixture / area_element(surface, latents))
    np.testing.assert_allclose(log_prob, expected, atol=1e-6)


@pytest.mark.parametrize("theta", [-1.0, 0.0, 1.0])
def test_density_integrates_to_one_over_the_surface(surface, theta):
    z, cell = grid(0.04)
    density = np.exp(surface.log_prob(surface.surface(z), np.array([[theta]])))
    assert np.sum(density * area_element(surface, z)) * cell == pytest.approx(1.0, abs=2e-6)


def test_published_area_factor():
    simulator = PolynomialSurface()
    z, cell = grid(0.05)
    area = area_element(simulator, z)
    weight = area * np.exp(simulator.log_prob(simulator.surface(z), np.array([[0.0]]))) * cell
    assert np.sum(weight * area) == pytest.approx(1.48, abs=0.01)
    assert area.max() == pytest.approx(2.64, abs=0.02)


@pytest.mark.statistical
@pytest.mark.parametrize("theta", [-0.9, 0.6])
def test_samples_follow_the_density(surface, theta):
    n, bins = 200_000, 11
    x = surface.simulate(np.full((n, 1), theta), np.random.default_rng(11)).x
    z, cell = grid(0.04)
    weight = np.exp(surface.log_prob(surface.surface(z), np.array([[theta]])))
    weight *= area_element(surface, z) * cell
    edges = [np.linspace(-10.0, 12.0, bins + 1), np.linspace(-12.0, 10.0, bins + 1)]
    expected = n * np.histogram2d(z[:, 0], z[:, 1], edges, weights=weight)[0]
    y = x @ surface.rotation
    observed = np.histogram2d(y[:, 0], y[:, 1], edges)[0]
    filled = expected > 20.0
    chi2 = np.sum((observed - expected)[filled] ** 2 / expected[filled])
    assert filled.sum() > 20
    assert stats.chi2(filled.sum()).sf(chi2) > 1e-3
    # The mean log-density of samples is minus the entropy.
    entropy = -np.sum(weight * surface.log_prob(surface.surface(z), np.array([[theta]])))
    log_prob = surface.log_prob(x, np.full((n, 1), theta))
    assert abs(log_prob.mean() + entropy) < 4.0 * log_prob.std() / np.sqrt(n)


@pytest.mark.statistical
def test_every_row_has_its_own_theta():
    simulator = PolynomialSurface()
    theta = np.where(np.arange(100_000) % 2 == 0, -0.8, 0.9)[:, None]
    events = simulator.simulate(theta, np.random.default_rng(2))
    own = simulator.log_prob(events.x, theta).mean()
    assert own > simulator.log_prob(events.x, -theta).mean() + 0.05


def test_perturb_adds_noise_of_the_published_width():
    simulator = PolynomialSurface()
    x = np.zeros((50_000, 3))
    moved = simulator.perturb(x, np.random.default_rng(0))
    np.testing.assert_allclose(moved.std(axis=0), 0.1, rtol=0.02)
    assert not x.any()


def test_blocks_leave_no_seam():
    simulator = PolynomialSurface()
    n = 2 * polynomial_surface._BLOCK + 17
    theta = np.zeros((n, 1))
    x = simulator.simulate(theta, np.random.default_rng(0)).x
    first = simulator.simulate(theta[: polynomial_surface._BLOCK], np.random.default_rng(0)).x
    np.testing.assert_array_equal(x[: polynomial_surface._BLOCK], first)
    assert len(np.unique(x[:, 0])) == n
    assert simulator.distance(x).max() < 1e-12
    assert simulator.simulate(np.empty((0, 1)), np.random.default_rng(0)).x.shape == (0, 3)


def test_a_million_events_take_well_under_a_second():
    # Far below what it does (see benchmarks/), so that a busy machine passes.
    job = SimulationJob(
        *("polynomial-surface", {}, 100_000, 0), prior=default_prior(PolynomialSurface.parameters)
    )
    simulate_chunk(job, 0)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        simulate_chunk(job, 0)
        seconds.append(time.perf_counter() - start)
    assert 100_000 / min(seconds) > 1e6


def test_observed_events_lie_on_the_surface(data_folder):
    uproot = pytest.importorskip("uproot")
    simulator = PolynomialSurface()
    with uproot.open(data_folder / "observed_events.root") as file:
        for tree, off in (("events", 0), ("events_with_background", 1)):
            columns = file[tree].arrays(["feature_a", "feature_b", "feature_c"], library="np")
            distance = simulator.distance(np.stack(list(columns.values()), axis=1))
            # The file was made with the rotation as printed, to nine digits.
            assert np.median(distance) < 1e-8
            assert np.any(distance > 1e-3) == off
