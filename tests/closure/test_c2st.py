"""A classifier on normal samples, against the accuracy that the best one has."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import c2st
from lfi_mflow.errors import DataError

N = 400


@pytest.mark.statistical
def test_the_same_distribution_is_a_toss_of_a_coin(rng):
    values = [c2st(*rng.normal(size=(2, N, 1)), seed).value for seed in range(4)]
    # The standard error of one is 0.021: the mean within 3.4, none beyond 2.8; together 1.2 %.
    assert np.mean(values) == pytest.approx(0.5, abs=0.036)
    assert max(values) < 0.56


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("fault", "best"),
    # (1 + total variation) / 2 of N(0, 1) and N(shift, width^2), by quadrature
    [({"width": 0.7}, 0.589), ({"width": 1.4}, 0.581), ({"shift": 0.5}, 0.599)],
)
def test_power(fault, best, rng):
    sets = [
        fault.get("shift", 0.0) + fault.get("width", 1.0) * rng.normal(size=(N, 1))
        for _ in range(2)
    ]
    found = [c2st(model, rng.normal(size=(N, 1)), 1) for model in sets]
    assert np.mean([e.value for e in found]) == pytest.approx(best, abs=0.04)
    assert all(e.value > 0.5 + 1.645 * e.uncertainty for e in found)


def test_disjoint_samples_and_their_scale(rng):
    model, exact = 1e-6 * rng.normal(size=(2, 100, 2))
    assert c2st(model + 1e-4, exact, 0).value == 1.0


def test_the_seed_makes_it_reproducible(rng):
    model, exact = rng.normal(size=(2, 60, 1))
    assert c2st(model, exact, 3) == c2st(model, exact, 3)


def test_sets_of_other_shape_are_refused(rng):
    with pytest.raises(DataError, match="same shape"):
        c2st(np.zeros((10, 1)), np.zeros((11, 1)), 0)
