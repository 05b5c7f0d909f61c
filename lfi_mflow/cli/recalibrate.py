"""``lfi-mflow recalibrate``: mend the likelihood ratios of a ratio estimator."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.closure import simulator_of
from lfi_mflow.cli.console import show_result
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    device_option,
    example,
    force_option,
    json_option,
    limited_threads,
    output_option,
    prior_option,
    seed_option,
    settings_option,
    threads_option,
)
from lfi_mflow.cli.priors import inference_prior
from lfi_mflow.cli.progress import working

if TYPE_CHECKING:
    from lfi_mflow.closure import Reliability
    from lfi_mflow.flows import Model

__all__ = ["command"]


@click.command(epilog=example("lfi-mflow recalibrate model.mflow -o recalibrated.mflow"))
@click.argument("model", type=FILE)
@click.option(
    "--events",
    "n_events",
    type=click.IntRange(min=100),
    default=50_000,
    show_default=True,
    metavar="N",
    help="Events to simulate for it.",
)
@click.option("--simulator", metavar="NAME", help="Simulator.  [default: that of the events]")
@settings_option
@prior_option
@seed_option
@device_option
@threads_option
@output_option("Model file to write.")
@force_option
@json_option
def command(model: Path, output: Path, *, force: bool, as_json: bool, **options: Any) -> None:
    """Recalibrate a ratio estimator on new simulated events.

    MODEL is a model file of a ratio estimator. In the new model log r becomes b log r + a,
    with the slope b that makes its probabilities come true, and with a that normalises r.
    Judge it by lfi-mflow closure, with another seed.
    """
    claim_output(output, model, force=force)
    from lfi_mflow.closure import recalibrate
    from lfi_mflow.flows import load_model, save_model
    from lfi_mflow.training import resolve_device

    with limited_threads(options["threads"]):
        trained = load_model(model, resolve_device(options["device"]))
        simulator = simulator_of(trained, options["simulator"], options["settings"])
        prior = inference_prior(trained.metadata.events, options["prior"])
        n_events, seed = options["n_events"], options["seed"]
        with working(f"recalibrating on {n_events:,} events"):
            mended, found = recalibrate(trained, simulator, prior, events=n_events, seed=seed)
        save_model(mended, output)
    _show(mended, found, output, as_json=as_json)


def _show(model: Model, found: Reliability, output: Path, *, as_json: bool) -> None:
    """Say what was found and done."""
    done, error = model.metadata.training["recalibration"], found.slope.uncertainty
    line = (
        f"{output}: log r is now {done['slope']:.3f} (± {error or 0.0:.1g}) times what it was, "
        f"plus {done['offset']:.3f}; the p-value of no such need was {found.p_value:.2g}"
    )
    record = {"output": output, **done, "slope_uncertainty": error, "p_value": found.p_value}
    show_result(line, record, as_json=as_json)
