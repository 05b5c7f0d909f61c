"""Gather the closure files of all seeds into one table, as Markdown and CSV.

Run by Snakemake, or by hand::

    python gather.py closure-*.json --markdown table.md --csv table.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path


def read_metrics(paths: list[Path]) -> tuple[dict[str, list[float]], dict[str, object]]:
    """Return the values of each metric, in the order of the files, and the targets."""
    values: dict[str, list[float]] = {}
    targets: dict[str, object] = {}
    for path in paths:
        for name, metric in json.loads(path.read_text())["metrics"].items():
            if metric["value"] is not None:
                values.setdefault(name, []).append(metric["value"])
                targets[name] = metric["target"]
    return values, targets


def markdown(values: dict[str, list[float]], targets: dict[str, object]) -> str:
    """Return the table: median, worst and all values of each metric."""
    lines = ["| metric | median | smallest | largest | target | runs |", "|---|---|---|---|---|---|"]
    for name, numbers in values.items():
        runs = " ".join(f"{number:.4g}" for number in numbers)
        summary = (statistics.median(numbers), min(numbers), max(numbers))
        cells = " | ".join(f"{number:.4g}" for number in summary)
        lines.append(f"| {name} | {cells} | {targets[name]} | {runs} |")
    return "\n".join(lines) + "\n"


def write(paths: list[Path], markdown_path: Path, csv_path: Path) -> None:
    """Write both tables."""
    values, targets = read_metrics(paths)
    markdown_path.write_text(markdown(values, targets))
    with csv_path.open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["metric", "target", *(path.stem for path in paths)])
        writer.writerows([name, targets[name], *numbers] for name, numbers in values.items())


def main(arguments: list[str]) -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("closures", nargs="+", type=Path)
    parser.add_argument("--markdown", type=Path, default=Path("table.md"))
    parser.add_argument("--csv", type=Path, default=Path("table.csv"))
    options = parser.parse_args(arguments)
    write(options.closures, options.markdown, options.csv)


if "snakemake" in globals():
    job = globals()["snakemake"]
    write([Path(name) for name in job.input], Path(job.output[0]), Path(job.output[1]))
elif __name__ == "__main__":
    main(sys.argv[1:])
