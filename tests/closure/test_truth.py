"""The density of posterior samples at the truth."""

import numpy as np
import pytest
from scipy import stats

from lfi_mflow.closure import log_density_at_truth
from lfi_mflow.errors import DataError


@pytest.mark.parametrize("p", [1, 2, 3])
def test_it_is_that_of_a_normal_posterior_and_the_kernels(p, rng):
    theta, sd, width = rng.normal(size=(4, p)), 0.3, 0.15
    draws = sd * rng.normal(size=(4, 40_000, p))
    smeared = stats.norm(0.0, np.hypot(sd, width))
    expected = smeared.logpdf(0.2 * theta).sum(axis=1)
    found = log_density_at_truth(0.2 * theta, draws, width)
    np.testing.assert_allclose(found, expected, atol=0.15)


def test_it_is_the_density_estimate_of_scipy(rng):
    draws = rng.normal(size=(1, 200, 1))
    kernel = stats.gaussian_kde(draws[0, :, 0], bw_method=0.2 / draws.std(ddof=1))
    found = log_density_at_truth(np.array([[0.4]]), draws, 0.2)
    assert found == pytest.approx(np.log(kernel(0.4)))


def test_a_posterior_far_away_has_a_finite_value(rng):
    found = log_density_at_truth(np.array([[100.0]]), rng.normal(size=(1, 50, 1)), 0.15)
    assert np.isfinite(found[0])
    assert found[0] < -1e5


def test_shapes(rng):
    with pytest.raises(DataError, match=r"\(2, L, 1\)"):
        log_density_at_truth(np.zeros((2, 1)), np.zeros((3, 10, 1)), 0.1)
    with pytest.raises(DataError, match="every set"):
        log_density_at_truth(np.zeros((2, 1)), np.zeros((2, 10)), 0.1)
