"""``lfi-mflow merge``: one event file of several."""
# ruff: noqa: PLC0415 - numpy and h5py are imported when the command runs

from __future__ import annotations

from pathlib import Path

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

__all__ = ["command"]


@click.command(epilog=example("lfi-mflow merge part-1.h5 part-2.h5 part-3.h5 -o events.h5"))
@click.argument("events", type=FILE, nargs=-1, required=True)
@output_option("Event file to write.")
@force_option
@json_option
def command(events: tuple[Path, ...], output: Path, *, force: bool, as_json: bool) -> None:
    """Merge event files into one.

    EVENTS are event files of one simulator with one kind of settings, such as many jobs
    simulate with different seeds; their priors may differ. Every part of the output holds
    its share of each of them, so that the last rows, which a training on a large file
    validates with, stand for all (but files of 16,384 events or fewer, if none has more,
    stand one after the other).
    """
    claim_output(output, *events, force=force)
    from lfi_mflow.data import merge_events, open_events

    total = 0
    for path in events:
        with open_events(path) as file:
            total += len(file)
    with counting("merging", "events", total) as progress:
        merged = merge_events(events, output, force=force, progress=progress)
    show_result(
        f"{output}: {merged:,} events of {len(events)} files",
        {"output": output, "n_events": merged, "n_files": len(events)},
        as_json=as_json,
    )
