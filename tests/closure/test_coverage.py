"""Coverage is what it says on exact posteriors, and leaves it on wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import central_ranks, expected_coverage, hpd_ranks, sbc_p_value, sbc_ranks
from lfi_mflow.errors import DataError

L = 99


def _hpd(rng, conjugate, **fault):
    _, _, truth, draws = conjugate(rng, **fault)
    return hpd_ranks(truth, draws, rng)


def test_the_region_that_ends_at_the_truth_is_counted(rng):
    draws = np.tile(-np.arange(10.0), (3, 1))
    assert hpd_ranks(np.array([1.0, -3.5, -20.0]), draws, rng).tolist() == [0, 4, 10]
    ranks = np.array([[0], [5], [10]])
    counts = central_ranks(ranks, 10, rng)[:, 0]
    assert counts[1] <= 1
    assert min(counts[0], counts[2]) >= 9


def test_coverage_by_hand():
    # 10 draws: a region of 50 % holds the truth if fewer than 5 draws are inside.
    estimate = expected_coverage(np.array([0, 4, 5, 10]), 10, 0.5)
    assert estimate.value == pytest.approx(0.5)
    assert estimate.uncertainty == pytest.approx(0.25)


@pytest.mark.statistical
def test_counts_of_exact_posteriors_are_uniform(rng, conjugate, share_below):
    def p_values(kind):
        theta, draws, *log_prob = conjugate(rng, p=2)
        if kind == "hpd":
            return sbc_p_value(hpd_ranks(*log_prob, rng)[:, None], L)
        return sbc_p_value(central_ranks(sbc_ranks(theta, draws, rng), L, rng), L)

    for kind in ("hpd", "central"):
        # 5 expected; P(> 12) = 0.15 %
        assert share_below(lambda kind=kind: p_values(kind), 0.05, 100) <= 0.12


@pytest.mark.statistical
@pytest.mark.parametrize("level", [0.6827, 0.95])
def test_coverage_of_exact_posteriors(level, rng, conjugate):
    pulls = []
    for _ in range(100):
        estimate = expected_coverage(_hpd(rng, conjugate), L, level)
        pulls.append((estimate.value - level) / estimate.uncertainty)
    # With 99 draws the level is met to 1/200: 0.15 (68 %) and 0.3 (95 %) standard errors.
    assert abs(np.mean(pulls)) < 0.3 + 0.4
    assert np.std(pulls) == pytest.approx(1.0, abs=0.3)  # 4 sigma
    assert np.mean(np.abs(pulls) > 3.0) <= 0.04


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("fault", "expected"),
    # P(|z| < 0.7) and so on for a standard normal z
    [({"width": 0.7}, (0.516, 0.830)), ({"width": 1.4}, (0.838, 0.994))],
)
def test_wrong_widths_have_the_coverage_that_theory_gives(fault, expected, rng, conjugate):
    ranks = _hpd(rng, conjugate, sets=4_000, **fault)
    for level, coverage in zip((0.6827, 0.95), expected, strict=True):
        sigma = np.sqrt(coverage * (1 - coverage) / 4_000)
        value = expected_coverage(ranks, L, level).value
        assert value == pytest.approx(coverage, abs=4 * sigma + 1 / L)


@pytest.mark.statistical
def test_wrong_widths_are_caught_and_half_of_the_shifts(rng, conjugate):
    def caught(**fault):
        estimates = [
            expected_coverage(_hpd(rng, conjugate, sets=300, **fault), L, 0.6827) for _ in range(40)
        ]
        return np.mean([abs(e.value - 0.6827) > 1.96 * e.uncertainty for e in estimates])

    assert caught(width=0.7) >= 0.95
    assert caught(width=1.4) >= 0.95
    assert 0.2 < caught(shift=0.5) < 0.9  # the documentation says so


def test_nan_is_refused(rng):
    with pytest.raises(DataError, match="NaN"):
        hpd_ranks(np.array([np.nan, 0.0]), np.zeros((2, 5)), rng)
