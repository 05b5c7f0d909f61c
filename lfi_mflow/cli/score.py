"""``lfi-mflow score``: events on and off the manifold."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.columns import observed_mapping
from lfi_mflow.cli.console import log, show_result, warn
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    device_option,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    limited_threads,
    mapping_options,
    output_option,
    theta_option,
    threads_option,
)
from lfi_mflow.cli.progress import counting

if TYPE_CHECKING:
    from lfi_mflow.data import ObservedSource
    from lfi_mflow.flows import Model
    from lfi_mflow.inference import ScoreMetadata

__all__ = ["command"]


@click.command(
    epilog=example(
        "lfi-mflow score model.mflow events.h5 -o scores.h5",
        "lfi-mflow score model.mflow observed.h5 --theta 0.3 -o scores.h5",
        "lfi-mflow score model.mflow data.root --mapping map.toml --json -o scores.h5",
    )
)
@click.argument("model", type=FILE)
@click.argument("events", type=FILE)
@theta_option("Evaluate the density of all events here.  [default: the theta of each event]")
@mapping_options
@device_option
@threads_option
@drop_nonfinite_option
@output_option("Score file to write, HDF5.")
@force_option
@json_option
def command(
    model: Path, events: Path, output: Path, *, force: bool, as_json: bool, **options: Any
) -> None:
    """Score events: latents, projections, distances, densities.

    MODEL is a model file, EVENTS an event file (.h5), or a ROOT, Parquet or LHE file,
    whose columns are found as by lfi-mflow infer; a mapping may name parameters too. Without
    theta, in the file or by --theta, there is no log-density. An event is off the
    manifold if it is farther away than the validation events of the training can be.
    """
    claim_output(output, model, events, force=force)
    from lfi_mflow.flows import load_model
    from lfi_mflow.training import resolve_device

    start = time.perf_counter()
    with limited_threads(options["threads"]):
        trained = load_model(model, resolve_device(options["device"]))
        source = _open(trained, events, options)
        found = _score(trained, source, output, options["theta"], force=force)
    _show(found, source, output, time.perf_counter() - start, as_json=as_json)


def _open(model: Model, path: Path, options: dict[str, Any]) -> ObservedSource:
    """Find the columns of the model in the file."""
    from lfi_mflow.data import open_observed

    metadata = model.metadata
    mapping = observed_mapping(
        metadata, options["mapping_path"], options["tree"], options["observables"]
    )
    names = metadata.events.observable_names
    return open_observed(path, mapping, names, drop_nonfinite=options["drop_nonfinite"])


def _score(
    model: Model,
    source: ObservedSource,
    output: Path,
    theta: tuple[float, ...] | None,
    *,
    force: bool,
) -> ScoreMetadata:
    """Score the events block by block."""
    from lfi_mflow.inference import write_scores

    with counting("scoring", "events", source.n_rows) as progress:
        return write_scores(model, source, output, theta=theta, force=force, progress=progress)


def _show(
    found: ScoreMetadata, source: ObservedSource, output: Path, seconds: float, *, as_json: bool
) -> None:
    """Say what was found."""
    if found.dropped:
        log(f"{source.path}: {found.dropped:,} of {source.report.read:,} events were left out")
    if found.outside_prior:
        warn(
            f"the theta of {found.outside_prior:,} events is outside the training prior: the "
            "model extrapolates there, do not trust its densities"
        )
    off = found.off_manifold_events
    judged = "" if off is None else f", {off:,} events off the manifold"
    rate = found.n_events / seconds
    line = (
        f"{output}: {found.n_events:,} events, median distance to the manifold "
        f"{found.median_distance:.3g}{judged}; {seconds:.1f} s ({rate:,.0f} events/s)"
    )
    record = {
        "output": output,
        "n_events": found.n_events,
        "dropped": found.dropped,
        "median_distance": found.median_distance,
        "off_manifold_events": off,
        "log_prob": found.log_prob,
        "outside_prior": found.outside_prior,
        "seconds": seconds,
        "events_per_second": rate,
    }
    show_result(line, record, as_json=as_json)
