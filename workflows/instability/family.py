r"""The argument: a family of manifolds, and what likelihood and reconstruction say about it.

::

    python family.py -o family.png

Events lie near a line. Each line through the origin is a manifold; events are projected
on it at right angles, and the density on it is the best there is: that of the projected
events s, a mixture of normal distributions. Its mean log-likelihood is minus the entropy
of s, computed by quadrature. It is largest for the line *across* the events, where their
projections crowd together, and without bound as their width goes to zero. The mean
reconstruction error has its minimum where it should be.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from band import MEANS, WEIGHTS, WIDTHS, Band
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import norm

from lfi_mflow.plots import png
from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, caption, new_figure, tidy

Array = NDArray[np.float64]

ANGLES = np.linspace(0.0, np.pi / 2, 181)
ACROSS = (0.2, 0.05, 0.0125)
"""Widths of the band."""
DRAWN = ((0.0, MODEL), (np.pi / 4, "#009e73"), (np.pi / 2, EXACT))
"""Candidate manifolds of the picture: angle and colour."""


def projected(angle: float, width: float) -> tuple[Array, Array]:
    """Means and widths of the groups of events on the line at an angle to the band."""
    along, across = np.cos(angle), np.sin(angle)
    return MEANS * along, np.hypot(WIDTHS * along, width * across)


def log_likelihood(angle: float, width: float) -> float:
    """Mean log-likelihood of the projected events under their own density."""
    means, widths = projected(angle, width)
    edges = np.linspace(np.min(means - 9 * widths), np.max(means + 9 * widths), 20_001)
    density = (WEIGHTS * norm.pdf(edges[:, None], means, widths)).sum(axis=1)
    return float(np.trapezoid(density * np.log(np.maximum(density, 1e-300)), edges))


def reconstruction_error(angle: float, width: float) -> float:
    """Mean distance of the events to the line: the mean of a folded normal distribution."""
    means, widths = projected(angle + np.pi / 2, width)
    ratio = means / widths
    folded = widths * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + means * (
        1 - 2 * norm.cdf(-ratio)
    )
    return float((WEIGHTS * folded).sum())


def draw_events(axes: Axes) -> None:
    """Events, the candidate lines, and the density of the projections on each."""
    x = Band(ACROSS[0]).simulate(np.zeros((1_500, 0)), np.random.default_rng(1)).x
    axes.scatter(*x.T, s=5, color=MUTED, alpha=0.45, linewidths=0)
    for angle, colour in DRAWN:
        direction = np.array([np.cos(angle), np.sin(angle)])
        normal = np.array([-direction[1], direction[0]])
        axes.plot(*(np.array([-2.3, 2.3])[:, None] * direction).T, color=colour, lw=1.8)
        s = np.linspace(-2.3, 2.3, 600)
        means, widths = projected(angle, ACROSS[0])
        density = (WEIGHTS * norm.pdf(s[:, None], means, widths)).sum(axis=1)
        top = s[:, None] * direction + 0.55 * density[:, None] * normal
        bottom = s[:, None] * direction
        axes.fill(*np.concatenate([top, bottom[::-1]]).T, color=colour, alpha=0.22, lw=0)
        style = {"color": colour, "fontsize": 10, "ha": "center", "va": "center"}
        axes.text(*(2.52 * direction), f"{np.degrees(angle):.0f}°", **style)
    axes.set_aspect("equal")
    axes.set_xlim(-2.75, 2.75)
    axes.set_ylim(-2.5, 2.75)
    tidy(axes, "$x$", "$y$")
    caption(axes, "events, three manifolds and the densities on them")


def draw_curves(axes: Axes, function: str) -> None:
    """Likelihood or reconstruction error against the angle, for each width."""
    compute = {"likelihood": log_likelihood, "error": reconstruction_error}[function]
    for width, alpha in zip(ACROSS, (1.0, 0.65, 0.4), strict=True):
        values = [compute(angle, width) for angle in ANGLES]
        axes.plot(np.degrees(ANGLES), values, color=INK, alpha=alpha, lw=1.7, label=f"{width:g}")
    for angle, colour in DRAWN:
        axes.axvline(np.degrees(angle), color=colour, lw=1.8, alpha=0.8)
    axes.set_xlim(-2, 92)
    axes.set_xticks([0, 15, 30, 45, 60, 75, 90])


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    figure = new_figure(11.0, 4.6)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.15, 1.0))
    draw_events(figure.add_subplot(grid[:, 0]))
    upper, lower = (figure.add_subplot(grid[row, 1]) for row in (0, 1))
    draw_curves(upper, "likelihood")
    tidy(upper, "", "mean log-likelihood")
    caption(upper, "likelihood prefers the wrong manifold")
    upper.legend(title="width of the band", frameon=False, fontsize=8.5, title_fontsize=8.5)
    draw_curves(lower, "error")
    tidy(lower, "angle of the manifold [degrees]", "mean distance")
    caption(lower, "reconstruction knows the right one")
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
