"""``lfi-mflow import``: events from files of other programs."""
# ruff: noqa: PLC0415 - h5py and uproot are imported when the command runs

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
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
    from lfi_mflow.data import ColumnMapping, ImportReport

__all__ = ["command"]


@click.command(
    "import",
    epilog=example(
        "lfi-mflow import zmumu.root --tree events --observable pt1 --observable pt2 \\",
        "    --observable 'm = sqrt((E1 + E2)**2 - (px1 + px2)**2)' -o events.h5",
        "lfi-mflow import simulated.root --mapping map.toml -o events.h5",
        "lfi-mflow import unweighted.lhe.gz --observable 'm4l = m.pdg25[:,0]' --weight weight \\",
        "    --parameter 'kappa = 0.3' -o events.h5",
        "lfi-mflow import madminer.h5 --benchmark sm -o events.h5",
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
@click.option(
    "--benchmark",
    metavar="NAME",
    help="Of a MadMiner sample: theta and the weights are those of this benchmark; all "
    "observables, unless some are named.",
)
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
    benchmark: str | None,
    drop_nonfinite: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Import events from a file of another program.

    FILE is a ROOT file (.root) with a TTree or an RNTuple, a Parquet file (.parquet),
    Les Houches events (.lhe, .lhe.gz) or a sample of MadMiner (.h5). The columns are
    branches or expressions of branches; those of an LHE file are the fields of the
    particles, as px.final[:,0] for the first one of the final state. Events that lack
    an element (a second muon, say) are left out and counted.
    """
    claim_output(output, file, force=force)
    if benchmark is not None:
        if parameters or weight is not None or mapping_path is not None or tree is not None:
            raise ConfigError(
                "with --benchmark no --parameter, --weight, --mapping or --tree",
                "one of them",
                "leave it out: the benchmark tells theta and the weights",
            )
        convert = _benchmark(file, output, benchmark, observables)
    else:
        mapping = mapping_from_options(mapping_path, tree, observables, parameters, weight)
        if mapping is None:
            raise ConfigError("the columns to import", "none", "give --observable or --mapping")
        convert = _columns(file, output, mapping)
    with counting("importing", "rows", None) as progress:
        report = convert(force=force, drop_nonfinite=drop_nonfinite, progress=progress)
    record = {"output": output, **asdict(report), "summary": str(report)}
    show_result(f"{output}: {report}", record, as_json=as_json)


def _benchmark(
    file: Path, output: Path, benchmark: str, observables: tuple[str, ...]
) -> Callable[..., ImportReport]:
    """Return the import of a MadMiner sample."""
    from lfi_mflow.data import import_benchmark

    return partial(import_benchmark, file, output, benchmark, observables=observables)


def _columns(file: Path, output: Path, mapping: ColumnMapping) -> Callable[..., ImportReport]:
    """Return the import of the columns of any file."""
    from lfi_mflow.data import import_file

    return partial(import_file, file, output, mapping)
