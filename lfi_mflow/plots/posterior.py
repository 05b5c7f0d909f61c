"""Posteriors as curves, against the exact one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lfi_mflow.plots.style import (
    EXACT,
    INK,
    MODEL,
    caption,
    empty_figure,
    new_figure,
    panel_grid,
    tidy,
)

__all__ = ["PosteriorCurve", "posterior_figure"]


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
