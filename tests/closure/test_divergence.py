"""The divergence between two posteriors from draws of one."""

import numpy as np
import pytest
from scipy import stats

from lfi_mflow.closure import kl_divergence
from lfi_mflow.errors import DataError


@pytest.mark.parametrize(("shift", "width"), [(0.0, 1.0), (0.5, 1.0), (0.0, 1.3), (0.3, 0.8)])
def test_it_is_that_of_normal_densities_whatever_their_constants(shift, width, rng):
    draws = rng.normal(size=(5, 40_000))
    log_p = stats.norm.logpdf(draws) + np.arange(5)[:, None]
    log_q = stats.norm(shift, width).logpdf(draws) - 7.0
    expected = np.log(width) + (1.0 + shift**2) / (2.0 * width**2) - 0.5
    np.testing.assert_allclose(kl_divergence(log_p, log_q), expected, atol=0.02)


def test_it_is_never_negative(rng):
    assert (kl_divergence(*rng.normal(size=(2, 100, 3))) >= 0.0).all()


def test_no_density_at_a_draw_of_the_other_costs_a_lot_but_not_silently(rng):
    log_q = np.zeros((1, 10))
    log_q[0, 3] = -np.inf
    assert kl_divergence(np.zeros((1, 10)), log_q) == np.inf
    with pytest.raises(DataError, match="draws of p"):
        kl_divergence(log_q, np.zeros((1, 10)))


def test_shapes():
    with pytest.raises(DataError, match=r"two arrays \(D, L\)"):
        kl_divergence(np.zeros((2, 3)), np.zeros((3, 2)))
