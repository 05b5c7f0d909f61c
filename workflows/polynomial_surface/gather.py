"""Gather the closure files of all seeds into one table, as Markdown and CSV.

::

    python gather.py closure-*.json --markdown table.md --csv table.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path

Row = tuple[str, object, list[float | None]]


def read_metrics(paths: list[Path]) -> list[Row]:
    """Return name, target and values of each metric, one value per file or None."""
    reports = [json.loads(path.read_text())["metrics"] for path in paths]
    names = dict.fromkeys(name for report in reports for name in report)
    rows: list[Row] = []
    for name in names:
        found = [report.get(name, {}) for report in reports]
        targets = [metric["target"] for metric in found if "target" in metric]
        rows.append((name, targets[0] if targets else "", [m.get("value") for m in found]))
    return rows


def markdown(rows: list[Row]) -> str:
    """Return the table: median, extremes and all values of each metric."""
    lines = [
        "| metric | median | smallest | largest | target | runs |",
        "|---|---|---|---|---|---|",
    ]
    for name, target, values in rows:
        known = [value for value in values if value is not None]
        if not known:
            continue
        summary = (statistics.median(known), min(known), max(known))
        cells = " | ".join(f"{number:.4g}" for number in summary)
        runs = " ".join("–" if value is None else f"{value:.4g}" for value in values)
        lines.append(f"| {name} | {cells} | {target} | {runs} |")
    return "\n".join(lines) + "\n"


def write(paths: list[Path], markdown_path: Path, csv_path: Path) -> None:
    """Write both tables."""
    rows = read_metrics(paths)
    markdown_path.write_text(markdown(rows))
    with csv_path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["metric", "target", *(path.stem for path in paths)])
        writer.writerows([name, target, *values] for name, target, values in rows)


def main(arguments: list[str]) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("closures", nargs="+", type=Path)
    parser.add_argument("--markdown", type=Path, default=Path("table.md"))
    parser.add_argument("--csv", type=Path, default=Path("table.csv"))
    options = parser.parse_args(arguments)
    write(options.closures, options.markdown, options.csv)


if __name__ == "__main__":
    main(sys.argv[1:])
