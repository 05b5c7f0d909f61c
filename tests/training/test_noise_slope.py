"""The dimension by the likelihood of noisy events."""

import numpy as np
import pytest

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import prepare_points
from lfi_mflow.training import NoiseSlope


@pytest.fixture
def points():
    """Points on a slightly bent line in the plane."""
    rng = np.random.default_rng(1)
    t = rng.uniform(-1, 1, 2000)
    return prepare_points(np.stack([t, t + 0.3 * t**2], axis=1))


@pytest.mark.slow
def test_the_slope_of_a_curve_is_found(points):
    estimate = NoiseSlope(widths=(0.05, 0.1), epochs=60, batch_size=100).estimate(points)
    assert estimate.value == pytest.approx(1.0, abs=0.3)
    assert 0 < estimate.uncertainty < 0.3
    assert np.argmax(estimate.log_weights) == 0


def test_narrow_noise_gives_a_larger_density(points):
    quick = NoiseSlope(widths=(0.1, 1.0), epochs=3, batch_size=100, events=1000)
    narrow, wide = quick.estimate(points).curve["log_prob"]
    assert narrow > wide + 0.5


def test_equal_seeds_give_equal_estimates(points):
    quick = NoiseSlope(widths=(0.1, 0.2), epochs=1, events=500)
    assert quick.estimate(points).value == quick.estimate(points).value


@pytest.mark.parametrize("widths", [(0.1,), (0.1, 0.1), (0.1, 0.0), (-0.1, 0.1)])
def test_a_slope_needs_two_positive_widths(widths):
    with pytest.raises(ConfigError, match="two or more positive widths"):
        NoiseSlope(widths=widths)
