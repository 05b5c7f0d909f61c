"""Training curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, caption, empty_figure, new_figure, tidy

__all__ = ["training_figure"]

Array = NDArray[np.float64]

_COLUMNS = 4  # of phases beside each other: two rounds of an alternating training
_LOG_SPAN = 20.0  # below this ratio of losses, a linear scale says more


def training_figure(history: Mapping[str, Any]) -> Figure:
    """Draw the losses of every phase above its learning rate.

    Arguments:
        history: The history of a model file: ``{"phases": [{"name", "best_epoch",
            "epochs": [{"epoch", "train", "validation", "learning_rate"}, ...]}, ...]}``.
    """
    phases = [phase for phase in history.get("phases", []) if phase.get("epochs")]
    if not phases:
        return empty_figure("the model file holds no training history")
    columns = min(len(phases), _COLUMNS)
    rows = -(-len(phases) // columns)
    figure = new_figure(4.6 * columns, 3.7 * rows)
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=(3.2, 1.0) * rows)
    for index, phase in enumerate(phases):
        row, column = divmod(index, columns)
        losses = figure.add_subplot(grid[2 * row, column])
        _draw_losses(losses, phase, first=column == 0)
        rate = figure.add_subplot(grid[2 * row + 1, column], sharex=losses)
        rate.plot(_column(phase, "epoch"), _column(phase, "learning_rate"), color=MUTED, lw=1.2)
        rate.set_ylim(bottom=0.0)
        rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        tidy(rate, "epoch", "rate" if column == 0 else "")
        losses.tick_params(labelbottom=False)
    return figure


def _draw_losses(axes: Axes, phase: Mapping[str, Any], *, first: bool) -> None:
    """Training and validation loss and the epoch whose weights were kept.

    The values of a surrogate say nothing, and are not drawn.
    """
    epochs, train, validation = (_column(phase, name) for name in ("epoch", "train", "validation"))
    if phase.get("measures") == "surrogate":
        train = train[:0]
    else:
        axes.plot(epochs, train, color=MODEL, lw=1.2, alpha=0.75, label="training")
    axes.plot(epochs, validation, color=EXACT, lw=1.6, ls=(0, (4, 1.5)), label="validation")
    best = phase.get("best_epoch")
    if best is not None:
        axes.axvline(float(best), color=INK, lw=0.9, ls=":", label="weights kept")
    values = np.concatenate([train, validation])
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and values.max() > _LOG_SPAN * values.min():
        axes.set_yscale("log")
    elif len(values) > 8:
        # The first epochs of a log-likelihood would flatten all that follows.
        low, high = float(values.min()), float(np.quantile(values, 0.93))
        axes.set_ylim(low - 0.06 * (high - low), high + 0.12 * (high - low))
    tidy(axes, "", "loss" if first else "")
    caption(axes, f"{phase.get('name', 'phase')} phase")
    axes.legend(frameon=False, fontsize=8.5, loc="upper right")


def _column(phase: Mapping[str, Any], name: str) -> Array:
    """One column of the epochs; what is missing is NaN."""
    rows: Sequence[Mapping[str, Any]] = phase["epochs"]
    return np.array([row.get(name, np.nan) for row in rows], dtype=float)
