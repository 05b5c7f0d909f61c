"""``lfi-mflow simulate``: events of a simulator in a file."""
# ruff: noqa: PLC0415 - numpy and h5py are imported when the command runs

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import log, show_result
from lfi_mflow.cli.interruption import resumable
from lfi_mflow.cli.options import (
    claim_output,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    output_option,
    prior_option,
    seed_option,
    settings_option,
    theta_option,
)
from lfi_mflow.cli.priors import read_prior
from lfi_mflow.cli.progress import counting
from lfi_mflow.errors import InputError

if TYPE_CHECKING:
    from lfi_mflow.data import Production
    from lfi_mflow.simulation import SimulationJob, Workers

__all__ = ["command"]


@click.command(
    epilog=example(
        "lfi-mflow simulate polynomial-surface -n 100000 --seed 1 -o events.h5",
        "lfi-mflow simulate polynomial-surface -n 20 --seed 2 --theta 0.3 -o observed.h5",
        "lfi-mflow simulate higgs-eft -n 20 --theta 0,0 --unweighted -o observed.h5",
        "lfi-mflow simulate path/to/file.py:Class -n 1000000 --workers 8 -o events.h5",
        "lfi-mflow simulate higgs-eft -n 100000000 --dask tcp://head:8786 -o events.h5",
    )
)
@click.argument("name")
@click.option("-n", "n_events", type=int, required=True, metavar="N", help="Number of events.")
@seed_option
@theta_option("The parameters of all events.")
@prior_option
@settings_option
@click.option(
    "--unweighted",
    is_flag=True,
    help="Events of weight one from a simulator that draws weighted ones, as --set "
    "sampling=unweighted.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes; the events do not depend on their number.",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Simulate on a Dask cluster: address of its scheduler, or the file it has written.",
)
@click.option(
    "--chunk-size",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Events between two saved states; lower it for a slow simulator. Part of the seed.",
)
@drop_nonfinite_option
@output_option("Event file to write.")
@force_option
@json_option
def command(name: str, output: Path, *, force: bool, as_json: bool, **options: Any) -> None:
    """Simulate events of the simulator NAME.

    NAME is a registered simulator (see lfi-mflow simulators) or
    path/to/file.py:Class. Without --theta or --prior, the parameters are drawn
    uniformly within their bounds, anew for each event. An interrupted run
    continues when the same command is given again.
    """
    claim_output(output, force=force)
    if options["unweighted"]:
        options["settings"] = {**options["settings"], "sampling": "unweighted"}
    from lfi_mflow.data import produce

    job = _job(name, options)
    workers = _workers(options)
    start = time.perf_counter()
    with resumable(lambda: True), counting("simulating", "events", job.n_events) as progress:
        made = produce(
            job,
            output,
            workers=workers,
            force=force,
            drop_nonfinite=options["drop_nonfinite"],
            progress=progress,
        )
    _report(job, made, time.perf_counter() - start, as_json=as_json)


def _workers(options: dict[str, Any]) -> int | Workers:
    """Say who simulates."""
    from lfi_mflow.simulation import DaskWorkers

    if options["dask"] is None:
        count: int = options["workers"]
        return count
    if options["workers"] > 1:
        raise InputError("either --workers or --dask", "both", "give one of them")
    return DaskWorkers(options["dask"])


def _job(name: str, options: dict[str, Any]) -> SimulationJob:
    """Read the options that the events depend on."""
    from lfi_mflow.simulation import SimulationJob, default_prior, get_simulator

    if options["theta"] is not None and options["prior"] is not None:
        raise InputError("either --theta or --prior", "both", "give one of them")
    prior, theta = None, options["theta"]
    if theta is None:
        parameters = get_simulator(name, options["settings"]).parameters
        text = options["prior"]
        prior = default_prior(parameters) if text is None else read_prior(text, parameters)
    return SimulationJob(
        simulator=name,
        settings=options["settings"],
        n_events=options["n_events"],
        seed=options["seed"],
        prior=prior,
        theta=theta,
        chunk_size=options["chunk_size"],
    )


def _report(job: SimulationJob, made: Production, seconds: float, *, as_json: bool) -> None:
    """Say what was made."""
    if made.resumed_at:
        log(f"continued at event {made.resumed_at:,}")
    rate = (job.n_events - made.resumed_at) / seconds
    dropped = f", {made.nonfinite:,} not finite and left out" if made.nonfinite else ""
    line = f"{made.path}: {made.n_events:,} events of {job.simulator}{dropped} in {seconds:.1f} s"
    record = {
        "output": made.path,
        "n_events": made.n_events,
        "resumed_at": made.resumed_at,
        "nonfinite": made.nonfinite,
        "seconds": seconds,
        "events_per_second": rate,
    }
    show_result(f"{line} ({rate:,.0f} events/s)", record, as_json=as_json)
