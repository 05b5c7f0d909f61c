"""Posteriors: curves against the exact one, corner and trace plots of draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import (
    EXACT,
    INK,
    MODEL,
    MUTED,
    caption,
    empty_figure,
    new_figure,
    panel_grid,
    tidy,
)

__all__ = ["PosteriorCurve", "corner_figure", "posterior_figure", "trace_figure"]

Array = NDArray[np.float64]

_MASSES = (0.95, 0.68)
_MAX_TRACE_POINTS = 1_500


@dataclass(frozen=True)
class PosteriorCurve:
    """The posterior of one parameter for one observed set of events.

    Arguments:
        theta: Where the densities are given, increasing, with shape (K,).
        model: Posterior density by the model, with shape (K,).
        exact: Exact posterior density, with shape (K,); None if unknown.
        truth: The true parameter; None if unknown.
        title: What was observed.
    """

    theta: ArrayLike
    model: ArrayLike
    exact: ArrayLike | None = None
    truth: float | None = None
    title: str = ""


def posterior_figure(curves: Sequence[PosteriorCurve], label: str, columns: int = 3) -> Figure:
    """Draw the posterior of each observed set against the exact one.

    Arguments:
        curves: One panel each.
        label: Label of the parameter.
        columns: Panels in a row.
    """
    if not curves:
        return empty_figure("no posterior curves to draw")
    rows, columns = panel_grid(len(curves), columns)
    figure = new_figure(max(3.1 * columns, 4.2), 2.5 * rows + 0.3)
    for index, curve in enumerate(curves):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_curve(axes, curve)
        leftmost, lowest = index % columns == 0, index + columns >= len(curves)
        tidy(axes, label if lowest else "", "density" if leftmost else "")
        axes.set_ylim(bottom=0.0)
        if curve.title:
            caption(axes, curve.title)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9
    )
    return figure


def _draw_curve(axes: Axes, curve: PosteriorCurve) -> None:
    """One posterior: a filled curve for the model, a line for the exact answer."""
    theta, model = np.asarray(curve.theta, dtype=float), np.asarray(curve.model, dtype=float)
    axes.fill_between(theta, model, color=MODEL, alpha=0.16, lw=0)
    axes.plot(theta, model, color=MODEL, lw=1.8, label="model")
    if curve.exact is not None:
        exact = np.asarray(curve.exact, dtype=float)
        axes.plot(theta, exact, color=EXACT, lw=1.5, ls=(0, (4, 2)), label="exact")
    if curve.truth is not None:
        axes.axvline(curve.truth, color=INK, lw=1.0, ls=":", label="truth")
    axes.set_xlim(theta[0], theta[-1])


def corner_figure(
    draws: ArrayLike, labels: Sequence[str], truth: Sequence[float] | None = None
) -> Figure:
    """Draw the posterior of each parameter and of each pair.

    Diagonal: histogram with median and central 68 %. Below it: contours that
    hold 68 % and 95 %.

    Arguments:
        draws: Posterior draws, with shape (N, p).
        labels: Labels of the p parameters.
        truth: True parameters, if known.
    """
    sample = np.asarray(draws, dtype=float)
    if sample.ndim != 2 or sample.shape[1] != len(labels) or len(sample) < 2:
        raise DataError(f"draws of shape (N, {len(labels)})", f"{sample.shape}", "check the draws")
    p = len(labels)
    figure = new_figure(5.0, 3.0) if p == 1 else new_figure(2.4 * p, 2.4 * p)
    for row in range(p):
        for column in range(row + 1):
            axes = figure.add_subplot(p, p, row * p + column + 1)
            if row == column:
                _draw_marginal(axes, sample[:, row])
            else:
                _draw_pair(axes, sample[:, column], sample[:, row])
            _mark_truth(axes, truth, column, row)
            inner_y = column > 0 or row == 0
            tidy(axes, labels[column] if row == p - 1 else "", "" if inner_y else labels[row])
            axes.tick_params(labelbottom=row == p - 1, labelleft=not inner_y)
    return figure


def _draw_marginal(axes: Axes, values: Array) -> None:
    """Histogram of one parameter with its median and central 68 %."""
    low, median, high = np.quantile(values, [0.16, 0.5, 0.84])
    axes.axvspan(low, high, color=MODEL, alpha=0.10, lw=0)
    axes.hist(values, bins=50, density=True, histtype="stepfilled", color=MODEL, alpha=0.35)
    axes.hist(values, bins=50, density=True, histtype="step", color=MODEL, lw=1.2)
    axes.axvline(median, color=MODEL, lw=1.4)
    axes.set_yticks([])
    plus, minus = high - median, median - low
    digits = max(0, 1 - int(np.floor(np.log10(max(min(plus, minus), 1e-12)))))
    centre = round(float(median), digits) + 0.0  # no negative zero
    text = f"${centre:.{digits}f}^{{+{plus:.{digits}f}}}_{{-{minus:.{digits}f}}}$"
    axes.set_title(text, fontsize=10, color=INK, loc="right")


def _draw_pair(axes: Axes, horizontal: Array, vertical: Array) -> None:
    """Contours of a pair of parameters that hold 68 % and 95 % of the draws."""
    counts, x_edges, y_edges = np.histogram2d(horizontal, vertical, bins=48)
    density = gaussian_filter(counts, 1.3)
    ordered = np.sort(density.ravel())[::-1]
    mass = np.cumsum(ordered) / ordered.sum()
    levels = sorted({float(ordered[np.searchsorted(mass, level)]) for level in _MASSES})
    x, y = 0.5 * (x_edges[1:] + x_edges[:-1]), 0.5 * (y_edges[1:] + y_edges[:-1])
    top = max(float(density.max()), levels[-1]) * 1.001 + 1e-12
    filled = [*levels, top]
    axes.contourf(x, y, density.T, levels=filled, colors=[MODEL], alpha=0.22)
    axes.contour(x, y, density.T, levels=levels, colors=[MODEL], linewidths=1.2)


def _mark_truth(axes: Axes, truth: Sequence[float] | None, column: int, row: int) -> None:
    """Lines at the true parameters."""
    if truth is None:
        return
    axes.axvline(truth[column], color=EXACT, lw=1.1, ls=(0, (4, 2)))
    if row != column:
        axes.axhline(truth[row], color=EXACT, lw=1.1, ls=(0, (4, 2)))


def trace_figure(chains: ArrayLike, labels: Sequence[str], max_chains: int = 8) -> Figure:
    """Draw the chains of a sampler: they should all look alike and forget their start.

    Arguments:
        chains: Draws, with shape (chains, draws, p).
        labels: Labels of the p parameters.
        max_chains: How many chains are drawn.
    """
    sample = np.asarray(chains, dtype=float)
    if sample.ndim != 3 or sample.shape[2] != len(labels):
        raise DataError(
            f"draws of shape (chains, draws, {len(labels)})", f"{sample.shape}", "check the draws"
        )
    figure = new_figure(6.8, 1.5 * len(labels) + 0.4)
    step = max(1, sample.shape[1] // _MAX_TRACE_POINTS)
    index = np.arange(0, sample.shape[1], step)
    shades = np.linspace(0.25, 0.9, min(max_chains, len(sample)))
    for row, label in enumerate(labels):
        axes = figure.add_subplot(len(labels), 1, row + 1)
        for chain, shade in zip(sample, shades, strict=False):
            axes.plot(index, chain[index, row], lw=0.5, alpha=float(shade), color=MODEL)
        axes.axhline(float(np.median(sample[..., row])), color=MUTED, lw=0.8, ls="--")
        tidy(axes, "draw" if row == len(labels) - 1 else "", label)
        axes.set_xlim(0, sample.shape[1])
    return figure
