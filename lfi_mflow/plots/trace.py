"""The chains of a sampler: by draw, and by rank.

References:
    | Rank-normalization, folding, and localization: an improved R-hat for
      assessing convergence of MCMC (Vehtari et al., 2021), arXiv:1903.08008
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, rankdata

from lfi_mflow.errors import DataError
from lfi_mflow.plots.style import BAND, MUTED, SEQUENTIAL, caption, new_figure, tidy

__all__ = ["trace_figure"]

Array = NDArray[np.float64]

_MAX_POINTS = 1_500
_MAX_RANK_BINS = 20


def trace_figure(chains: ArrayLike, labels: Sequence[str], max_chains: int = 8) -> Figure:
    """Draw the chains of a sampler: they should all look alike and forget their start.

    Beside each trace stands how often each chain has ranks in each part of all draws: a
    chain that has seen the whole posterior has them evenly. The band holds 99 % of the
    bins of independent draws; those of correlated draws scatter more.

    Arguments:
        chains: Draws, with shape (chains, draws, p).
        labels: Labels of the p parameters.
        max_chains: How many chains are drawn, evenly chosen among them.

    Raises:
        DataError: If the draws have another shape.
    """
    sample = np.asarray(chains, dtype=float)
    if sample.ndim != 3 or sample.shape[2] != len(labels) or sample.shape[1] < 2:
        raise DataError(
            f"draws of shape (chains, draws, {len(labels)})", f"{sample.shape}", "check the draws"
        )
    shown = np.unique(np.linspace(0, len(sample) - 1, max_chains).round().astype(int))
    figure = new_figure(8.6, 1.6 * len(labels) + 0.9)
    grid = figure.add_gridspec(len(labels), 2, width_ratios=(2.2, 1.0))
    for row, label in enumerate(labels):
        last = row == len(labels) - 1
        traces, ranks = (figure.add_subplot(grid[row, column]) for column in (0, 1))
        _draw_traces(traces, sample[shown, :, row])
        traces.axhline(float(np.median(sample[..., row])), color=MUTED, lw=0.8, ls="--")
        tidy(traces, "draw" if last else "", label)
        traces.set_xlim(0, sample.shape[1])
        _draw_ranks(ranks, sample[..., row], shown)
        tidy(ranks, "rank among all draws" if last else "", "")
        ranks.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        if row == 0:
            caption(traces, f"{len(shown)} of {len(sample)} chains")
            caption(ranks, "histogram of ranks")
        for axes in (traces, ranks):
            axes.tick_params(labelbottom=last)
    figure.align_labels()
    return figure


def _shades(count: int) -> list[tuple[float, ...]]:
    """One colour for each chain."""
    from matplotlib import colormaps  # noqa: PLC0415 - the registry, not a global setting

    return [colormaps[SEQUENTIAL](share) for share in np.linspace(0.05, 0.85, count)]


def _draw_traces(axes: Axes, chains: Array) -> None:
    """Draws in their order: (chains, draws)."""
    step = max(1, chains.shape[1] // _MAX_POINTS)
    index = np.arange(0, chains.shape[1], step)
    for chain, shade in zip(chains, _shades(len(chains)), strict=True):
        axes.plot(index, chain[index], lw=0.6, alpha=0.8, color=shade)


def _draw_ranks(axes: Axes, chains: Array, shown: NDArray[np.intp]) -> None:
    """Count the ranks of the chains that are shown: (chains, draws)."""
    m, n = chains.shape
    bins = int(np.clip(n // 10, 2, _MAX_RANK_BINS))
    share = (rankdata(chains).reshape(chains.shape) - 0.5) / (m * n)
    low, high = binom.ppf([0.005, 0.995], n, 1.0 / bins)
    axes.axhspan(float(low), float(high), color=BAND, alpha=0.5, lw=0)
    axes.axhline(n / bins, color=MUTED, lw=0.8, ls="--")
    edges = np.linspace(0.0, 1.0, bins + 1)
    for chain, shade in zip(share[shown], _shades(len(shown)), strict=True):
        counts = np.histogram(chain, edges)[0]
        axes.stairs(counts, edges, color=shade, lw=0.9, alpha=0.9)
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(bottom=0.0)
