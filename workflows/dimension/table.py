"""Gather the records of the study into a table and a figure.

::

    python table.py sphere-10-100.json ... --markdown table.md --csv table.csv --figure figure.png
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lfi_mflow.plots import png
from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, new_figure, tidy

Record = dict[str, Any]

MARKS = {"two-nn": (MUTED, "v"), "mle": (EXACT, "^"), "relations": (MODEL, "o")}


def estimate(record: Record, name: str) -> str:
    """Return an estimate with its error, or a dash."""
    found = record["estimates"].get(name)
    if found is None:
        return "–"
    error = found["uncertainty"]
    return f"{found['value']:.3g}" + ("" if error is None else f" ± {error:.2g}")


def markdown(records: Sequence[Record]) -> str:
    """Return the table: a row for each manifold."""
    names = list(dict.fromkeys(name for record in records for name in record["estimates"]))
    exact = sum(record["latent_dim"] == record["n"] for record in records)
    head = ["manifold", "d", "points", "n", "answer", *names, "CPU s"]
    lines = [
        f"The answer is n for {exact} of {len(records)} manifolds.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    for record in records:
        right = record["latent_dim"] == record["n"]
        answer = f"{record['latent_dim']} ± {record['uncertainty']:.2f}"
        cells = [
            record["manifold"],
            str(record["data_dim"]),
            f"{record['n_points']:,}",
            str(record["n"]),
            answer if right else f"**{answer}**",
            *(estimate(record, name) for name in names),
            f"{sum(record['cpu_seconds'].values()):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_csv(path: Path, records: Sequence[Record]) -> None:
    """Write every estimate: a line per manifold and estimator."""
    with path.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(
            ["manifold", "d", "points", "seed", "n", "estimator", "value", "uncertainty", "cpu_s"]
        )
        for record in records:
            head = [record[key] for key in ("manifold", "data_dim", "n_points", "seed", "n")]
            writer.writerow(
                [*head, "answer", record["latent_dim"], f"{record['uncertainty']:.3g}", ""]
            )
            for name, row in record["estimates"].items():
                error = "" if row["uncertainty"] is None else f"{row['uncertainty']:.3g}"
                seconds = f"{record['cpu_seconds'][name]:.2f}"
                writer.writerow([*head, name, f"{row['value']:.5g}", error, seconds])


def draw_figure(path: Path, records: Sequence[Record]) -> None:
    """Draw estimates against the true dimension."""
    figure = new_figure(5.4, 4.2)
    axes = figure.add_subplot()
    largest = max(record["n"] for record in records)
    axes.plot([0, largest + 1], [0, largest + 1], color=INK, lw=0.8, ls=":", label="truth")
    for name, (colour, mark) in MARKS.items():
        pairs = [(r["n"], r["estimates"][name]) for r in records if name in r["estimates"]]
        axes.errorbar(
            [n for n, _ in pairs],
            [row["value"] for _, row in pairs],
            yerr=[row["uncertainty"] or 0.0 for _, row in pairs],
            fmt=mark,
            ms=5,
            color=colour,
            alpha=0.75,
            label=name,
        )
    tidy(axes, "n of the manifold", "estimate")
    axes.legend(frameon=False, fontsize=8.5)
    path.write_bytes(png(figure))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="+", type=Path)
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    records = [json.loads(path.read_text()) for path in options.records]
    options.markdown.write_text(markdown(records))
    write_csv(options.csv, records)
    draw_figure(options.figure, records)


if __name__ == "__main__":
    main()
