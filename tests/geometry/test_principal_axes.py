"""The linear rank."""

import numpy as np

from lfi_mflow.geometry import PrincipalAxes, prepare_points


def test_the_rank_bounds_and_does_not_choose(manifold):
    estimate = PrincipalAxes().estimate(prepare_points(manifold("sphere", 2, 10, 500)))
    assert estimate.value == 3
    assert estimate.uncertainty is None
    np.testing.assert_array_equal(estimate.log_weights, np.zeros(3))
    assert len(estimate.curve["spectrum"]) == 10
