"""``lfi-mflow morph``: events at other parameters, by weights."""
# ruff: noqa: PLC0415 - numpy and h5py are imported when the command runs

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lfi_mflow.cli.console import log, show_result, warn
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    example,
    force_option,
    json_option,
    output_option,
    recorded_simulator_option,
    theta_option,
)
from lfi_mflow.cli.progress import counting
from lfi_mflow.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lfi_mflow.data import EventMetadata

__all__ = ["command"]


@click.command(epilog=example("lfi-mflow morph events.h5 --theta 0.5,0 -o morphed.h5"))
@click.argument("events", type=FILE)
@theta_option("The parameters to carry the events to.")
@recorded_simulator_option
@output_option("Event file to write.")
@force_option
@json_option
def command(
    events: Path,
    theta: tuple[float, ...] | None,
    simulator: str | None,
    output: Path,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Carry events to other parameters by new weights.

    EVENTS is an event file with component weights: those of simulators whose density is
    a quadratic polynomial of the parameters, or of a MadMiner sample with a morphing
    setup. The fewer of the events lie where the new parameters prefer, the less the
    sample is worth: its effective sample size is reported.
    """
    claim_output(output, events, force=force)
    if theta is None:
        raise InputError("the parameters to morph to", "none", "give --theta V1,V2")
    from lfi_mflow.data import morph_events, open_events

    with open_events(events) as file:
        total, rates = len(file), _rates(file.metadata, simulator)
    if rates is None:
        log("the components of the cross-section are not known: taken from the sums of the events")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        with counting("morphing", "events", total) as progress:
            made = morph_events(events, output, theta, rates=rates, force=force, progress=progress)
    for warning in caught:
        warn(str(warning.message))
    size = made.effective_sample_size
    record = {"output": output, "n_events": made.n_events, "effective_sample_size": size}
    point = ", ".join(f"{value:g}" for value in theta)
    line = f"{output}: {made.n_events:,} events at theta = ({point}), worth {size:,.0f}"
    show_result(line, record, as_json=as_json)


def _rates(metadata: EventMetadata, given: str | None) -> NDArray[np.float64] | None:
    """Return the components of the cross-section if the simulator of the events knows them."""
    from lfi_mflow.simulation import HasMorphing, get_recorded_simulator

    if metadata.simulator is None:
        return None
    simulator = get_recorded_simulator(metadata.simulator, metadata.settings, given)
    return simulator.rates if isinstance(simulator, HasMorphing) else None
