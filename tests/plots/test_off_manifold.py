"""Distances to the manifold and residuals by observable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.inference import ObservedEvents
from lfi_mflow.plots import off_manifold_figure

QUANTILES = np.linspace(0.0, 1.0, 1001)


@pytest.fixture
def data(rng):
    """Events of which two are off the manifold, in the second observable."""
    distance = rng.uniform(size=100)
    distance[[3, 8]] = [30.0, 20.0]
    residual = rng.normal(size=(100, 3))
    residual[[3, 8], 1] = 50.0
    x = rng.normal(size=(100, 3))
    return ObservedEvents(
        x, ("a", "b", "c"), 0.01, np.array([3, 8]), 1.0, distance=distance, residual=residual
    )


def test_events_off_the_manifold_are_marked(data):
    left = off_manifold_figure(data, QUANTILES, ["a", "b", "c"]).axes[0]
    marked = next(line for line in left.get_lines() if line.get_marker() == "x")
    assert sorted(marked.get_xdata()) == [20.0, 30.0]
    assert marked.get_label() == "off the manifold"


def test_it_says_that_events_were_removed(data):
    used = np.ones(100, dtype=bool)
    used[[3, 8]] = False
    left = off_manifold_figure(dataclasses.replace(data, used=used), QUANTILES, list("abc")).axes[0]
    assert "off the manifold, removed" in [line.get_label() for line in left.get_lines()]


def test_the_bars_show_which_observable_is_off(data):
    right = off_manifold_figure(data, QUANTILES, ["a", "b", "c"]).axes[1]
    assert [label.get_text() for label in right.get_yticklabels()] == ["c", "b", "a"]
    ends = {
        bars.get_label(): [bar.get_x() + bar.get_width() for bar in bars]
        for bars in right.containers
    }
    assert ends["off the manifold"][1] == pytest.approx(50.0)
    assert max(ends["all events"]) < 1.5


def test_of_many_observables_the_widest_are_drawn(rng):
    residual = rng.normal(size=(50, 40))
    residual[:, 33] *= 9.0
    data = ObservedEvents(
        rng.normal(size=(50, 40)),
        tuple(f"x{k}" for k in range(40)),
        distance=rng.uniform(size=50),
        residual=residual,
    )
    right = off_manifold_figure(data, QUANTILES, data.observables).axes[1]
    names = [label.get_text() for label in right.get_yticklabels()]
    assert len(names) < 20
    assert "x33" in names


def test_without_residuals_there_are_no_bars(data):
    figure = off_manifold_figure(dataclasses.replace(data, residual=None), QUANTILES, list("abc"))
    assert len(figure.axes) == 1


def test_without_distances_there_is_nothing_to_draw(data):
    with pytest.raises(DataError, match="distances to the manifold"):
        off_manifold_figure(dataclasses.replace(data, distance=None), QUANTILES, list("abc"))
