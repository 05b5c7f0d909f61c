"""The trainings: reconstruction error and likelihood by epoch, and the manifolds at the end.

::

    python trainings.py events-1.h5 simultaneous/trace-1.json sequential/trace-1.json \
        --label "simultaneous=maximum likelihood" --label "sequential=M/D" -o trainings.png

The folder of a trace names its row. All trainings of a seed start with the same weights.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lfi_mflow.data import open_events
from lfi_mflow.plots import png
from lfi_mflow.plots.style import EXACT, MODEL, MUTED, caption, new_figure, tidy

COLOURS = (EXACT, MODEL, "#009e73", "#cc79a7")
DRAWN = 1_500
"""Events in the picture."""
FARTHEST = 12.0
"""Manifolds beyond this are not drawn to their ends."""

Runs = dict[str, list[dict[str, Any]]]


def draw_epochs(axes: Axes, runs: Runs, labels: dict[str, str], quantity: str) -> None:
    """One line per training."""
    for colour, (row, traces) in zip(COLOURS, runs.items(), strict=False):
        for index, trace in enumerate(traces):
            values = np.array([epoch[quantity] for epoch in trace["epochs"]], dtype=float)
            label = labels[row] if index == 0 else None
            epochs = np.arange(len(values))
            axes.plot(epochs, values, color=colour, lw=1.4, alpha=0.8, label=label)
            if trace["diverged"]:
                axes.plot(epochs[-1:], values[-1:], "x", color=colour, ms=7, mew=1.8)
    axes.set_xlim(left=0)


def draw_manifolds(axes: Axes, events: Path, runs: Runs) -> None:
    """Events, and the part of each learned manifold that they are projected to."""
    with open_events(events) as file:
        x = file.read(slice(0, DRAWN)).x
    axes.scatter(*x.T, s=5, color=MUTED, alpha=0.45, linewidths=0)
    reach = 1.1 * np.abs(x).max()
    for colour, traces in zip(COLOURS, runs.values(), strict=False):
        for trace in traces:
            curve = np.array(trace["curve"]).reshape(-1, 2)
            axes.plot(*curve.T, color=colour, lw=1.3, alpha=0.8)
            axes.plot(*curve[:1].T, "o", color=colour, ms=4.5)  # a point is seen, too
            reach = max(reach, 1.1 * np.abs(curve).max(initial=0.0))
    reach = min(reach, FARTHEST)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path)
    parser.add_argument("traces", nargs="+", type=Path)
    parser.add_argument("--label", action="append", required=True, metavar="ROW=LABEL")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    labels = dict(label.split("=", maxsplit=1) for label in options.label)
    runs: Runs = {row: [] for row in labels}
    for path in options.traces:
        runs[path.parent.name].append(json.loads(path.read_text()))
    figure = new_figure(12.0, 4.0)
    errors, likelihoods, manifolds = figure.subplots(1, 3)
    draw_epochs(errors, runs, labels, "reconstruction_error")
    errors.set_yscale("log")
    tidy(errors, "epoch", "mean distance to the manifold")
    caption(errors, "reconstruction error")
    errors.legend(frameon=False, fontsize=9)
    draw_epochs(likelihoods, runs, labels, "log_likelihood")
    tidy(likelihoods, "epoch", "mean log-likelihood")
    caption(likelihoods, "likelihood after projection")
    draw_manifolds(manifolds, options.events, runs)
    tidy(manifolds, "$x$", "$y$")
    caption(manifolds, "learned manifolds")
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
