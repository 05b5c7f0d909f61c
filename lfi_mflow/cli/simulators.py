"""``lfi-mflow simulators``: what is registered."""
# ruff: noqa: PLC0415 - numpy and the simulators are imported when the command runs

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import log, show_result, show_table
from lfi_mflow.cli.options import example, json_option
from lfi_mflow.errors import LfiMflowError

if TYPE_CHECKING:
    from lfi_mflow.simulation import Simulator

__all__ = ["command"]


@click.command(epilog=example("lfi-mflow simulators"))
@json_option
def command(*, as_json: bool) -> None:
    """List the registered simulators.

    Their parameters, dimensions and what they know of themselves. Packages register
    simulators by the entry-point group lfi_mflow.simulators; a class in a file needs no
    registration: give path/to/file.py:Class as the name.
    """
    from lfi_mflow.simulation import available_simulators, get_simulator

    records = []
    for name in available_simulators():
        try:
            records.append(_describe(name, get_simulator(name)))
        except LfiMflowError as problem:
            # One broken plug-in must not hide the others.
            log(f"Warning: {name} cannot be used: {problem}")
    if not as_json:
        show_table(("name", "parameters", "knows", "d", "n"), map(_row, records), text=3)
    show_result(f"{len(records)} simulators", records, as_json=as_json)


def _describe(name: str, simulator: Simulator) -> dict[str, Any]:
    """Return what is worth knowing about a simulator."""
    from lfi_mflow.simulation import HasJoint, HasLikelihood, HasLogRatio, HasManifold, HasRate

    capabilities = {
        "likelihood": HasLikelihood,
        "ratio": HasLogRatio,
        "gold": HasJoint,
        "rate": HasRate,
        "manifold": HasManifold,
    }
    return {
        "name": name,
        "parameters": [
            {"name": parameter.name, "low": parameter.low, "high": parameter.high}
            for parameter in simulator.parameters
        ],
        "observables": [observable.name for observable in simulator.observables],
        "manifold_dim": simulator.manifold_dim,
        "knows": [word for word, kind in capabilities.items() if isinstance(simulator, kind)],
    }


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    """Write a simulator as a row of the table."""
    parameters = ", ".join(
        f"{row['name']} in [{row['low']:g}, {row['high']:g}]" for row in record["parameters"]
    )
    n = record["manifold_dim"]
    return (
        record["name"],
        parameters or "none",
        ", ".join(record["knows"]) or "events only",
        str(len(record["observables"])),
        "?" if n is None else str(n),
    )
