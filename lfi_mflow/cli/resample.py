"""``lfi-mflow resample``: events of equal or of positive weights from weighted ones."""
# ruff: noqa: PLC0415 - numpy and h5py are imported when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import show_result, warn
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    example,
    force_option,
    json_option,
    output_option,
    seed_option,
)
from lfi_mflow.cli.progress import counting

if TYPE_CHECKING:
    from lfi_mflow.data import Resampled

__all__ = ["command"]


@click.command(
    epilog=example(
        "lfi-mflow resample weighted.h5 -n 20000 --seed 1 -o unweighted.h5",
        "lfi-mflow resample signed.h5 -o positive.h5",
    )
)
@click.argument("events", type=FILE)
@click.option(
    "-n",
    "n_events",
    type=click.IntRange(min=1),
    metavar="N",
    help="Events of equal weight to draw.  [default: keep all events, with positive weights]",
)
@seed_option
@output_option("Event file to write.")
@force_option
@json_option
def command(
    events: Path, n_events: int | None, seed: int, output: Path, *, force: bool, as_json: bool
) -> None:
    """Resample weighted events.

    EVENTS is an event file with weights. With -n, events are drawn in proportion to
    their weights and have none afterwards. Negative weights are made positive first, by
    cell resampling: around each, the nearest events are taken together until their
    weights have no negative sum, which is then shared out among them. What the events
    predict changes only within these cells, whose radius is reported.
    """
    claim_output(output, events, force=force)
    from lfi_mflow.data import open_events, resample_events

    with open_events(events) as file:
        total = len(file)
    with counting("resampling", "events", total) as progress:
        made = resample_events(events, output, n_events, seed=seed, force=force, progress=progress)
    _warn(made)
    _show(made, output, as_json=as_json)


def _warn(made: Resampled) -> None:
    """Say what is poor about the sample."""
    if made.after.poor:
        warn(f"the weighted events are worth {made.after.worth} only")
    if made.repeated:
        most = int(made.after.total / made.after.largest * (1.0 + 1e-9))
        warn(
            f"{made.repeated:,} of the {made.n_events:,} events are copies of others, which look "
            f"like more than they are in training and validation; with -n {most} there are none"
        )


def _show(made: Resampled, output: Path, *, as_json: bool) -> None:
    """Say what was made."""
    line = f"{output}: {made.n_events:,} events; the weights are worth {made.after.worth}"
    record: dict[str, Any] = {
        "output": output,
        "n_events": made.n_events,
        "n_read": made.before.n_events,
        "negative": made.before.negative,
        "distinct": made.distinct,
        "effective_sample_size_before": made.before.effective_sample_size,
        "effective_sample_size": made.after.effective_sample_size,
        "cells": None,
    }
    if made.cells is not None:
        radius, size = made.cells.radius, made.cells.size
        middle, largest = sorted(radius)[len(radius) // 2], max(radius)
        line += (
            f" ({made.before.effective_sample_size:,.0f} before); {len(radius):,} cells around "
            f"{made.before.negative:,} negative weights, radius {middle:.3g} (at most "
            f"{largest:.3g}) standard deviations, up to {max(size)} events"
        )
        record["cells"] = {
            "number": len(radius),
            "median_radius": float(middle),
            "largest_radius": float(largest),
            "largest_size": int(max(size)),
        }
    show_result(line, record, as_json=as_json)
