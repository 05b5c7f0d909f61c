"""Coverage of asymptotic and Neyman regions by models, against what they claim.

::

    python limit_coverage_figure.py m-flow/coverage-1.json alices/coverage-1.json -o coverage.png

A line of panels per model, a panel per truth: coverage against the expected number of events.
The bands hold 68 % of what a perfect model's regions do, for as many experiments and toys.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from lfi_mflow.plots import png
from lfi_mflow.plots.style import (
    BAND,
    EXACT,
    INK,
    MODEL,
    MUTED,
    caption,
    empty_figure,
    new_figure,
    tidy,
)

KINDS = {  # label, colour, marker, shift of the points along the axis
    "wilks": ("asymptotic", MUTED, "x", 0.92),
    "simulator": ("toys of the simulator", EXACT, "o", 1.0),
    "surrogate": ("toys of the model", MODEL, "s", 1.08),
}


def draw(axes: Axes, record: Mapping[str, Any], theta: list[float]) -> None:
    """Coverage at one truth."""
    rows = [row for row in record["rows"] if row["theta"] == theta]
    events = np.array([row["events"] for row in rows])
    for index, level in enumerate(record["levels"]):
        share = 1.0 / record["repeat"] + 1.0 / record["toys"]
        error = np.sqrt(level * (1.0 - level) * share)
        axes.axhspan(level - error, level + error, color=BAND, alpha=0.6, lw=0)
        axes.axhline(level, color=INK, lw=0.8)
        for kind, (label, colour, marker, shift) in KINDS.items():
            if kind in rows[0]["coverage"]:
                values = [row["coverage"][kind][index] for row in rows]
                style = {"color": colour, "marker": marker, "ms": 5.5, "lw": 0}
                axes.plot(events * shift, values, label=None if index else label, **style)
    axes.set_xscale("log")
    axes.set_xticks(events, [str(number) for number in events])
    axes.minorticks_off()
    axes.set_ylim(0.45, 1.01)
    tidy(axes, "expected events at the Standard Model", "coverage")
    point = ", ".join(f"{value:g}" for value in theta)
    caption(axes, f"{record['label']}: truth ({point})")


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    records = [json.loads(path.read_text()) for path in options.records]
    records = [record for record in records if record["rows"]]
    if not records:
        options.output.write_bytes(png(empty_figure("no model whose training came to an end")))
        return
    truths = list(dict.fromkeys(tuple(row["theta"]) for row in records[0]["rows"]))
    figure = new_figure(max(6.0, 4.2 * len(truths)), 3.1 * len(records))
    panels = figure.subplots(len(records), len(truths), squeeze=False)
    for line, record in zip(panels, records, strict=True):
        for axes, theta in zip(line, truths, strict=True):
            draw(axes, record, list(theta))
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8.5, loc="outside upper right", ncols=3)
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
