"""The learned manifold beside the true one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import INK, MUTED, SEQUENTIAL, empty_figure, new_figure, tidy

__all__ = ["PointCloud", "surface_figure"]

Array = NDArray[np.float64]

VIEW = (32.0, -58.0)
ERROR_MAP = "magma_r"


@dataclass(frozen=True)
class PointCloud:
    """Points on a manifold and a number at each.

    Arguments:
        title: What the points are.
        x: The points, with shape (N, d).
        colour: The number that colours them, with shape (N,); None for none.
        colour_label: What the number is.
        log_scale: Whether its colour scale is logarithmic.
    """

    title: str
    x: ArrayLike
    colour: ArrayLike | None = None
    colour_label: str = ""
    log_scale: bool = False


def surface_figure(
    clouds: Sequence[PointCloud], labels: Sequence[str], view: tuple[float, float] = VIEW
) -> Figure:
    """Draw point clouds side by side with common axes.

    Clouds with the same colour label share one colour scale. In more than three
    dimensions the three leading principal components of the first cloud are
    drawn.

    Arguments:
        clouds: The clouds, such as true events, model events, and model events
            coloured by their distance to the truth.
        labels: Labels of the d observables.
        view: Elevation and azimuth of the eye, in degrees.

    Raises:
        DataError: If the clouds are not all of dimension ``len(labels)``.
    """
    if not clouds:
        return empty_figure("no points to draw")
    points = [np.asarray(cloud.x, dtype=float) for cloud in clouds]
    for array in points:
        if array.ndim != 2 or array.shape[1] != len(labels):
            raise DataError(f"points of shape (N, {len(labels)})", f"{array.shape}", "check d")
    points, axis_labels = at_most_three(points, labels)
    limits = point_limits(points)
    spatial = len(axis_labels) == 3
    figure = new_figure(5.1 * len(clouds), 5.2 if spatial else 4.8)
    for index, (cloud, x) in enumerate(zip(clouds, points, strict=True)):
        projection = "3d" if spatial else None
        axes = figure.add_subplot(1, len(clouds), index + 1, projection=projection)
        _scatter(figure, axes, cloud, x, colour_scale(cloud, clouds))
        frame(axes, axis_labels, limits, view)
        axes.set_title(cloud.title, fontsize=11, color=INK, fontweight="bold", pad=2)
    return figure


def _scatter(figure: Figure, axes: Any, cloud: PointCloud, x: Array, norm: Normalize) -> None:
    """Draw one cloud and, if it has a number, its colour bar."""
    columns = list(x.T) if x.shape[1] > 1 else [x[:, 0], np.zeros(len(x))]
    size = float(np.clip(30_000 / max(len(x), 1), 2.0, 18.0))
    style: dict[str, Any] = {"s": size, "linewidths": 0}
    if x.shape[1] == 3:
        style["depthshade"] = False
    if cloud.colour is None:
        axes.scatter(*columns, color="#0072b2", **style)
        return
    colour_map = ERROR_MAP if cloud.log_scale else SEQUENTIAL
    values = np.asarray(cloud.colour, dtype=float)
    drawn = axes.scatter(*columns, c=values, cmap=colour_map, norm=norm, **style)
    bar = figure.colorbar(
        drawn, ax=axes, orientation="horizontal", shrink=0.62, aspect=32, pad=0.02, extend="both"
    )
    bar.set_label(cloud.colour_label, fontsize=9, color=INK)
    bar.ax.tick_params(labelsize=8, colors=MUTED, labelcolor=INK)
    bar.outline.set_visible(False)


def colour_scale(cloud: PointCloud, clouds: Sequence[PointCloud]) -> Normalize:
    """Colour scale common to the clouds with this label, without its extreme percentiles."""
    shared = [
        np.asarray(other.colour, dtype=float)
        for other in clouds
        if other.colour is not None and other.colour_label == cloud.colour_label
    ]
    values = np.concatenate(shared) if shared else np.zeros(0)
    values = values[np.isfinite(values) & ((values > 0) | (not cloud.log_scale))]
    if len(values) == 0:
        return Normalize(0.0, 1.0)
    low, high = (float(edge) for edge in np.quantile(values, [0.02, 0.99]))
    if not high > low:
        low, high = 0.9 * low - 1e-12 * (low <= 0), 1.1 * high + 1e-12
    return LogNorm(low, high) if cloud.log_scale and low > 0 else Normalize(low, high)


def frame(
    axes: Any, labels: Sequence[str], limits: Array, view: tuple[float, float] = VIEW
) -> None:
    """Limits, labels and, in space, light panes and an equal aspect."""
    axes.set_xlim(*limits[0])
    axes.set_ylim(*(limits[1] if len(limits) > 1 else (-1.0, 1.0)))
    if len(labels) < 3:
        tidy(axes, labels[0], labels[1] if len(labels) > 1 else "")
        axes.set_aspect("equal", adjustable="box")
        return
    axes.set_zlim(*limits[2])
    axes.set_xlabel(labels[0], fontsize=10, labelpad=-4)
    axes.set_ylabel(labels[1], fontsize=10, labelpad=-4)
    axes.set_zlabel(labels[2], fontsize=10, labelpad=-6)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_pane_color((0.975, 0.98, 0.985, 1.0))
        axis._axinfo["grid"].update(color="#dfe5ea", linewidth=0.6)
        axis.line.set_color("#c3ccd4")
        axis.set_major_locator(_few_ticks())
    axes.tick_params(labelsize=7.5, pad=-2, colors=MUTED)
    axes.view_init(*view)
    # A surface much flatter than wide is stretched, to let its shape be seen.
    spans = limits[:, 1] - limits[:, 0]
    axes.set_box_aspect(np.maximum(spans / spans.max(), 0.62), zoom=1.0)


def _few_ticks() -> Any:
    """At most five ticks an axis."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - a fresh one for every axis

    return MaxNLocator(5)


def point_limits(points: Sequence[Array]) -> Array:
    """Find limits that hold 99.6 % of the first cloud, with shape (columns, 2)."""
    reference = points[0][np.all(np.isfinite(points[0]), axis=1)]
    if len(reference) == 0:
        return np.tile([-1.0, 1.0], (points[0].shape[1], 1))
    low, high = np.quantile(reference, [0.002, 0.998], axis=0)
    margin = np.maximum(0.05 * (high - low), 1e-9)
    return np.stack([low - margin, high + margin], axis=1)


def at_most_three(
    points: Sequence[Array], labels: Sequence[str]
) -> tuple[list[Array], Sequence[str]]:
    """Rotate to the leading principal components where there are more than three axes."""
    if len(labels) <= 3:
        return list(points), labels
    centre = points[0].mean(axis=0)
    _, _, directions = np.linalg.svd(points[0] - centre, full_matrices=False)
    rotated = [(array - centre) @ directions[:3].T for array in points]
    return rotated, [f"component {index}" for index in (1, 2, 3)]
