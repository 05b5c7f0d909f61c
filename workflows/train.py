"""Train one row of a study for one seed, and record how it went.

::

    python train.py --row m-flow --label "M-flow, M/D" m-flow/training-1.json -- \
        events-1.h5 --config m-flow.toml --seed 1

What follows ``--`` is what ``lfi-mflow train`` takes. ``--chart m-flow/training-1.json``
takes the chart of that model, and trains the density alone. The record is
``{"row", "label", "model", "seconds", "diverged"}``: the path of the model beside it,
or None with the message of the training that diverged. Every other mistake fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import lfi_mflow.training  # noqa: F401 - loading torch is no part of the time it takes
from lfi_mflow.cli.main import cli
from lfi_mflow.errors import TrainingError
from lfi_mflow.files import atomic_output


def train(
    record: Path, row: str, label: str, arguments: list[str], chart: Path | None = None
) -> None:
    """Train a model beside its record, and write the record.

    Arguments:
        record: ``FOLDER/training-SEED.json``; the model is ``FOLDER/model-SEED.mflow``.
        row: Name of the row.
        label: Its name in the table.
        arguments: What ``lfi-mflow train`` takes, without the output.
        chart: The record of the model whose chart is taken; None trains a chart.
    """
    model: Path | None = record.with_name(f"{record.stem.replace('training', 'model')}.mflow")
    diverged = None
    if chart is not None:
        of = json.loads(chart.read_text())["model"]
        arguments = [*arguments, "--chart-of", str(chart.with_name(of))]
    start = time.perf_counter()
    try:
        command = ["train", *arguments, "-o", str(model), "--force"]
        cli.main(command, prog_name="lfi-mflow", standalone_mode=False)
    except TrainingError as error:
        print(f"{row}: {error}", file=sys.stderr)
        model, diverged = None, str(error)
    seconds = time.perf_counter() - start
    table = {
        "row": row,
        "label": label,
        "model": None if model is None else model.name,
        "seconds": seconds,
        "diverged": diverged,
    }
    with atomic_output(record) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("--row", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    train(options.record, options.row, options.label, options.arguments, options.chart)


if __name__ == "__main__":
    main()
