"""Posteriors of one parameter by models, against the exact ones, at the test points.

::

    python figures.py af/closure-1.json m-flow/closure-1.json --parameter theta1 -o theta1.png

A line of panels per model: the first observed set of each test point. Models have the label of
their row, or the name of the file where they are of no study.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lfi_mflow.plots import PosteriorCurve, png, posterior_figure


def panels(report: Mapping[str, Any], parameter: str, name: str) -> list[PosteriorCurve]:
    """Return the first curve of a parameter at each true point of a closure report."""
    label = report.get("training", {}).get("label", name)
    rows = report.get("curves", {}).get("posterior", [])
    names = sorted({row["parameter"] for row in rows})
    sets = [rows[start : start + len(names)] for start in range(0, len(rows), len(names) or 1)]
    first: dict[tuple[float, ...], PosteriorCurve] = {}
    for members in sets:
        truth = tuple(row["truth"] for row in members)
        row = next(row for row in members if row["parameter"] == parameter)
        point = ", ".join(f"{value:g}" for value in truth)
        title = f"{label},\ntruth ({point})"
        curve = PosteriorCurve(row["theta"], row["model"], row["exact"], row["truth"], title)
        first.setdefault(truth, curve)
    return list(first.values())


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("closures", nargs="+", type=Path)
    parser.add_argument("--parameter", required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    curves = [
        curve
        for path in options.closures
        for curve in panels(json.loads(path.read_text()), options.parameter, path.stem)
    ]
    label = rf"$\theta_{options.parameter[-1]}$"
    options.output.write_bytes(png(posterior_figure(curves, label, columns=3), dpi=130))


if __name__ == "__main__":
    main()
