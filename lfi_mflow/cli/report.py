"""``lfi-mflow report``: one page about a model."""
# ruff: noqa: PLC0415 - torch and matplotlib are imported when the command runs

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lfi_mflow.cli.console import show_result
from lfi_mflow.cli.file_kinds import file_kind
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    example,
    force_option,
    json_option,
    output_option,
)
from lfi_mflow.errors import FileFormatError, InputError, ModelMismatchError

__all__ = ["command"]

_RESULTS = ("posterior", "closure", "limits")
_ARTICLES = {"posterior": "a posterior", "limits": "limits"}


@click.command(
    epilog=example(
        "lfi-mflow report model.mflow posterior.nc closure.json limits.json -o report.html"
    )
)
@click.argument("model", type=FILE)
@click.argument("results", type=FILE, nargs=-1, metavar="[POSTERIOR] [CLOSURE] [LIMITS]")
@output_option("Page to write, HTML.")
@force_option
@json_option
def command(
    model: Path, results: tuple[Path, ...], output: Path, *, force: bool, as_json: bool
) -> None:
    """Write a self-contained HTML page about a model.

    MODEL is a model file. With a posterior (from lfi-mflow infer), a closure report (from
    lfi-mflow closure) and limits (from lfi-mflow limits), the page holds them too.
    """
    claim_output(output, model, *results, force=force)
    paths = _sort(results)
    start = time.perf_counter()
    found = _read(model, paths)
    _write(output, found)
    seconds = time.perf_counter() - start
    parts = list(found)
    record = {"output": output, "parts": parts, "seconds": seconds}
    show_result(f"{output}: report on {', '.join(parts)}", record, as_json=as_json)


def _sort(results: Sequence[Path]) -> dict[str, Path]:
    """Tell the results apart by their contents."""
    found: dict[str, Path] = {}
    for path in results:
        kind = file_kind(path)
        if kind not in _RESULTS:
            raise FileFormatError(
                "a posterior, a closure report or limits",
                f"{path}, a file of {kind}",
                "leave it out",
            )
        if kind in found:
            raise InputError(f"one {kind}", f"{found[kind]} and {path}", "leave one out")
        found[kind] = path
    return {kind: found[kind] for kind in _RESULTS if kind in found}


def _read(model_path: Path, paths: Mapping[str, Path]) -> dict[str, Any]:
    """Read the files, and see that they belong together."""
    from lfi_mflow.closure import ClosureReport
    from lfi_mflow.flows import load_model
    from lfi_mflow.inference import Limits, load_posterior

    readers: dict[str, Callable[[Path], Any]] = {
        "posterior": load_posterior,
        "closure": ClosureReport.load,
        "limits": Limits.load,
    }
    model = load_model(model_path)
    found = {kind: readers[kind](path) for kind, path in paths.items()}
    names = model.metadata.events.parameter_names
    for kind, record in found.items():
        if kind == "closure":
            continue
        known = [*record.parameters, *getattr(record, "nuisances", ())]
        if sorted(known) != sorted(names):
            raise ModelMismatchError(
                f"{_ARTICLES[kind]} of the model's parameters {', '.join(names)}",
                f"{', '.join(known)} in {paths[kind]}",
                f"give the {kind} of this model",
            )
    return {"model": model, **found}


def _write(output: Path, found: Mapping[str, Any]) -> None:
    """Write the page."""
    from lfi_mflow.report import write_report

    write_report(output, **found)
