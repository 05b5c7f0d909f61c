"""The charts of an atlas, and where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import INK, MUTED, SEQUENTIAL, empty_figure, new_figure
from lfi_mflow.plots.surface import VIEW, at_most_three, frame, point_limits

__all__ = ["atlas_figure"]

Array = NDArray[np.float64]

_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#4d4d4d"]
"""Those of the Okabe-Ito set, for as many charts."""
_STRIDE = 0.618
"""Of a longer scale: what is next to each other in it is far apart on it."""


def atlas_figure(
    x: ArrayLike,
    chart: ArrayLike,
    overlap: ArrayLike,
    labels: Sequence[str],
    view: tuple[float, float] = VIEW,
) -> Figure:
    """Draw points coloured by their chart, and by the number of charts that they lie on.

    In more than three dimensions the three leading principal components are drawn.

    Arguments:
        x: Points of the manifold, with shape (N, d).
        chart: The number of the chart of each, from 0, with shape (N,).
        overlap: On how many charts each lies, with shape (N,).
        labels: Labels of the d observables.
        view: Elevation and azimuth of the eye, in degrees.

    Raises:
        DataError: If the points are not of dimension ``len(labels)``, or the numbers are
            not one for each.
    """
    points = np.asarray(x, dtype=float)
    numbers = [np.asarray(values, dtype=int) for values in (chart, overlap)]
    if points.ndim != 2 or points.shape[1] != len(labels):
        raise DataError(f"points of shape (N, {len(labels)})", f"{points.shape}", "check d")
    if any(values.shape != points.shape[:1] for values in numbers):
        shapes = " and ".join(str(values.shape) for values in numbers)
        raise DataError(f"one chart and number for each of {len(points)} points", shapes, "check N")
    if not len(points):
        return empty_figure("no points to draw")
    (points,), names = at_most_three([points], labels)
    figure = new_figure(10.2, 5.2 if len(names) == 3 else 4.8)
    charts, counts = numbers
    panels = (
        ("Charts", "chart", charts, 0, _chart_colours(int(charts.max()) + 1)),
        ("Overlaps", "number of charts", counts, 1, mpl.colormaps[SEQUENTIAL]),
    )
    for index, (title, label, values, low, colours) in enumerate(panels, start=1):
        projection = "3d" if len(names) == 3 else None
        axes = figure.add_subplot(1, 2, index, projection=projection)
        norm = BoundaryNorm(np.arange(low, max(values.max(), low) + 2) - 0.5, colours.N)
        drawn = _scatter(axes, points, values, colours, norm)
        frame(axes, names, point_limits([points]), view)
        axes.set_title(title, fontsize=11, color=INK, fontweight="bold", pad=2)
        _colour_bar(figure, axes, drawn, label, low, int(values.max()))
    return figure


def _chart_colours(charts: int) -> Colormap:
    """Colours of charts that can be told apart where few of them meet."""
    if charts <= len(_COLOURS):
        return ListedColormap(_COLOURS[:charts])
    scale = mpl.colormaps["turbo"]
    return ListedColormap([scale((index * _STRIDE) % 1.0) for index in range(charts)])


def _scatter(axes: Any, x: Array, values: Array, colours: Colormap, norm: BoundaryNorm) -> Any:
    """Draw one panel."""
    columns = list(x.T) if x.shape[1] > 1 else [x[:, 0], np.zeros(len(x))]
    style: dict[str, Any] = {"s": float(np.clip(30_000 / len(x), 2.0, 18.0)), "linewidths": 0}
    if x.shape[1] == 3:
        style["depthshade"] = False
    return axes.scatter(*columns, c=values, cmap=colours, norm=norm, **style)


def _colour_bar(figure: Figure, axes: Any, drawn: Any, label: str, low: int, high: int) -> None:
    """Draw a bar of whole numbers, not more of them than can be read."""
    step = max(1, (high - low + 1) // 10)
    bar = figure.colorbar(
        drawn, ax=axes, orientation="horizontal", shrink=0.62, aspect=32, pad=0.02
    )
    bar.set_ticks(list(range(low, max(high, low) + 1, step)))
    bar.set_label(label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)
