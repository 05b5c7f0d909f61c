"""Dimensions by relations between neighbours."""

import numpy as np
import pytest

from lfi_mflow.geometry import LocalRelations, prepare_points
from lfi_mflow.geometry.local_relations import relation_widths


@pytest.fixture
def few():
    return LocalRelations(places=5)


@pytest.mark.parametrize(
    ("kind", "n", "d"),
    [
        ("linear", 1, 5),
        ("linear", 10, 30),
        ("sphere", 1, 2),
        ("sphere", 2, 20),
        ("sphere", 8, 30),
        ("torus", 2, 10),
        ("torus", 5, 30),
        ("waves", 3, 30),
    ],
)
def test_linear_and_curved_manifolds_are_found_exactly(manifold, few, kind, n, d):
    estimate = few.estimate(prepare_points(manifold(kind, n, d, 8000)))
    assert estimate.value == n
    assert estimate.uncertainty == 0
    assert np.argmax(estimate.log_weights) + 1 == n


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linear", "sphere", "torus"])
@pytest.mark.parametrize("n", [6, 8, 10])
def test_ten_dimensions_in_a_hundred_are_found_exactly(manifold, kind, n):
    x = manifold(kind, n, 100, 50_000)
    assert LocalRelations().estimate(prepare_points(x)).value == n


def test_the_width_of_a_sphere_across_is_zero_and_along_it_is_not(manifold):
    x = manifold("sphere", 3, 4, 3000)
    cap = x[np.argsort(((x - x[0]) ** 2).sum(axis=1))[:100]]
    first, second = (relation_widths(cap, degree, 4, 0.0) for degree in (1, 2))
    assert second[3] < 1e-6 < 0.1 * second[2]
    assert first[3] > 1e-3  # curvature, which the first degree cannot tell from width
    assert (np.diff(second) <= 0).all()


def test_exact_relations_of_second_degree_need_no_small_neighbourhood():
    rng = np.random.default_rng(3)
    p = rng.standard_normal((2000, 3))
    energy = np.sqrt((p**2).sum(axis=1) + 0.25)
    estimate = LocalRelations(places=5).estimate(prepare_points(np.column_stack([energy, p])))
    assert estimate.value == 3


def test_rapidities_are_understood_by_their_exponentials():
    rng = np.random.default_rng(4)
    pt, eta = rng.exponential(50.0, 3000) + 20.0, 2.0 * rng.standard_normal(3000)
    mass = rng.uniform(5.0, 10.0, 3000)
    pz = pt * np.sinh(eta)
    energy = np.sqrt(pt**2 + pz**2 + mass**2)
    x = np.stack([energy, pt, pz, eta, mass], axis=1)
    points = prepare_points(x, units=["GeV", "GeV", "GeV", "", "GeV"])
    estimate = LocalRelations(places=8).estimate(points)
    assert estimate.value == 3
    assert "exponentials" in estimate.meaning


def test_noise_that_is_narrower_than_the_manifold_does_not_count(manifold, few):
    x = manifold("sphere", 2, 3, 8000)
    noisy = x + 1e-3 * np.random.default_rng(5).standard_normal(x.shape)
    assert few.estimate(prepare_points(noisy)).value == 2


def test_points_that_fill_their_space_have_its_dimension(few):
    x = np.random.default_rng(6).standard_normal((4000, 3))
    assert few.estimate(prepare_points(x)).value == 3


def test_too_few_points_say_how_many_are_needed(manifold, few):
    estimate = few.estimate(prepare_points(manifold("waves", 6, 40, 150)))
    assert "no clear relations" in estimate.cautions[0]
    assert "events would show them" in estimate.cautions[0]
