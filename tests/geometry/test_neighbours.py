"""Dimensions by nearest neighbours."""

import numpy as np
import pytest

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import MaximumLikelihood, TwoNearestNeighbours, prepare_points

ESTIMATORS = [TwoNearestNeighbours(), MaximumLikelihood()]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
@pytest.mark.parametrize(("kind", "n"), [("linear", 1), ("torus", 2), ("sphere", 3)])
def test_few_dimensions_are_found_within_the_errors(manifold, estimator, kind, n):
    estimate = estimator.estimate(prepare_points(manifold(kind, n, 10, 4000)))
    assert estimate.value == pytest.approx(n, abs=4 * estimate.uncertainty + 0.05 * n)
    assert 0 < estimate.uncertainty < 0.06 * n
    assert np.argmax(estimate.log_weights) + 1 == n
    assert estimate.cautions == ()


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda one: one.name)
def test_of_many_dimensions_too_few_are_seen_and_it_is_said(manifold, estimator):
    estimate = estimator.estimate(prepare_points(manifold("linear", 15, 20, 3000)))
    assert 8 < estimate.value < 14.5
    assert "as a rule too small" in estimate.cautions[0]
    weights = estimate.log_weights
    below = int(np.floor(estimate.value)) - 3
    assert weights[14] > -2  # the truth is not excluded
    assert weights[below - 1] < weights[14]


def test_a_longer_scale_does_not_change_the_estimate(manifold):
    x = manifold("sphere", 2, 3, 2000)
    once, again = (
        TwoNearestNeighbours().estimate(prepare_points(scale * x)).value for scale in (1, 1e6)
    )
    assert again == pytest.approx(once, rel=1e-6)


def test_too_few_neighbours_are_refused():
    with pytest.raises(ConfigError, match="k >= 3"):
        MaximumLikelihood(k=2)
