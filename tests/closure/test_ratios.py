"""Reliability and normalisation of ratios: level, power, and what the curve says."""

import numpy as np
import pytest

from lfi_mflow.closure.ratios import ratio_normalisation, reliability
from lfi_mflow.errors import DataError


@pytest.fixture
def make_ratios():
    """A function that makes log-ratios of N(m, 1) to N(0, 1), m ~ N(0, 1), and outcomes."""

    def make(rng, n=2_000):
        outcome = rng.integers(0, 2, n)
        mean = rng.normal(size=n)
        x = outcome * mean + rng.normal(size=n)
        return mean * x - 0.5 * mean**2, outcome

    return make


FAULTS = {
    "claims too much": lambda t: 1.4 * t,
    "claims too little": lambda t: 0.7 * t,
    "a factor": lambda t: t + 0.25,
    "bent": lambda t: np.where(t > 0, 1.8 * t, 0.7 * t) - 0.12,
}


@pytest.mark.statistical
def test_exact_ratios_are_rarely_rejected(make_ratios, share_below, rng):
    """5 % with a standard error of 1.5 %; the two halves of the test overlap."""
    share = share_below(lambda: reliability(*make_ratios(rng)).p_value, 0.05, 200)
    assert share < 0.1
    share = share_below(lambda: reliability(*make_ratios(rng)).p_value, 0.3, 100)
    assert share > 0.1


@pytest.mark.statistical
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(make_ratios, share_below, rng, fault):
    def p_value():
        log_ratio, outcome = make_ratios(rng)
        return reliability(FAULTS[fault](log_ratio), outcome).p_value

    assert share_below(p_value, 0.05, 40) >= 0.9


def test_the_fit_is_the_remedy(make_ratios, rng):
    log_ratio, outcome = make_ratios(rng, 100_000)
    found = reliability((log_ratio - 0.4) / 1.7, outcome)
    assert found.slope.value == pytest.approx(1.7, abs=4 * found.slope.uncertainty)
    assert found.slope.uncertainty < 0.03
    assert found.offset == pytest.approx(0.4, abs=0.05)
    assert found.p_value < 1e-6


def test_the_curve_is_the_diagonal_if_all_is_well(make_ratios, rng):
    found = reliability(*make_ratios(rng, 20_000))
    assert len(found.claimed) == 20
    assert (np.diff(found.claimed) > 0).all()
    pull = (found.observed - found.claimed) / found.uncertainty
    assert np.abs(pull).max() < 4.5
    assert pull.std() > 0.5


def test_certain_claims_need_few_groups(rng):
    outcome = rng.integers(0, 2, 200)
    found = reliability(np.where(outcome > 0, 30.0, -30.0), outcome)
    assert len(found.claimed) == 1
    assert found.claimed[0] == pytest.approx(found.observed[0], abs=1e-9)
    assert found.p_value > 0.5


def test_to_call_impossible_what_happened_is_the_worst(make_ratios, rng):
    log_ratio, outcome = make_ratios(rng)
    log_ratio[3] = np.nan
    assert reliability(log_ratio, outcome).p_value == 0.0
    with pytest.raises(DataError, match="D >= 20"):
        reliability(np.zeros(10), np.zeros(10, dtype=int))


@pytest.mark.statistical
def test_the_mean_ratio_is_one(make_ratios, rng):
    log_ratio, outcome = make_ratios(rng, 100_000)
    below = np.clip(log_ratio[outcome == 0], None, 8.0)
    found = ratio_normalisation(below)
    assert found.value == pytest.approx(1.0, abs=5 * found.uncertainty)
    assert found.uncertainty < 0.03
    wrong = ratio_normalisation(below + 0.3)
    assert wrong.value == pytest.approx(np.exp(0.3) * found.value)
    assert ratio_normalisation(np.array([0.0, 1e4])).value == np.inf
