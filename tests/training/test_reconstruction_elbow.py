"""The dimension by the reconstruction error."""

import numpy as np
import pytest

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.geometry import prepare_points
from lfi_mflow.training import ReconstructionElbow


@pytest.fixture
def surface():
    """A bent surface in three dimensions."""
    u = np.random.default_rng(1).uniform(-1, 1, (2000, 2))
    height = u.sum(axis=1) + 0.3 * np.square(u).sum(axis=1)
    return prepare_points(np.column_stack([u, height]))


def test_the_error_drops_at_the_dimension(surface):
    estimate = ReconstructionElbow(epochs=20).estimate(surface)
    assert estimate.value == 2
    assert np.argmax(estimate.log_weights) == 1
    errors = estimate.curve["errors"]
    assert len(errors) == 3
    assert errors[2] < 0.1 * errors[1]
    assert estimate.uncertainty < 0.7


def test_a_straight_line_leaves_nothing_to_compare():
    t = np.random.default_rng(2).standard_normal(200)
    with pytest.raises(DataError, match="no straight line"):
        ReconstructionElbow().estimate(prepare_points(np.stack([t, 2 * t], axis=1)))


def test_the_range_starts_at_one():
    with pytest.raises(ConfigError, match="largest >= 1"):
        ReconstructionElbow(largest=0)
