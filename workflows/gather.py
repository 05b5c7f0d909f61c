"""Gather the closure reports of a study into one table of rows and metrics.

::

    python gather.py m-flow/closure-1.json m-flow/closure-2.json af/closure-1.json ... \
        --metric "ood_auc=OOD AUC" --published literature.toml --markdown table.md --csv table.csv

The Markdown table has a row per row of the study, in the order of the reports: median
(smallest – largest) over the seeds whose training did not diverge, how many did, and
below it what was published. The CSV table has every single value, a line per row and seed.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Values = dict[str, float | None]


@dataclass
class Row:
    """A row of the study.

    Arguments:
        name: Its name.
        label: Its name in the table.
        runs: The metrics of each seed, in order; None where the training diverged.
    """

    name: str
    label: str
    runs: list[Values | None] = field(default_factory=list)

    @property
    def diverged(self) -> int:
        """How many trainings diverged."""
        return sum(run is None for run in self.runs)

    def values(self, metric: str) -> list[float]:
        """Return the known values of a metric."""
        found = [run.get(metric) for run in self.runs if run is not None]
        return [value for value in found if value is not None]


def read_rows(paths: Sequence[Path]) -> list[Row]:
    """Read closure reports into rows; the seeds of a row follow the order of the files."""
    rows: dict[str, Row] = {}
    for path in paths:
        report = json.loads(path.read_text())
        training = report["training"]
        row = rows.setdefault(training["row"], Row(training["row"], training["label"]))
        metrics = {name: metric["value"] for name, metric in report["metrics"].items()}
        row.runs.append(None if training["diverged"] else metrics)
    return list(rows.values())


def summary(values: Sequence[float]) -> str:
    """Return median (smallest – largest), or the value where there is only one."""
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))} – {number(max(values))})"


def number(value: float) -> str:
    """Return a number with three digits, and without an exponent where it can be read so."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(
    rows: Sequence[Row], titles: Mapping[str, str], published: Mapping[str, Mapping[str, float]]
) -> str:
    """Return the table of medians and extremes.

    Arguments:
        rows: The rows.
        titles: The metrics and their titles.
        published: Published values by row and metric.
    """
    seeds = max(len(row.runs) for row in rows)
    lines = [
        f"Median (smallest – largest) of {seeds} run{'s' if seeds > 1 else ''}.",
        "",
        "| | " + " | ".join(titles.values()) + " | diverged |",
        "|---" * (len(titles) + 2) + "|",
    ]
    for row in rows:
        cells = [summary(row.values(metric)) for metric in titles]
        diverged = f"in {row.diverged} of {len(row.runs)}" if row.diverged else "–"
        lines.append("| " + " | ".join([row.label, *cells, diverged]) + " |")
        known = published.get(row.name)
        if known:
            cells = [number(known[name]) if name in known else "" for name in titles]
            lines.append("| *published* | " + " | ".join(cells) + " | |")
    return "\n".join(lines) + "\n"


def write_csv(path: Path, rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Write every value: a line per row and run, counted from 1."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["row", "label", "run", "diverged", *metrics])
        for row in rows:
            for index, run in enumerate(row.runs, start=1):
                values = [(run or {}).get(metric) for metric in metrics]
                writer.writerow([row.name, row.label, index, int(run is None), *values])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("closures", nargs="+", type=Path)
    parser.add_argument("--metric", action="append", required=True, metavar="NAME=TITLE")
    parser.add_argument("--published", type=Path)
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    options = parser.parse_args()
    rows = read_rows(options.closures)
    titles = dict(metric.split("=", maxsplit=1) for metric in options.metric)
    published = {}
    if options.published is not None:
        published = tomllib.loads(options.published.read_text())["rows"]
    options.markdown.write_text(markdown(rows, titles, published))
    write_csv(options.csv, rows, list(titles))


if __name__ == "__main__":
    main()
