"""Observed events against those that the model generates at the posterior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lfi_mflow.errors import DataError
from lfi_mflow.inference.predictive import PredictiveCheck
from lfi_mflow.plots.style import EXACT, INK, MODEL, caption, new_figure, panel_grid, tidy

__all__ = ["predictive_figure"]

_MAX_PANELS = 12
_SMALL = 0.01


def predictive_figure(
    check: PredictiveCheck,
    labels: Sequence[str],
    *,
    columns: int = 3,
    max_panels: int = _MAX_PANELS,
) -> Figure:
    """Draw a histogram of each observable with the bands of generated sets of events.

    Arguments:
        check: The comparison.
        labels: Labels of the d observables.
        columns: Panels in a row.
        max_panels: Observables that are drawn at most: those with the smallest p-values.

    Raises:
        DataError: If there is not one label per observable.
    """
    d = len(check.observables)
    if len(labels) != d:
        raise DataError(f"labels of {d} observables", f"{len(labels)}", "give one for each")
    chosen = np.sort(np.argsort(check.p_values, kind="stable")[:max_panels])
    rows, columns = panel_grid(len(chosen), columns)
    figure = new_figure(max(3.1 * columns, 5.0), 2.4 * rows + 0.7)
    for index, k in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_observable(axes, check, int(k))
        tidy(axes, labels[k], "events" if index % columns == 0 else "")
        axes.set_ylim(bottom=0.0)
        p = float(check.p_values[k])
        caption(axes, f"p = {p:.2g}", EXACT if p < _SMALL else INK)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9
    )
    if len(chosen) < d:
        figure.supxlabel(
            f"{len(chosen)} of {d} observables, those with the smallest p-values", fontsize=9
        )
    return figure


def _draw_observable(axes: Axes, check: PredictiveCheck, k: int) -> None:
    """Bands of the generated sets, and the observed events as points."""
    edges = check.edges[k]
    low95, low68, median, high68, high95 = check.bands[k]
    axes.stairs(
        high95, edges, baseline=low95, fill=True, color=MODEL, alpha=0.16, lw=0, label="95 %"
    )
    axes.stairs(
        high68, edges, baseline=low68, fill=True, color=MODEL, alpha=0.34, lw=0, label="68 %"
    )
    axes.stairs(median, edges, color=MODEL, lw=1.2, label="generated, median")
    centres = 0.5 * (edges[1:] + edges[:-1])
    seen = check.observed[k] > 0
    axes.plot(centres[seen], check.observed[k][seen], ".", color=INK, ms=5, label="observed")
    axes.set_xlim(edges[0], edges[-1])
