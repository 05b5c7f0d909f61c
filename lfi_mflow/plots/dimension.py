"""What estimators of the dimension found, and where the widths of the manifold drop."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lfi_mflow.geometry import Dimension
from lfi_mflow.plots.style import BAND, EXACT, INK, MODEL, MUTED, new_figure, tidy

__all__ = ["dimension_figure"]

_SHOWN = 3  # directions beyond 1.5 times the answer that are shown at least


def dimension_figure(dimension: Dimension) -> Figure:
    """Draw the estimates with the weights of n, and the widths of all directions.

    Arguments:
        dimension: The answer of all estimators.
    """
    figure = new_figure(9.0, 3.4)
    left, right = figure.subplots(1, 2)
    _draw_estimates(left, dimension)
    _draw_widths(right, dimension)
    return figure


def _draw_estimates(axes: Axes, dimension: Dimension) -> None:
    """Draw estimates with standard errors over the weights of n."""
    n = np.arange(1, dimension.rank + 1)
    rows = len(dimension.estimates)
    axes.bar(n, dimension.weights * (rows + 0.2), 0.8, bottom=-0.6, color=BAND, zorder=1)
    for place, estimate in enumerate(reversed(dimension.estimates)):
        axes.errorbar(
            estimate.value, place, xerr=estimate.uncertainty, fmt="o", color=MODEL, ms=5, capsize=3
        )
    axes.axvline(dimension.value, color=INK, lw=1.0, ls=":")
    axes.set_yticks(range(rows), [estimate.name for estimate in reversed(dimension.estimates)])
    axes.set_ylim(-0.6, rows - 0.4)
    axes.set_xlim(0.0, max(estimate.value for estimate in dimension.estimates) + 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, "dimension n (grey: weight)", "")


def _draw_widths(axes: Axes, dimension: Dimension) -> None:
    """Draw the widths of directions by principal axes, relations and autoencoders."""
    curves = {one.name: one.curve for one in dimension.estimates}
    drawn = {
        "principal axes": (np.sqrt(curves.get("pca", {}).get("spectrum", ())), MUTED, ":"),
        "relations between neighbours": (
            np.array(curves.get("relations", {}).get("widths", ())),
            MODEL,
            "-",
        ),
        "distance to autoencoders": (
            np.array(curves.get("reconstruction", {}).get("errors", ())),
            EXACT,
            "--",
        ),
    }
    last = int(1.5 * dimension.value) + _SHOWN
    for label, (values, colour, style) in drawn.items():
        if not len(values):
            continue
        first = 0 if style == "--" else 1
        n = np.arange(first, first + len(values))
        floor = 1e-8 * values[0]
        axes.plot(n, np.maximum(values, floor), style, marker="o", ms=3, color=colour, label=label)
    axes.axvline(dimension.value + 0.5, color=INK, lw=1.0, ls=":")
    axes.set_yscale("log")
    axes.set_xlim(0.0, last)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes, "direction", "width [spreads of the observables]")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8.5)
