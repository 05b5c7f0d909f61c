"""The local classifier test: exact level, power, and faults that averages hide."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import lc2st, sbc_p_value, sbc_ranks
from lfi_mflow.errors import DataError


def _p_value(rng, conjugate, **fault):
    theta, draws, *_ = conjugate(rng, **fault)
    return lc2st(theta, draws, rng).p_value


@pytest.mark.statistical
@pytest.mark.parametrize("p", [1, 2])
def test_level(p, rng, conjugate, share_below):
    # 5 expected; P(> 12) = 0.15 %
    assert share_below(lambda: _p_value(rng, conjugate, sets=60, p=p), 0.05, 100) <= 0.12


@pytest.mark.statistical
@pytest.mark.parametrize(
    "fault", [{"width": 0.7}, {"width": 1.4}, {"shift": 0.5}, {"outwards": 0.5}]
)
def test_power(fault, rng, conjugate, share_below):
    assert share_below(lambda: _p_value(rng, conjugate, sets=300, **fault), 0.05, 20) >= 0.95


@pytest.mark.statistical
def test_a_fault_is_found_where_it_is(rng, conjugate):
    theta, draws, *_ = conjugate(rng, sets=400)
    right = draws.mean(axis=(1, 2)) > 0.5
    draws[right] += 0.8 * draws[right].std(axis=1, keepdims=True)
    outcome = lc2st(theta, draws, rng)
    assert outcome.p_value < 0.01
    assert np.median(outcome.local[right]) < 0.01 < np.median(outcome.local[~right])


@pytest.mark.statistical
def test_what_cancels_in_ranks_does_not_cancel_here(rng, conjugate):
    theta, draws, *_ = conjugate(rng, sets=300, outwards=0.5)
    assert sbc_p_value(sbc_ranks(theta, draws, rng), 99) > 0.01
    assert lc2st(theta, draws, rng).p_value < 0.01


@pytest.mark.statistical
def test_wrong_correlations_are_seen(rng, conjugate):
    theta, draws, *_ = conjugate(rng, sets=300, p=2)
    centre = draws.mean(axis=1, keepdims=True)
    first, second = np.moveaxis(draws - centre, -1, 0)
    draws = np.stack([first, 0.7 * first + np.sqrt(1 - 0.49) * second], axis=-1) + centre
    assert sbc_p_value(sbc_ranks(theta, draws, rng), 99) > 0.01
    assert lc2st(theta, draws, rng).p_value < 0.01


def test_too_little_is_refused(rng):
    with pytest.raises(DataError, match="D >= 10"):
        lc2st(np.zeros((5, 1)), np.zeros((5, 50, 1)), rng)
    with pytest.raises(DataError, match="L >= 20"):
        lc2st(np.zeros((50, 1)), np.zeros((50, 15, 1)), rng)
