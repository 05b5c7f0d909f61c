"""What a report says of observed events."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lfi_mflow.inference import PredictiveCheck, Removal, Suspicion
from lfi_mflow.report.observed_sections import (
    observed_section,
    off_manifold_section,
    predictive_section,
)

LABELS = ["x0", "x1", "x2"]
QUANTILES = np.linspace(0.0, 1.0, 1001)


@pytest.fixture
def without_outliers(posterior):
    """The posterior after two events were removed."""
    used = np.ones(20, dtype=bool)
    used[[4, 9]] = False
    data = dataclasses.replace(
        posterior.data,
        used=used,
        off_manifold_events=np.array([9, 4]),
        row=np.arange(20) + 100,
        suspicion=Suspicion(("x0", "x1", "x2"), np.array([0.9, 0.05, 0.8])),
    )
    before = {"theta": {"mean": 0.4, "sd": 0.2}}
    return dataclasses.replace(posterior, data=data, removal=Removal(0.003, {"parameters": before}))


def test_both_posteriors_stand_side_by_side(without_outliers):
    page = observed_section(without_outliers, ["theta"])
    assert "2 of 20 events are off the manifold and were left out" in page
    assert "The cut takes 0.003 of the simulator" in page
    assert "<td>0.4000</td><td>0.2000</td><td>0.1000</td><td>0.3000</td><td>−1.0</td>" in page


def test_nothing_is_said_of_a_removal_that_was_none(posterior):
    assert "left out" not in observed_section(posterior, ["theta"])


def test_events_off_the_manifold_are_listed_by_their_rows(without_outliers):
    page = off_manifold_section(without_outliers.data, QUANTILES, LABELS)
    assert "2 of 20 observed events are off the manifold" in page
    assert "(rows 109, 104)" in page
    assert "x1 alone explains them" in page


def test_a_model_without_a_manifold_has_no_such_section(posterior):
    assert off_manifold_section(posterior.data, None, LABELS) == ""
    bare = dataclasses.replace(posterior.data, distance=None)
    assert off_manifold_section(bare, QUANTILES, LABELS) == ""


def test_the_predictive_check_is_put_in_words():
    check = PredictiveCheck(
        observables=("x0", "x1", "x2"),
        edges=np.tile(np.linspace(0, 1, 6), (3, 1)),
        observed=np.ones((3, 5), dtype=int),
        bands=np.ones((3, 5, 5)),
        p_values=np.array([0.4, 0.01, 0.7]),
        n_events=50,
        n_sets=200,
        n_observed=1_234,
    )
    page = predictive_section(check, LABELS)
    assert "50 of 1,234 observed events against 200 sets" in page
    assert "times their number: 0.03." in page
    assert predictive_section(None, LABELS) == ""
