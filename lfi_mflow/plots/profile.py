"""Marginal and profile of each parameter.

The marginal integrates over the other parameters, the profile takes the best of them.
They agree where the posterior is normal; where they do not, the volume of the other
parameters matters, and a Bayesian and a frequentist would give different intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from lfi_mflow.errors import DataError
from lfi_mflow.plots.corner import check_draws
from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, new_figure, panel_grid, tidy

__all__ = ["profile_figure", "profile_of_draws"]

Array = NDArray[np.float64]

_BINS = 40
_LEVELS = {0.5: "68 %", 1.92: "95 %"}  # log-density below the maximum, one parameter
_ENOUGH = 5  # draws in a bin of which the best is shown


def profile_figure(
    draws: ArrayLike,
    log_prob: ArrayLike,
    labels: Sequence[str],
    truth: Sequence[float] | None = None,
    *,
    columns: int = 3,
) -> Figure:
    """Draw the marginal of each parameter beside the profile of the log-posterior.

    Both are relative to their maxima. Dotted lines are at 0.5 and 1.92 below the
    maximum of the logarithm, where a normal density ends its central 68 % and 95 %.

    Arguments:
        draws: Posterior draws, with shape (N, p).
        log_prob: Log-posterior at the draws up to a constant, with shape (N,).
        labels: Labels of the p parameters.
        truth: True parameters, if known.
        columns: Panels in a row.

    Raises:
        DataError: If the shapes do not fit together.
    """
    sample = check_draws(draws, labels)
    rows, columns = panel_grid(len(labels), columns)
    figure = new_figure(max(3.2 * columns, 5.0), 2.5 * rows + 0.5)
    for index, label in enumerate(labels):
        axes = figure.add_subplot(rows, columns, index + 1)
        _draw_marginal(axes, sample[:, index])
        theta, best = profile_of_draws(sample[:, index], log_prob)
        axes.plot(theta, np.exp(best), color=EXACT, lw=1.5, ls=(0, (4, 2)), label="profile")
        if truth is not None:
            axes.axvline(truth[index], color=INK, lw=1.0, ls=":", label="truth")
        tidy(axes, label, "relative density" if index % columns == 0 else "")
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_ylim(0.0, 1.12)
        _mark_levels(axes)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(names), frameon=False, fontsize=9
    )
    return figure


def profile_of_draws(values: ArrayLike, log_prob: ArrayLike) -> tuple[Array, Array]:
    """Return the highest log-posterior among the draws along a parameter.

    It is a lower bound of the profile: with many other parameters no draw comes near
    their best values, most of all in the tails.

    Arguments:
        values: Draws of the parameter, with shape (N,).
        log_prob: Log-posterior at the draws, with shape (N,).

    Returns:
        Where the best draws are, with shape (K,), and how far their log-posterior is
        below the highest, with shape (K,).

    Raises:
        DataError: If the shapes differ.
    """
    theta, height = (np.asarray(array, dtype=float) for array in (values, log_prob))
    if theta.shape != height.shape or theta.ndim != 1 or not len(theta):
        raise DataError(
            "draws and log_prob of the same shape (N,)",
            f"{theta.shape} and {height.shape}",
            "check the draws",
        )
    edges = np.linspace(theta.min(), theta.max(), _BINS + 1)
    number = np.clip(np.searchsorted(edges, theta, "right") - 1, 0, _BINS - 1)
    best = [
        inside[np.argmax(height[inside])]
        for inside in (np.flatnonzero(number == k) for k in range(_BINS))
        if len(inside) >= _ENOUGH
    ] or [int(np.argmax(height))]
    return theta[best], height[best] - height.max()


def _draw_marginal(axes: Axes, values: Array) -> None:
    """Marginal density relative to its maximum."""
    low, high = np.quantile(values, [0.0005, 0.9995])
    counts, edges = np.histogram(values, bins=_BINS, range=(low, high))
    density = gaussian_filter1d(counts.astype(float), 1.0)
    density /= density.max()
    centres = 0.5 * (edges[1:] + edges[:-1])
    axes.fill_between(centres, density, color=MODEL, alpha=0.16, lw=0)
    axes.plot(centres, density, color=MODEL, lw=1.8, label="marginal")


def _mark_levels(axes: Axes) -> None:
    """Lines where a normal density ends its central 68 % and 95 %."""
    for depth, name in _LEVELS.items():
        height = float(np.exp(-depth))
        axes.axhline(height, color=MUTED, lw=0.8, ls=":")
        axes.annotate(
            name,
            (1.0, height),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7.5,
            color=MUTED,
        )
