"""``lfi-mflow export``: events to files of other programs."""
# ruff: noqa: PLC0415 - h5py and uproot are imported when the command runs

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfi_mflow.cli.console import show_result
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    example,
    force_option,
    json_option,
    output_option,
)
from lfi_mflow.cli.progress import counting

if TYPE_CHECKING:
    from lfi_mflow.data.export import ExportKind

__all__ = ["command"]


@click.command(
    epilog=example(
        "lfi-mflow export events.h5 -o events.root",
        "lfi-mflow export events.h5 --kind rntuple --tree simulated -o events.root",
        "lfi-mflow export events.h5 -o events.parquet",
    ),
)
@click.argument("file", type=FILE)
@click.option(
    "--kind",
    type=click.Choice(["ttree", "rntuple", "parquet"]),
    help="What to write.  [default: ttree in a .root file, parquet in a .parquet file]",
)
@click.option(
    "--tree",
    default="events",
    show_default=True,
    metavar="NAME",
    help="Name of the tree in a ROOT file.",
)
@output_option("File to write; it ends in .root or .parquet.")
@force_option
@json_option
def command(
    file: Path,
    kind: ExportKind | None,
    tree: str,
    output: Path,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Export an event file to ROOT or Parquet.

    Every parameter and observable becomes a branch of its name; beside them stand
    weight, log_ratio, score_NAME, latent_0... and component_0... where FILE has them.
    """
    claim_output(output, file, force=force)
    from lfi_mflow.data import export_events, open_events

    with open_events(file) as events:
        total = len(events)
    with counting("exporting", "events", total) as progress:
        report = export_events(file, output, kind=kind, tree=tree, force=force, progress=progress)
    columns = sum(map(len, report.columns.values()))
    where = "Parquet" if report.tree is None else f"{report.kind} {report.tree!r}"
    line = f"{output}: {report.events:,} events, {columns} columns in {where}"
    show_result(line, {"output": output, **asdict(report)}, as_json=as_json)
