"""Train one row of a study for one seed, and record how it went.

::

    python train.py --row m-flow --label "M-flow, M/D" m-flow/training-1.json -- \
        events-1.h5 --config m-flow.toml --seed 1

What follows ``--`` is what ``lfi-mflow train`` takes. ``--chart-of m-flow/training-1.json``
takes the chart of that model, and trains the density alone; ``--score-of`` in the same way
takes the score of a ratio estimator. The record is
``{"row", "label", "model", "seconds", "diverged"}``: the path of the model beside it,
or None with the message of the training that diverged. Every other mistake fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import lfi_mflow.training  # noqa: F401 - loading torch is no part of the time it takes
from lfi_mflow.cli.main import cli
from lfi_mflow.errors import TrainingError
from lfi_mflow.files import atomic_output

LENT = ("--chart-of", "--score-of")


def train(
    record: Path, row: str, label: str, arguments: list[str], lenders: Mapping[str, Path]
) -> None:
    """Train a model beside its record, and write the record.

    Arguments:
        record: ``FOLDER/training-SEED.json``; the model is ``FOLDER/model-SEED.mflow``.
        row: Name of the row.
        label: Its name in the table.
        arguments: What ``lfi-mflow train`` takes, without the output.
        lenders: The records of models from which something is taken, by the option of
            ``lfi-mflow train`` for it.
    """
    model: Path | None = record.with_name(f"{record.stem.replace('training', 'model')}.mflow")
    diverged = None
    for option, lender in lenders.items():
        of = json.loads(lender.read_text())["model"]
        arguments = [*arguments, option, str(lender.with_name(of))]
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
    for name in LENT:
        parser.add_argument(name, type=Path)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    lenders = {name: getattr(options, name.strip("-").replace("-", "_")) for name in LENT}
    given = {name: path for name, path in lenders.items() if path is not None}
    train(options.record, options.row, options.label, options.arguments, given)


if __name__ == "__main__":
    main()
