"""SBC on conjugate posteriors: silent when they are right, loud when they are not."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure.sbc import ecdf_band, sbc_p_value, sbc_ranks
from lfi_mflow.errors import DataError

L = 199


def _ranks(rng, n=300, shift=0.0, width=1.0):
    """Ranks of a conjugate normal posterior, moved and stretched in units of its width."""
    theta = rng.normal(size=(n, 1))
    data = theta + rng.normal(size=(n, 1))
    mean, sd = 0.5 * data, np.sqrt(0.5)
    draws = mean[:, None] + sd * (shift + width * rng.normal(size=(n, L, 1)))
    return sbc_ranks(theta, draws, rng)


def test_ranks_count_the_draws_below(rng):
    draws = np.arange(10.0).reshape(1, 10, 1)
    ranks = [sbc_ranks(np.array([[t]]), draws, rng)[0, 0] for t in (-1.0, 3.5, 20.0)]
    assert ranks == [0, 4, 10]


def test_ties_are_broken_evenly(rng):
    ranks = sbc_ranks(np.zeros((4000, 1)), np.zeros((4000, 3, 1)), rng)
    assert np.bincount(ranks[:, 0]) == pytest.approx([1000] * 4, rel=0.15)


@pytest.mark.statistical
@pytest.mark.parametrize("n_draws", [7, 199, 1000])
def test_p_values_of_uniform_ranks_are_uniform(n_draws, rng):
    p = np.array([sbc_p_value(rng.integers(0, n_draws + 1, (150, 1)), n_draws) for _ in range(800)])
    # Discrete, hence at most (not exactly) the level; 4 sigma of the binomial.
    for level in (0.05, 0.2, 0.5):
        assert np.mean(p <= level) <= level + 4 * np.sqrt(level * (1 - level) / len(p))
    assert np.mean(p <= 0.2) > 0.1


@pytest.mark.statistical
@pytest.mark.parametrize(
    "fault", [{"width": 0.7}, {"width": 1.4}, {"shift": 0.35}, {"shift": -0.35}]
)
def test_wrong_posteriors_are_caught(fault, rng):
    caught = [sbc_p_value(_ranks(rng, **fault), L) < 0.01 for _ in range(40)]
    assert np.mean(caught) >= 0.9


@pytest.mark.statistical
def test_right_posteriors_are_not(rng):
    alarms = sum(sbc_p_value(_ranks(rng), L) < 0.01 for _ in range(200))
    assert alarms <= 8  # 2 expected; P(> 8) = 2e-4


def test_band_and_p_value_agree(rng):
    for _ in range(300):
        ranks = _ranks(rng, n=100, shift=rng.uniform(0, 0.4))
        p = sbc_p_value(ranks, L)
        if abs(p - 0.05) > 0.005:  # both come from the same finite simulation
            assert ecdf_band(ranks[:, 0], L, level=0.95).inside == (p > 0.05)


def test_band_shape_is_that_of_a_bridge(rng):
    band = ecdf_band(rng.integers(0, L + 1, 400), L)
    middle = np.argmin(np.abs(band.z - 0.5))
    assert np.all(band.low < band.high)
    assert band.high[middle] > 2 * band.high[0]
    # The Kolmogorov-Smirnov band of 400 values is +-0.0679; this one is near it.
    assert 0.055 < band.high[middle] < 0.09


def test_two_parameters_pay_for_two_looks(rng):
    good, bad = rng.integers(0, L + 1, 300), (L * rng.beta(3, 3, 300)).astype(int)
    single = sbc_p_value(bad[:, None], L)
    assert sbc_p_value(np.stack([good, bad], axis=1), L) == pytest.approx(2 * single)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        (np.array([[0], [L + 1]]), "ranks from 0 to 199"),
        (np.array([[0], [-1]]), "ranks from 0 to 199"),
        (np.array([[0]]), "D >= 2"),
    ],
)
def test_impossible_ranks_are_refused(ranks, message):
    with pytest.raises(DataError, match=message):
        sbc_p_value(ranks, L)


def test_draws_of_other_data_sets_are_refused(rng):
    with pytest.raises(DataError, match="draws of shape"):
        sbc_ranks(np.zeros((3, 1)), np.zeros((2, 5, 1)), rng)
