"""``lfi-mflow import``: events from files of other programs."""
# ruff: noqa: PLC0415 - h5py and uproot are imported when the command runs

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfi_mflow.cli.columns import mapping_from_options
from lfi_mflow.cli.console import show_result
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    mapping_options,
    output_option,
)
from lfi_mflow.cli.progress import counting
from lfi_mflow.errors import ConfigError

if TYPE_CHECKING:
    from lfi_mflow.data import ColumnMapping

__all__ = ["command"]


@click.command(
    "import",
    epilog=example(
        "lfi-mflow import zmumu.root --tree events --observable pt1 --observable pt2 \\",
        "    --observable 'm = sqrt((E1 + E2)**2 - (px1 + px2)**2)' -o events.h5",
        "lfi-mflow import simulated.root --mapping map.toml -o events.h5",
    ),
)
@click.argument("file", type=FILE)
@mapping_options
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="EXPR",
    help="Branch or expression of a parameter; may be repeated.",
)
@click.option("--weight", metavar="EXPR", help="Branch or expression of the event weight.")
@drop_nonfinite_option
@output_option("Event file to write.")
@force_option
@json_option
def command(  # noqa: PLR0913 - one argument per option
    file: Path,
    tree: str | None,
    observables: tuple[str, ...],
    mapping_path: Path | None,
    parameters: tuple[str, ...],
    weight: str | None,
    output: Path,
    *,
    drop_nonfinite: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Import events from a ROOT file.

    FILE holds a TTree or an RNTuple. The columns are branches or expressions of
    branches. Events that lack an element (a second muon, say) are left out and counted.
    """
    claim_output(output, file, force=force)
    mapping = mapping_from_options(mapping_path, tree, observables, parameters, weight)
    if mapping is None:
        raise ConfigError("the columns to import", "none", "give --observable or --mapping")
    report = _convert(file, output, mapping, force=force, drop_nonfinite=drop_nonfinite)
    record = {"output": output, **report}
    show_result(f"{output}: {report['summary']}", record, as_json=as_json)


def _convert(
    file: Path, output: Path, mapping: ColumnMapping, *, force: bool, drop_nonfinite: bool
) -> dict[str, object]:
    """Convert the file and return what became of its rows."""
    from lfi_mflow.data import import_file

    with counting("importing", "rows", None) as progress:
        report = import_file(
            file,
            output,
            mapping,
            force=force,
            drop_nonfinite=drop_nonfinite,
            progress=progress,
        )
    return {**asdict(report), "summary": str(report)}
