"""Figure of expected coverage: how often credible regions hold the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lfi_mflow.closure.sbc import ecdf_band
from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import (
    BAND,
    EXACT,
    INK,
    MODEL,
    MUTED,
    caption,
    new_figure,
    panel_grid,
    tidy,
)

__all__ = ["coverage_figure"]

_COLUMNS = 3
_MARKED = (0.6827, 0.95)


def coverage_figure(regions: Mapping[str, ArrayLike], n_draws: int, level: float = 0.95) -> Figure:
    """Draw the coverage of several kinds of regions against their credibility.

    Arguments:
        regions: By title: draws inside the region that ends at the truth, from 0 to
            ``n_draws``, with shape (D,), as :func:`lfi_mflow.closure.hpd_ranks` and
            its like count them.
        n_draws: Number of posterior draws that were counted.
        level: Probability that a calibrated posterior stays within the band everywhere.

    Raises:
        DataError: If there are no regions, or counts that cannot be.
    """
    if not regions:
        raise DataError("one kind of regions or more", "none", "give the counts of one")
    rows, columns = panel_grid(len(regions), _COLUMNS)
    figure = new_figure(2.9 * max(columns, 2), 3.0 * rows)
    for index, (title, counts) in enumerate(regions.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw(axes, np.asarray(counts, dtype=np.int64), n_draws, level)
        caption(axes, title)
    return figure


def _draw(axes: Axes, counts: np.ndarray, n_draws: int, level: float) -> None:
    """Coverage of one kind of regions, the simultaneous band and the diagonal."""
    band = ecdf_band(counts, n_draws, level)
    z = _between(0.0, band.z, 1.0)
    low, high, coverage = (
        _between(0.0, band.z + edge, 1.0) for edge in (band.low, band.high, band.difference)
    )
    axes.fill_between(z, low, high, color=BAND, alpha=0.6, lw=0, label=f"{level:.0%} band")
    axes.plot([0, 1], [0, 1], color=MUTED, lw=0.8)
    for marked in _MARKED:
        axes.axvline(marked, color=MUTED, lw=0.7, ls=":")
    axes.plot(z, coverage, color=MODEL if band.inside else EXACT, lw=1.7, label="model")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    tidy(axes, "credibility", "coverage")
    axes.yaxis.label.set_color(INK)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left")


def _between(first: float, values: Sequence[float] | np.ndarray, last: float) -> np.ndarray:
    """Values with both ends of the curve."""
    return np.concatenate([[first], values, [last]])
