"""The published metrics on arrays with known answers."""

from __future__ import annotations

import time

import numpy as np
import pytest

from lfi_mflow.closure.published import (
    log_density_error,
    manifold_distance,
    median_distance,
    ood_auc,
    posterior_mmd2,
    reconstruction_error,
)
from lfi_mflow.errors import DataError


def _slow_mmd2(a, b, bandwidth):
    """The definition, pair by pair."""

    def kernel(p, q):
        squared = ((p[:, None] - q[None]) ** 2).sum(axis=-1)
        return np.exp(-squared / (2 * bandwidth**2))

    n, m = len(a), len(b)
    within_a = (kernel(a, a).sum() - n) / (n * (n - 1))
    within_b = (kernel(b, b).sum() - m) / (m * (m - 1))
    return within_a + within_b - 2 * kernel(a, b).mean()


def test_distance_is_the_mean_and_its_standard_error():
    estimate = manifold_distance(np.array([0.0, 1.0, 2.0, 3.0]))
    assert estimate.value == 1.5
    assert estimate.uncertainty == pytest.approx(np.std([0, 1, 2, 3], ddof=1) / 2)


@pytest.mark.parametrize("lost", [1e6, np.inf, np.nan])
def test_one_lost_event_counts_as_ten(lost):
    assert manifold_distance(np.array([0.0, 0.0, 0.0, lost])).value == 2.5


def test_reconstruction_error_is_euclidean():
    x = np.zeros((2, 3))
    assert reconstruction_error(x, x + np.array([2.0, 3.0, 6.0])).value == 7.0


def test_reconstruction_error_refuses_other_shapes():
    with pytest.raises(DataError, match="projected"):
        reconstruction_error(np.zeros((2, 3)), np.zeros((3, 3)))


def test_log_density_error_is_absolute():
    estimate = log_density_error(np.array([1.0, -1.0]), np.array([0.5, -0.5]))
    assert estimate.value == 0.5


def test_log_density_error_does_not_hide_an_impossible_event():
    assert log_density_error(np.array([0.0, -np.inf]), np.zeros(2)).value == np.inf


@pytest.mark.parametrize("p", [1, 3])
def test_mmd2_is_its_definition(p, rng):
    # 130 rows: more than one block, and a last one that is not full.
    a, b = rng.normal(size=(130, p)), rng.normal(0.3, 1.2, size=(97, p))
    assert posterior_mmd2(a, b) == pytest.approx(_slow_mmd2(a, b, median_distance(b)), abs=1e-6)


def test_mmd2_of_normals_is_the_closed_form(rng):
    # E k over x - y ~ N(delta, 2 s^2) is (h / sqrt(h^2 + 2 s^2)) exp(-delta^2 / 2 (h^2 + 2 s^2)).
    a, b = rng.normal(0.5, 1.0, size=(5000, 1)), rng.normal(size=(5000, 1))
    h2 = median_distance(b) ** 2
    shrink = np.sqrt(h2 / (h2 + 2))
    expected = 2 * shrink * (1 - np.exp(-(0.5**2) / (2 * (h2 + 2))))
    assert posterior_mmd2(a, b) == pytest.approx(expected, rel=0.12)


def test_mmd2_is_unbiased(rng):
    values = [
        posterior_mmd2(rng.normal(size=(200, 1)), rng.normal(size=(200, 1))) for _ in range(200)
    ]
    assert min(values) < 0
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_mmd2_survives_a_narrow_posterior_far_from_zero(rng):
    a, b = rng.normal(size=(500, 1)), rng.normal(size=(500, 1))
    near = posterior_mmd2(a, b)
    far = posterior_mmd2(91.19 + 1e-5 * a, 91.19 + 1e-5 * b)
    assert far == pytest.approx(near, abs=1e-6)


def test_mmd2_of_the_published_size_is_fast(rng):
    a, b = rng.normal(size=(5000, 1)), rng.normal(size=(5000, 1))
    start = time.perf_counter()
    posterior_mmd2(a, b)
    assert time.perf_counter() - start < 5.0  # 0.2 s on a quiet core


@pytest.mark.parametrize(("a", "b"), [((5, 2), (5, 1)), ((1, 1), (5, 1))])
def test_mmd2_refuses_what_it_cannot_compare(a, b):
    with pytest.raises(DataError, match="same dimension"):
        posterior_mmd2(np.zeros(a), np.zeros(b))


def test_a_sampler_that_never_moved_is_an_error():
    with pytest.raises(DataError, match="differ"):
        median_distance(np.ones((10, 1)))


def test_auc_of_separated_and_equal_scores():
    low, high = np.arange(5.0), np.arange(5.0) + 10
    assert ood_auc(low, high).value == 1.0
    assert ood_auc(high, low).value == 0.0
    assert ood_auc(np.ones(5), np.ones(4)).value == 0.5


def test_auc_of_normals_is_the_closed_form(rng):
    # Phi(delta / sqrt(2)) = 0.7602 for delta = 1.
    estimate = ood_auc(rng.normal(size=2000), rng.normal(1.0, 1.0, size=2000))
    assert abs(estimate.value - 0.76025) < 4 * estimate.uncertainty
    assert 0.005 < estimate.uncertainty < 0.01


@pytest.mark.statistical
def test_auc_uncertainty_is_the_spread_over_repetitions(rng):
    runs = [ood_auc(rng.normal(size=200), rng.normal(1, 1, size=300)) for _ in range(400)]
    spread = np.std([run.value for run in runs])
    assert np.mean([run.uncertainty for run in runs]) == pytest.approx(spread, rel=0.15)


def test_a_score_that_is_not_a_number_is_a_rejection():
    assert ood_auc(np.array([0.0, 1.0]), np.array([np.nan, np.inf])).value == 1.0
