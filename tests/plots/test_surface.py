"""Point clouds of the manifold."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from lfi_mflow.errors import DataError
from lfi_mflow.plots import PointCloud, png, surface_figure


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_clouds_of_any_dimension_are_drawn(d, rng):
    x = rng.normal(size=(60, d))
    clouds = [PointCloud("one", x, x[:, 0], "colour"), PointCloud("two", x)]
    figure = surface_figure(clouds, [f"x{i}" for i in range(d)])
    assert png(figure, 40).startswith(b"\x89PNG")
    points = figure.axes[0].collections[0]
    assert len(points.get_array()) == 60


def test_clouds_with_the_same_label_share_colours_and_axes(rng):
    x = rng.normal(size=(100, 2))
    first = PointCloud("one", x, np.linspace(0, 1, 100), "log density")
    second = PointCloud("two", x + 3.0, np.linspace(5, 6, 100), "log density")
    figure = surface_figure([first, second], ["a", "b"])
    drawn = [axes for axes in figure.axes if axes.get_title()]
    limits = [axes.collections[0].get_clim() for axes in drawn]
    assert limits[0] == limits[1]
    assert limits[0][0] < 0.2
    assert limits[0][1] > 5.8
    assert drawn[0].get_xlim() == drawn[1].get_xlim()


def test_errors_are_on_a_log_scale_and_zeros_are_survived(rng):
    x = rng.normal(size=(50, 3))
    distance = np.r_[np.zeros(10), np.geomspace(1e-4, 1e-2, 40)]
    figure = surface_figure([PointCloud("e", x, distance, "distance", log_scale=True)], list("abc"))
    assert isinstance(figure.axes[0].collections[0].norm, LogNorm)
    constant = PointCloud("e", x, np.zeros(50), "distance", log_scale=True)
    png(surface_figure([constant], list("abc")), 40)


def test_points_that_are_not_finite_do_not_spoil_the_limits(rng):
    x = rng.normal(size=(50, 2))
    x[0] = np.nan
    axes = surface_figure([PointCloud("c", x)], ["a", "b"]).axes[0]
    assert np.all(np.isfinite(axes.get_xlim()))


def test_clouds_of_another_dimension_are_refused(rng):
    with pytest.raises(DataError, match=r"\(N, 2\)"):
        surface_figure([PointCloud("c", rng.normal(size=(5, 3)))], ["a", "b"])
