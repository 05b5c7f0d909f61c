"""Figure of simulation-based calibration: whether the posterior is as wide as it says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from lfi_mflow.closure.sbc import ecdf_band, sbc_p_value
from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import BAND, EXACT, INK, MODEL, MUTED, caption, new_figure, tidy

__all__ = ["sbc_figure"]


def sbc_figure(
    ranks: ArrayLike, n_draws: int, labels: Sequence[str], level: float = 0.95
) -> Figure:
    """Draw the distribution function of the ranks less the uniform one, and their histogram.

    Arguments:
        ranks: Ranks of the true parameters, from 0 to ``n_draws``, with shape (D, p).
        n_draws: Number of posterior draws that each rank counts.
        labels: Labels of the p parameters.
        level: Probability that a calibrated posterior stays within the band everywhere.
    """
    table = np.asarray(ranks, dtype=np.int64)
    if table.ndim != 2 or table.shape[1] != len(labels):
        raise DataError(f"ranks of shape (D, {len(labels)})", f"{table.shape}", "check the ranks")
    figure = new_figure(8.4, 2.7 * len(labels) + 0.3)
    for row, label in enumerate(labels):
        column = table[:, row]
        left, right = (figure.add_subplot(len(labels), 2, 2 * row + k) for k in (1, 2))
        _draw_ecdf(left, column, n_draws, level)
        caption(left, f"{label}: p = {sbc_p_value(column[:, None], n_draws):.2g}")
        _draw_histogram(right, column, n_draws, level)
        caption(right, f"{label}: ranks of {len(column)} data sets")
    return figure


def _draw_ecdf(axes: Axes, ranks: NDArray[np.int64], n_draws: int, level: float) -> None:
    """Difference of the distribution functions within its simultaneous band."""
    band = ecdf_band(ranks, n_draws, level)
    z = np.concatenate([[0.0], band.z, [1.0]])
    low, high, difference = (
        np.concatenate([[0.0], edge, [0.0]]) for edge in (band.low, band.high, band.difference)
    )
    axes.fill_between(z, low, high, color=BAND, alpha=0.6, lw=0, label=f"{level:.0%} band")
    axes.axhline(0.0, color=MUTED, lw=0.8)
    colour = MODEL if band.inside else EXACT
    axes.plot(z, difference, color=colour, lw=1.7, label="model")
    span = 1.35 * max(float(np.abs(difference).max()), float(np.abs([low, high]).max()))
    axes.set_ylim(-span, span)
    axes.set_xlim(0, 1)
    tidy(axes, "fractional rank of the truth", "ECDF − uniform")
    axes.legend(frameon=False, fontsize=8.5, loc="upper right", ncols=2)


def _draw_histogram(axes: Axes, ranks: NDArray[np.int64], n_draws: int, level: float) -> None:
    """Ranks in bins, with what a uniform distribution gives in a single bin."""
    n = len(ranks)
    bins = int(np.clip(n // 20, 5, 20))
    fractions = (ranks + 0.5) / (n_draws + 1)
    low, high = stats.binom.interval(level, n, 1.0 / bins)
    axes.axhspan(float(low), float(high), color=BAND, alpha=0.6, lw=0)
    axes.axhline(n / bins, color=MUTED, lw=0.8)
    axes.hist(fractions, bins=bins, range=(0.0, 1.0), color=MODEL, alpha=0.75, edgecolor="white")
    axes.set_xlim(0, 1)
    tidy(axes, "fractional rank of the truth", "data sets")
    axes.yaxis.label.set_color(INK)
