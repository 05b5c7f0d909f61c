"""Ratios of normal likelihoods of sets of events, right and wrong."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import parameter_pairs, ratio_calibration
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Normal, Prior, Uniform

EVENTS, EVENT_SD = 20, 2.0


def _calibration(rng, prior, sets=1_000, power=1.0, shift=0.0):
    """Claimed ratios: the exact ones to a power, of data moved by a share of their error."""
    first, second = parameter_pairs(prior, sets, rng)
    outcome = rng.integers(0, 2, sets)
    theta = np.where(outcome[:, None] > 0, second, first)
    x = theta[:, None] + EVENT_SD * rng.normal(size=(sets, EVENTS, prior.dim))
    x = x + shift * EVENT_SD / np.sqrt(EVENTS)
    exact = [
        -0.5 * np.sum(((x - t[:, None]) / EVENT_SD) ** 2, axis=(1, 2)) for t in (first, second)
    ]
    return ratio_calibration(power * (exact[1] - exact[0]), second - first, outcome)


@pytest.fixture(params=[1, 2])
def normal(request):
    return Prior((Normal(0.0, 1.0),) * request.param)


@pytest.mark.statistical
def test_level_and_slope_of_exact_ratios(normal, rng):
    found = [_calibration(rng, normal) for _ in range(100)]
    # 5 expected; P(> 12) = 0.15 %
    assert np.mean([f.p_value < 0.05 for f in found]) <= 0.12
    pulls = [(f.slope.value - 1.0) / f.slope.uncertainty for f in found]
    assert abs(np.mean(pulls)) < 0.4
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)


@pytest.mark.statistical
@pytest.mark.parametrize("power", [0.7**-2, 1.4**-2])
def test_the_slope_is_the_remedy(power, normal, rng):
    found = [_calibration(rng, normal, power=power) for _ in range(40)]
    assert np.mean([f.p_value < 0.05 for f in found]) >= 0.95
    slope = np.mean([f.slope.value for f in found])
    assert slope * power == pytest.approx(1.0, abs=0.1)


@pytest.mark.statistical
def test_shifts_are_caught(normal, rng):
    found = [_calibration(rng, normal, shift=0.5) for _ in range(40)]
    assert np.mean([f.p_value < 0.05 for f in found]) >= 0.95


def test_pairs_stay_within_the_prior_at_all_distances(rng):
    first, second = parameter_pairs(Prior((Uniform(-1, 1), Uniform(0, 5))), 2_000, rng)
    for points in (first, second):
        assert points.min(axis=0) == pytest.approx([-1, 0], abs=0.05)
        assert points.max(axis=0) == pytest.approx([1, 5], abs=0.05)
    shares = np.linalg.norm(second - first, axis=1)
    assert np.quantile(shares, 0.05) < 0.1
    assert np.quantile(shares, 0.95) > 1.0


def test_to_call_impossible_what_happened_is_the_worst(rng):
    outcome = rng.integers(0, 2, 100)
    difference = rng.normal(size=(100, 1))
    log_ratio = np.where(outcome > 0, 3.0, -3.0)
    log_ratio[4] = -np.inf if outcome[4] else np.inf
    assert ratio_calibration(log_ratio, difference, outcome).p_value == 0.0
    log_ratio[4] = np.nan
    assert ratio_calibration(log_ratio, difference, outcome).p_value == 0.0
    log_ratio[4] = np.inf if outcome[4] else -np.inf  # certain, and right
    assert ratio_calibration(log_ratio, difference, outcome).p_value > 0.0


def test_too_few_sets_are_refused():
    with pytest.raises(DataError, match="D >= 20"):
        ratio_calibration(np.zeros(19), np.zeros((19, 1)), np.zeros(19, dtype=int))
