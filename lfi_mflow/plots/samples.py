"""Samples of several models, or at several parameters, in a grid of panels."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import INK, MODEL, MUTED, SEQUENTIAL, empty_figure, new_figure
from lfi_mflow.plots.surface import ERROR_MAP, PointCloud, colour_scale, frame, point_limits

__all__ = ["SampleRow", "samples_figure"]

Array = NDArray[np.float64]

_INCHES, _MARGIN = 2.7, 0.6  # of a panel, and of the titles of rows
_LINE = 20  # letters in a line of them


@dataclass(frozen=True)
class SampleRow:
    """The samples of one source, such as a model.

    Arguments:
        title: What the source is.
        clouds: Its samples, a cloud for each column.
    """

    title: str
    clouds: Sequence[PointCloud]


def samples_figure(
    rows: Sequence[SampleRow], labels: Sequence[str], *, common_axes: bool = True
) -> Figure:
    """Draw clouds in a grid of panels with one colour scale.

    The clouds of the first row name the columns, and set the limits, which hold 99.6 % of
    them. What lies outside is left out. All clouds with a colour mean the same by it; a
    cloud without one is drawn in one colour.

    Arguments:
        rows: The rows, all of the same number of clouds.
        labels: Labels of the 2 or 3 observables.
        common_axes: Whether those limits are for all rows; otherwise the first cloud of each
            row sets its own.

    Raises:
        DataError: If the rows differ in length, or clouds are not of dimension
            ``len(labels)``.
    """
    if not rows or not rows[0].clouds:
        return empty_figure("no samples to draw")
    points = [[_points(cloud, labels) for cloud in row.clouds] for row in rows]
    columns = len(points[0])
    if any(len(row) != columns for row in points):
        lengths = ", ".join(str(len(row)) for row in points)
        raise DataError("rows of the same number of clouds", f"rows of {lengths}", "add clouds")
    limits = _limits(points, common=common_axes)
    coloured = [cloud for row in rows for cloud in row.clouds if cloud.colour is not None]
    figure = new_figure(_INCHES * columns + _MARGIN, _INCHES * len(rows) + 0.7)
    left = _MARGIN / (_INCHES * columns + _MARGIN)
    figure.set_layout_engine("constrained", rect=(left, 0.0, 1.0 - left, 1.0), w_pad=0.12)
    grid: Any = figure.subplots(
        len(rows),
        columns,
        squeeze=False,
        subplot_kw={"projection": "3d"} if len(labels) == 3 else {},
    )
    for axes_row, row, points_row, box in zip(grid, rows, points, limits, strict=True):
        for axes, cloud, x in zip(axes_row, row.clouds, points_row, strict=True):
            _scatter(axes, cloud, x, box, coloured)
            frame(axes, labels, box)
            if len(labels) == 3:
                _clear_ticks(axes)
        _name_row(axes_row[0], row.title)
    for axes, cloud in zip(grid[0], rows[0].clouds, strict=True):
        axes.set_title(cloud.title, fontsize=11, color=INK)
    if coloured:
        _colour_bar(figure, grid, coloured)
    return figure


def _limits(points: Sequence[Sequence[Array]], *, common: bool) -> list[Array]:
    """Return the limits of each row: those of the first, or of its own first cloud."""
    if common:
        return [point_limits([np.concatenate(points[0])])] * len(points)
    return [point_limits(row) for row in points]


def _points(cloud: PointCloud, labels: Sequence[str]) -> Array:
    """Return the points of a cloud after checking their dimension: (N, d)."""
    x = np.asarray(cloud.x, dtype=float)
    if len(labels) not in {2, 3} or x.ndim != 2 or x.shape[1] != len(labels):
        raise DataError("points and labels of 2 or 3 columns", f"{x.shape} and {labels}", "check d")
    return x


def _scatter(
    axes: Any, cloud: PointCloud, x: Array, limits: Array, coloured: Sequence[PointCloud]
) -> None:
    """Draw what lies within the limits."""
    inside = np.all((x >= limits[:, 0]) & (x <= limits[:, 1]), axis=1)
    size = float(np.clip(4_000 / max(len(x), 1), 0.8, 10.0))
    style: dict[str, Any] = {"s": size, "linewidths": 0, "rasterized": True}
    if x.shape[1] == 3:
        style["depthshade"] = False
    if cloud.colour is None:
        style["color"] = MODEL
    else:
        style |= {"c": np.asarray(cloud.colour)[inside], "cmap": _colour_map(cloud)}
        style["norm"] = colour_scale(cloud, coloured)
    axes.scatter(*x[inside].T, **style)


def _colour_map(cloud: PointCloud) -> str:
    """Distances get another map than densities, as in the figure of the manifold."""
    return ERROR_MAP if cloud.log_scale else SEQUENTIAL


def _name_row(axes: Any, title: str) -> None:
    """Write the title of a row at its left, upright."""
    place = (axes.text2D if hasattr(axes, "text2D") else axes.text)(
        -0.04 if hasattr(axes, "text2D") else -0.32,
        0.5,
        textwrap.fill(title, _LINE),
        transform=axes.transAxes,
        rotation=90,
        ha="center",
        va="center",
        fontsize=11,
        fontweight="bold",
        color=INK,
    )
    place.set_in_layout(False)


def _clear_ticks(axes: Any) -> None:
    """Leave out the numbers of a small panel in space, and draw the names of axes near it."""
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_ticklabels([])
        axis.labelpad = -15


def _colour_bar(figure: Figure, grid: Any, coloured: Sequence[PointCloud]) -> None:
    """Draw the colour scale below all panels."""
    scale = ScalarMappable(colour_scale(coloured[0], coloured), _colour_map(coloured[0]))
    panels = grid.ravel().tolist()
    bar = figure.colorbar(
        scale, ax=panels, location="bottom", shrink=0.5, aspect=45, pad=0.02, extend="both"
    )
    bar.set_label(coloured[0].colour_label, fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=8.5, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
