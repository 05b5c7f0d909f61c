"""``lfi-mflow dimension``: the dimension n of the manifold of events."""
# ruff: noqa: PLC0415 - numpy and torch are imported when the command runs

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import log, show_result, show_table, warn
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    limited_threads,
    seed_option,
    threads_option,
)
from lfi_mflow.errors import InputError
from lfi_mflow.files import atomic_output, check_output

if TYPE_CHECKING:
    from lfi_mflow.geometry import Dimension

__all__ = ["command", "estimate_for_training"]

_FIGURE = "dimension.png"


@click.command(
    epilog=example(
        "lfi-mflow dimension events.h5",
        "lfi-mflow dimension events.h5 --method all --plots figures -o dimension.json",
        "lfi-mflow dimension events.h5 --method relations --method lidl --events 20000",
    )
)
@click.argument("events", type=FILE)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Estimator: pca, two-nn, mle, relations (seconds), lidl, reconstruction (minutes), or "
    "all; repeat it.  [default: those that take seconds]",
)
@click.option(
    "--events",
    "n_events",
    type=click.IntRange(min=1),
    default=50_000,
    show_default=True,
    help="Largest number of events to look at.",
)
@click.option("--plots", type=FILE, metavar="DIR", help="Draw a figure into this folder.")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="JSON file to write.")
@seed_option
@threads_option
@drop_nonfinite_option
@force_option
@json_option
def command(
    events: Path, output: Path | None, plots: Path | None, *, as_json: bool, **options: Any
) -> None:
    """Estimate the dimension n of the manifold that events lie on.

    EVENTS is an event file. Events of all theta are taken together, and weights do not
    count: the manifold is where events are. Each estimator says what it found; the last
    line is the one answer, weighed from all of them, with its uncertainty.
    """
    _claim(events, output, plots, force=options["force"])
    start = time.perf_counter()
    with limited_threads(options["threads"]):
        found = _estimate(events, options)
    for words in found.cautions:
        warn(words)
    record = {**found.to_table(), "events": str(events)}
    record |= {"seconds": time.perf_counter() - start}
    if plots is not None:
        record["plots"] = [str(_draw(found, plots))]
    if output is not None:
        _write(record, output)
    if not as_json:
        _show(found)
    line = (
        f"{events}: n = {found.value} ± {found.uncertainty:.2f} of d = {found.data_dim}, from "
        f"{found.n_points:,} events"
    )
    show_result(line, record, as_json=as_json)


def estimate_for_training(events: Sequence[Path], *, drop_nonfinite: bool) -> int:
    """Return the dimension to train with, and say in one line which was taken and why.

    Raises:
        InputError: If the events lie on no manifold of fewer dimensions than there are
            observables, or no dimension is much more probable than the others.
    """
    found = _estimate(
        events,
        {"methods": (), "n_events": 50_000, "seed": 0, "drop_nonfinite": drop_nonfinite},
    )
    estimates = ", ".join(f"{one.name} {one.value:.3g}" for one in found.estimates)
    if found.value >= found.data_dim:
        raise InputError(
            f"events on a manifold of fewer than d = {found.data_dim} dimensions",
            f"events that fill all of them ({estimates})",
            "train --model af, or give --latent-dim n",
        )
    for words in found.cautions:
        warn(words)
    log(
        f"latent dimension n = {found.value} ± {found.uncertainty:.2f} of d = {found.data_dim}: "
        f"{estimates}"
    )
    return found.value


def _claim(events: Path, output: Path | None, plots: Path | None, *, force: bool) -> None:
    """Check that all outputs may be written, before any work is done."""
    if output is not None:
        claim_output(output, events, force=force)
    if plots is None:
        return
    if plots.exists() and not plots.is_dir():
        raise InputError("a folder for the figure", f"the file {plots}", "give another name")
    if not plots.exists():
        check_output(plots, force=False)
    else:
        check_output(plots / _FIGURE, force=force)


def _estimate(events: Path | Sequence[Path], options: dict[str, Any]) -> Dimension:
    """Read the events and run the estimators."""
    from lfi_mflow.training import estimate_dimension, read_points

    names = _methods(options["methods"])
    points = read_points(events, options["n_events"], drop_nonfinite=options["drop_nonfinite"])

    def started(name: str) -> None:
        log(f"estimating the dimension by {name} ...")

    return estimate_dimension(points, names, seed=options["seed"], started=started)


def _methods(given: Sequence[str]) -> Sequence[str]:
    """Return the names of the estimators that are asked for."""
    from lfi_mflow.training import DIMENSION_ESTIMATORS, QUICK_ESTIMATORS

    if not given:
        return QUICK_ESTIMATORS
    return tuple(DIMENSION_ESTIMATORS) if "all" in given else given


def _draw(found: Dimension, folder: Path) -> Path:
    """Write the figure, and return its path."""
    from lfi_mflow.plots import dimension_figure, png

    folder.mkdir(exist_ok=True)
    path = folder / _FIGURE
    with atomic_output(path) as temporary:
        temporary.write_bytes(png(dimension_figure(found)))
    return path


def _write(record: dict[str, Any], output: Path) -> None:
    """Write the record as JSON."""
    with atomic_output(output) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _show(found: Dimension) -> None:
    """Write the table of estimates."""
    rows = [
        (
            one.name,
            one.meaning,
            f"{one.value:.4g}",
            "–" if one.uncertainty is None else f"{one.uncertainty:.2g}",
        )
        for one in found.estimates
    ]
    show_table(("estimator", "what", "n", "±"), rows, text=2)
