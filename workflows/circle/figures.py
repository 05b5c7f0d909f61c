"""Samples of truth and models on the circle, and how far from it they are.

::

    python figures.py af/training-1.json m-flow/training-1.json -o circle.png

Above, samples at one parameter point, coloured by the log-density that each gives to its
own samples; below, how far each lies outside (+) or inside (-) the circle, against the
angle. Densities per length (of models on a manifold) and per area (of AF and PIE) are
not the same thing: every panel has its own colours.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.flows import load_model
from lfi_mflow.plots import png
from lfi_mflow.plots.style import EXACT, MUTED, SEQUENTIAL, caption, new_figure, tidy
from lfi_mflow_simulators.sphere import Sphere

Array = NDArray[np.float64]

THETA = (0.0, 0.5)
EVENTS = 4_000
SHOWN = 0.1
"""Deviations beyond this are drawn at the edge."""
ROUNDING = 1e-9


def draw_samples(axes: Axes, title: str, x: Array, density: Array) -> None:
    """Draw samples over the circle."""
    angle = np.linspace(0, 2 * np.pi, 300)
    axes.plot(np.cos(angle), np.sin(angle), color=MUTED, lw=0.6)
    axes.scatter(*x.T, c=density, s=5, linewidths=0, cmap=SEQUENTIAL, **_range(density))
    axes.set_aspect("equal")
    axes.set_xlim(-1.35, 1.35)
    axes.set_ylim(-1.35, 1.35)
    tidy(axes)
    caption(axes, title)


def draw_deviations(axes: Axes, x: Array, density: Array) -> None:
    """Draw the distance outside the circle against the angle."""
    radius = np.linalg.norm(x, axis=1)
    deviation = np.clip(radius - 1, -SHOWN, SHOWN)
    angle = np.arctan2(x[:, 1], x[:, 0])
    axes.axhline(0, color=EXACT, lw=0.9)
    axes.scatter(angle, deviation, c=density, s=5, linewidths=0, cmap=SEQUENTIAL, **_range(density))
    axes.set_xlim(-np.pi, np.pi)
    axes.set_xticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    axes.set_ylim(-1.08 * SHOWN, 1.08 * SHOWN)
    mean = np.abs(radius - 1).mean()
    axes.text(
        0.5,
        0.94,
        f"mean distance {mean if mean > ROUNDING else 0:.2g}",
        transform=axes.transAxes,
        ha="center",
        va="top",
        fontsize=9,
    )


def _range(density: Array) -> dict[str, float]:
    """Colour range without the extreme percentiles."""
    low, high = np.quantile(density[np.isfinite(density)], [0.02, 0.99])
    return {"vmin": float(low), "vmax": float(high)}


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    theta = np.tile(THETA, (EVENTS, 1))
    simulator = Sphere()
    truth = np.asarray(simulator.simulate(theta, np.random.default_rng(1)).x)
    panels = [("truth", truth, simulator.log_prob(truth, theta))]
    for path in options.trainings:
        record = json.loads(path.read_text())
        if record["model"] is None:
            continue  # the table says that it diverged
        model = FlowEvaluator(load_model(path.with_name(record["model"])).flow)
        x = model.sample(theta, seed=1)
        panels.append((record["label"], x, model.log_prob(x, theta)))
    figure = new_figure(2.5 * len(panels), 4.6)
    grid = figure.subplots(2, len(panels), height_ratios=(1.25, 1.0), squeeze=False)
    for (above, below), panel in zip(grid.T, panels, strict=True):
        draw_samples(above, *panel)
        draw_deviations(below, *panel[1:])
        first = above is grid[0, 0]
        tidy(above, "$x_0$", "$x_1$" if first else "")
        tidy(below, "angle", "$|x| - 1$" if first else "")
        for axes in (above, below):
            axes.tick_params(labelleft=first)
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
