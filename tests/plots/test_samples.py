"""Grids of samples."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from lfi_mflow.errors import DataError
from lfi_mflow.plots import PointCloud, SampleRow, png, samples_figure


def panels(figure, rows, columns):
    """The axes of the grid: all but the one of the colour bar, which comes last."""
    return np.reshape(figure.axes[: rows * columns], (rows, columns))


@pytest.fixture
def row(rng):
    """A row of clouds around different centres."""

    def make(title, d=3, columns=2, shift=0.0, colour=None):
        clouds = []
        for column in range(columns):
            x = rng.normal(size=(200, d)) + shift + column
            values = None if colour is None else np.full(200, colour * (column + 1.0))
            clouds.append(PointCloud(f"column {column}", x, values, "distance", log_scale=True))
        return SampleRow(title, clouds)

    return make


@pytest.mark.parametrize("d", [2, 3])
def test_rows_and_columns_are_named(row, d):
    figure = samples_figure([row("truth", d), row("model", d)], list("xyz")[:d])
    assert png(figure, 40).startswith(b"\x89PNG")
    grid = panels(figure, 2, 2)
    assert len(figure.axes) == 4  # nothing has a colour: no colour bar
    assert [axes.get_title() for axes in grid[0]] == ["column 0", "column 1"]
    assert [axes.get_title() for axes in grid[1]] == ["", ""]
    assert [axes[0].texts[0].get_text() for axes in grid] == ["truth", "model"]


def test_all_panels_share_limits_and_one_colour_scale(row):
    rows = [row("truth"), row("near", colour=0.001), row("far", colour=0.1)]
    figure = samples_figure(rows, list("xyz"))
    grid = panels(figure, 3, 2)
    assert len({axes.get_xlim() for axes in grid.flat}) == 1
    scales = [axes.collections[0].norm for axes in grid[1:].flat]
    assert all(isinstance(scale, LogNorm) for scale in scales)
    assert {(scale.vmin, scale.vmax) for scale in scales} == {(0.001, 0.2)}
    assert len(figure.axes) == 7
    assert figure.axes[-1].get_xlabel() == "distance"


def test_rows_can_have_limits_of_their_own(row):
    rows = [row("one", d=2, shift=100.0), row("other", d=2)]
    grid = panels(samples_figure(rows, ["x", "y"], common_axes=False), 2, 2)
    assert grid[0, 0].get_xlim()[0] > 50
    assert grid[1, 0].get_xlim()[1] < 10
    assert all(axes.get_xlim() == other.get_xlim() for axes, other in grid)


def test_the_first_row_sets_the_limits_and_what_is_outside_is_left_out(row):
    figure = samples_figure([row("truth", d=2), row("far", d=2, shift=100.0)], ["x", "y"])
    grid = panels(figure, 2, 2)
    assert grid[1, 0].get_xlim()[1] < 10
    assert len(grid[1, 0].collections[0].get_offsets()) == 0
    assert len(grid[0, 0].collections[0].get_offsets()) > 190


def test_rows_of_different_length_are_refused(row):
    with pytest.raises(DataError, match="rows of the same number of clouds"):
        samples_figure([row("truth"), row("model", columns=3)], list("xyz"))


@pytest.mark.parametrize("d", [1, 4])
def test_clouds_of_another_dimension_are_refused(row, d):
    with pytest.raises(DataError, match="2 or 3 columns"):
        samples_figure([row("truth", d)], list("wxyz")[:d])


def test_nothing_to_draw_says_so():
    figure = samples_figure([], ["x", "y"])
    assert "no samples" in figure.texts[0].get_text()
