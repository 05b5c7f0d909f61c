"""Observed against generated events."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.inference import PredictiveCheck
from lfi_mflow.plots import predictive_figure


@pytest.fixture
def check(rng):
    """A function that makes a check of observables with given p-values."""

    def make(*p_values):
        d = len(p_values)
        bands = np.sort(rng.poisson(9.0, size=(d, 5, 20)), axis=1).astype(float)
        return PredictiveCheck(
            observables=tuple(f"x{k}" for k in range(d)),
            edges=np.tile(np.linspace(0.0, 1.0, 21), (d, 1)),
            observed=rng.poisson(9.0, size=(d, 20)),
            bands=bands,
            p_values=np.array(p_values),
            n_events=180,
            n_sets=100,
            n_observed=180,
        )

    return make


def test_each_observable_has_its_panel_and_its_p_value(check):
    figure = predictive_figure(check(0.4, 0.004, 0.8), ["a", "b", "c"])
    assert [axes.get_xlabel() for axes in figure.axes] == ["a", "b", "c"]
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["p = 0.4", "p = 0.004", "p = 0.8"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "95 %",
        "68 %",
        "generated, median",
        "observed",
    ]


def test_the_points_are_the_observed_events(check):
    record = check(0.4)
    points = predictive_figure(record, ["a"]).axes[0].get_lines()[-1]
    seen = record.observed[0] > 0
    np.testing.assert_array_equal(points.get_ydata(), record.observed[0][seen])


def test_of_many_observables_the_worst_are_drawn(check):
    labels = [f"x{k}" for k in range(6)]
    figure = predictive_figure(check(0.9, 0.2, 0.8, 0.01, 0.7, 0.3), labels, max_panels=3)
    assert [axes.get_xlabel() for axes in figure.axes] == ["x1", "x3", "x5"]
    assert "3 of 6 observables" in figure.get_supxlabel()


def test_labels_of_other_observables_are_refused(check):
    with pytest.raises(DataError, match="labels of 2 observables"):
        predictive_figure(check(0.1, 0.2), ["a"])
