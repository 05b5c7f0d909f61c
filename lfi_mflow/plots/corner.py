"""Posterior draws: marginals, and contours of pairs.

Contours enclose the regions of highest density that hold 68 % and 95 % of the draws of
the *pair*. In two dimensions that is not the region within one and two standard
deviations of the mean, which holds 39 % and 86 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import (
    EXACT,
    INK,
    MODEL,
    MUTED,
    empty_figure,
    few_ticks,
    new_figure,
    tidy,
)

__all__ = ["check_draws", "contour_figure", "corner_figure"]

Array = NDArray[np.float64]

_MASSES = (0.95, 0.68)
_REGIONS = "68 % and 95 % highest density"
_BINS = 48
_SMOOTHING = {0: 1.7, 20_000: 1.3}  # in bins, by the least number of draws
_COLOURS = (MODEL, EXACT, INK, MUTED)


def corner_figure(
    draws: ArrayLike,
    labels: Sequence[str],
    truth: Sequence[float] | None = None,
    *,
    other: tuple[str, ArrayLike] | None = None,
) -> Figure:
    """Draw the posterior of each parameter and of each pair.

    Diagonal: histogram with median and central 68 %. Below it: contours of the
    regions of highest density that hold 68 % and 95 %.

    Arguments:
        draws: Posterior draws, with shape (N, p).
        labels: Labels of the p parameters.
        truth: True parameters, if known.
        other: Name and draws, with shape (M, p), of a posterior to compare with.

    Raises:
        DataError: If draws have another shape.
    """
    sample = check_draws(draws, labels)
    second = None if other is None else check_draws(other[1], labels)
    p = len(labels)
    figure = new_figure(5.0, 3.2) if p == 1 else new_figure(2.1 * p + 0.8, 2.1 * p + 0.6)
    shown = sample if second is None else np.vstack([sample, second])
    limits = [_limits(shown[:, column], truth, column) for column in range(p)]
    for row in range(p):
        for column in range(row + 1):
            axes = figure.add_subplot(p, p, row * p + column + 1)
            if row == column:
                _draw_marginal(axes, sample[:, row], None if second is None else second[:, row])
            else:
                _draw_pair(axes, sample[:, column], sample[:, row])
                if second is not None:
                    _outline(axes, second[:, column], second[:, row], EXACT)
                axes.set_ylim(*limits[row])
            axes.set_xlim(*limits[column])
            _mark_truth(axes, truth, column, row)
            _label(axes, labels, row, column)
    _corner_legend(figure, p, None if other is None else other[0], truth is not None)
    figure.align_labels()
    return figure


def contour_figure(
    sets: Mapping[str, ArrayLike],
    labels: Sequence[str],
    truth: Sequence[float] | None = None,
    *,
    columns: int = 3,
) -> Figure:
    """Draw contours of every pair of parameters, of one posterior or several.

    Arguments:
        sets: Draws of each posterior, with shape (N, p), by name; four at most.
        labels: Labels of the p parameters.
        truth: True parameters, if known.
        columns: Panels in a row.

    Raises:
        DataError: If draws have another shape.
    """
    samples = {name: check_draws(draws, labels) for name, draws in sets.items()}
    pairs = list(combinations(range(len(labels)), 2))
    if not pairs or not samples:
        return empty_figure("contours need two parameters")
    columns = min(columns, len(pairs))
    rows = -(-len(pairs) // columns)
    size = 4.2 if len(pairs) == 1 else 3.0
    figure = new_figure(size * columns + 0.3, 0.92 * size * rows + 0.5)
    for index, (first, second) in enumerate(pairs):
        axes = figure.add_subplot(rows, columns, index + 1)
        for colour, sample in zip(_COLOURS, samples.values(), strict=False):
            _draw_pair(axes, sample[:, first], sample[:, second], colour)
        _mark_truth(axes, truth, first, second)
        few_ticks(tidy(axes, labels[first], labels[second]), 5, slant=len(pairs) > 1)
    handles = [
        Line2D([], [], color=colour, label=name)
        for colour, name in zip(_COLOURS, samples, strict=False)
    ]
    figure.legend(
        handles=handles,
        title=_REGIONS,
        title_fontsize=9,
        loc="outside upper center",
        ncols=len(handles),
        frameon=False,
        fontsize=9,
    )
    return figure


def check_draws(draws: ArrayLike, labels: Sequence[str]) -> Array:
    """Return draws as an array of shape (N, p), or say what is wrong with them."""
    sample = np.asarray(draws, dtype=float)
    if sample.ndim != 2 or sample.shape[1] != len(labels) or len(sample) < 2:
        raise DataError(f"draws of shape (N, {len(labels)})", f"{sample.shape}", "check the draws")
    return sample


def _limits(values: Array, truth: Sequence[float] | None, column: int) -> tuple[float, float]:
    """Limits of an axis that hold 99.8 % of the draws, and the truth."""
    low, high = np.quantile(values, [0.001, 0.999])
    if truth is not None:
        low, high = min(low, truth[column]), max(high, truth[column])
    margin = 0.04 * (high - low) or 1e-9
    return float(low - margin), float(high + margin)


def _draw_marginal(axes: Axes, values: Array, other: Array | None) -> None:
    """Histogram of one parameter with its median and central 68 %."""
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    axes.axvspan(low, high, color=MODEL, alpha=0.10, lw=0)
    axes.hist(values, bins=_BINS, density=True, histtype="stepfilled", color=MODEL, alpha=0.35)
    axes.hist(values, bins=_BINS, density=True, histtype="step", color=MODEL, lw=1.2)
    if other is not None:
        axes.hist(
            other, bins=_BINS, density=True, histtype="step", color=EXACT, lw=1.2, ls=(0, (4, 2))
        )
    axes.axvline(median, color=MODEL, lw=1.4)
    axes.set_yticks([])
    axes.set_title(_median_and_errors(low, median, high), fontsize=10, color=INK, loc="right")


def _median_and_errors(low: float, median: float, high: float) -> str:
    """Write a median with its errors to two digits."""
    plus, minus = high - median, median - low
    smallest = max(min(plus, minus), 1e-12)
    digits = max(0, 1 - int(np.floor(np.log10(smallest))))
    centre = round(float(median), digits) + 0.0  # no negative zero
    return f"${centre:.{digits}f}^{{+{plus:.{digits}f}}}_{{-{minus:.{digits}f}}}$"


def _draw_pair(axes: Axes, horizontal: Array, vertical: Array, colour: str = MODEL) -> None:
    """Filled contours of a pair of parameters that hold 68 % and 95 % of the draws."""
    x, y, density, levels = _density(horizontal, vertical)
    top = max(float(density.max()), levels[-1]) * 1.001 + 1e-12
    shades = [to_rgba(colour, alpha) for alpha in (0.15, 0.4)[-len(levels) :]]
    axes.contourf(x, y, density.T, levels=[*levels, top], colors=shades)
    axes.contour(x, y, density.T, levels=levels, colors=[colour], linewidths=1.2)


def _outline(axes: Axes, horizontal: Array, vertical: Array, colour: str) -> None:
    """Contours of a pair without filling."""
    x, y, density, levels = _density(horizontal, vertical)
    axes.contour(
        x, y, density.T, levels=levels, colors=[colour], linewidths=1.1, linestyles="dashed"
    )


def _density(horizontal: Array, vertical: Array) -> tuple[Array, Array, Array, list[float]]:
    """Smoothed density of a pair, and its levels that hold 95 % and 68 % of the draws."""
    counts, x_edges, y_edges = np.histogram2d(horizontal, vertical, bins=_BINS)
    enough = max(least for least in _SMOOTHING if least <= len(horizontal))
    density = gaussian_filter(counts, _SMOOTHING[enough])
    ordered = np.sort(density.ravel())[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    levels = sorted({float(ordered[np.searchsorted(mass, level)]) for level in _MASSES})
    x, y = 0.5 * (x_edges[1:] + x_edges[:-1]), 0.5 * (y_edges[1:] + y_edges[:-1])
    return x, y, density, levels


def _mark_truth(axes: Axes, truth: Sequence[float] | None, column: int, row: int) -> None:
    """Lines at the true parameters."""
    if truth is None:
        return
    axes.axvline(truth[column], color=INK, lw=1.0, ls=":")
    if row != column:
        axes.axhline(truth[row], color=INK, lw=1.0, ls=":")


def _label(axes: Axes, labels: Sequence[str], row: int, column: int) -> None:
    """Label the axes at the left and at the bottom only."""
    inner_y, lowest = column > 0 or row == 0, row == len(labels) - 1
    tidy(axes, labels[column] if lowest else "", "" if inner_y else labels[row])
    few_ticks(axes, 4, slant=len(labels) > 2)
    axes.tick_params(labelbottom=lowest, labelleft=not inner_y)
    if row == column:
        axes.set_yticks([])


def _corner_legend(figure: Figure, p: int, other: str | None, truth: bool) -> None:
    """Say what is drawn, in the empty corner."""
    handles: list[Patch | Line2D] = []
    if p > 1:
        handles.append(Patch(facecolor=to_rgba(MODEL, 0.4), edgecolor=MODEL, label=_REGIONS))
    band = "median and central 68 %"
    handles.append(Patch(facecolor=to_rgba(MODEL, 0.1), edgecolor="none", label=band))
    if other is not None:
        handles.append(Line2D([], [], color=EXACT, ls=(0, (4, 2)), label=other))
    if truth:
        handles.append(Line2D([], [], color=INK, ls=":", label="truth"))
    figure.legend(
        handles=handles,
        loc="outside upper center" if p <= 2 else "upper right",
        ncols=2 if p <= 2 else 1,
        frameon=False,
        fontsize=8.5 if p < 4 else 10,
    )
