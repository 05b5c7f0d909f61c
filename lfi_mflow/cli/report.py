"""``lfi-mflow report``: one page about a model."""
# ruff: noqa: PLC0415 - torch and matplotlib are imported when the command runs

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from lfi_mflow.closure import ClosureReport
    from lfi_mflow.flows import Model
    from lfi_mflow.inference import Posterior

__all__ = ["command"]


@click.command(
    epilog=example("lfi-mflow report model.mflow posterior.nc closure.json -o report.html")
)
@click.argument("model", type=FILE)
@click.argument("results", type=FILE, nargs=-1, metavar="[POSTERIOR] [CLOSURE]")
@output_option("Page to write, HTML.")
@force_option
@json_option
def command(
    model: Path, results: tuple[Path, ...], output: Path, *, force: bool, as_json: bool
) -> None:
    """Write a self-contained HTML page about a model.

    MODEL is a model file. With a posterior (from lfi-mflow infer) and a closure report
    (from lfi-mflow closure), the page holds them too.
    """
    claim_output(output, model, *results, force=force)
    posterior_path, closure_path = _sort(results)
    start = time.perf_counter()
    trained, posterior, closure = _read(model, posterior_path, closure_path)
    _write(output, trained, posterior, closure)
    seconds = time.perf_counter() - start
    parts = ["model", *(["posterior"] if posterior else []), *(["closure"] if closure else [])]
    record = {"output": output, "parts": parts, "seconds": seconds}
    show_result(f"{output}: report on {', '.join(parts)}", record, as_json=as_json)


def _sort(results: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """Tell the posterior from the closure report by their contents."""
    found: dict[str, Path] = {}
    for path in results:
        kind = file_kind(path)
        if kind not in ("posterior", "closure"):
            raise FileFormatError(
                "a posterior or a closure report", f"{path}, a file of {kind}", "leave it out"
            )
        if kind in found:
            raise InputError(f"one {kind}", f"{found[kind]} and {path}", "leave one out")
        found[kind] = path
    return found.get("posterior"), found.get("closure")


def _read(
    model_path: Path, posterior_path: Path | None, closure_path: Path | None
) -> tuple[Model, Posterior | None, ClosureReport | None]:
    """Read the files, and see that they belong together."""
    from lfi_mflow.closure import ClosureReport
    from lfi_mflow.flows import load_model
    from lfi_mflow.inference import load_posterior

    model = load_model(model_path)
    posterior = None if posterior_path is None else load_posterior(posterior_path)
    closure = None if closure_path is None else ClosureReport.load(closure_path)
    names = model.metadata.events.parameter_names
    if posterior is not None and tuple(posterior.parameters) != names:
        raise ModelMismatchError(
            f"a posterior of the model's parameters {', '.join(names)}",
            f"{', '.join(posterior.parameters)} in {posterior_path}",
            "give the posterior of this model",
        )
    return model, posterior, closure


def _write(
    output: Path, model: Model, posterior: Posterior | None, closure: ClosureReport | None
) -> None:
    """Write the page."""
    from lfi_mflow.report import write_report

    write_report(output, model, posterior, closure)
