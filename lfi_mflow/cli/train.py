"""``lfi-mflow train``: a model from events."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.columns import imported_mapping
from lfi_mflow.cli.console import log, show_result, warn
from lfi_mflow.cli.interruption import command_line, resumable, typed_arguments
from lfi_mflow.cli.options import (
    AUTO,
    FILE,
    claim_output,
    config_option,
    device_option,
    drop_nonfinite_option,
    example,
    json_option,
    limited_threads,
    output_option,
    read_latent_dim,
    threads_option,
)
from lfi_mflow.cli.progress import both, training
from lfi_mflow.cli.tensorboard import curves, tensorboard_option
from lfi_mflow.errors import ConfigError, InputError, StorageError, TrainingError

if TYPE_CHECKING:
    import torch

    from lfi_mflow.flows import Model, ModelMetadata
    from lfi_mflow.training import RunConfig, WeightUse

__all__ = ["command"]


@click.command(
    epilog=example(
        "lfi-mflow train events.h5 -o model.mflow",
        "lfi-mflow train events.h5 --model me-flow --algorithm alternating -o model.mflow",
        "lfi-mflow train events.h5 --config run.toml --epochs 30 --seed 2 -o model.mflow",
        "lfi-mflow train events.h5 --latent-dim auto -o model.mflow",
        "lfi-mflow train events.h5 --resume -o model.mflow",
        "lfi-mflow train part-1.h5 part-2.h5 part-3.h5 -o model.mflow",
        "lfi-mflow train background.h5 --chart-of signal.mflow -o background.mflow",
        "lfi-mflow train events.h5 --algorithm scandal --score-of nre-c.mflow -o model.mflow",
        "torchrun --nproc-per-node 2 -m lfi_mflow train events.h5 --resume -o model.mflow",
    )
)
@click.argument("events", type=FILE, nargs=-1, required=True)
@click.option("--model", metavar="NAME", help="Model, see lfi-mflow models.  [default: m-flow]")
@click.option(
    "--algorithm", metavar="NAME", help="Training algorithm.  [default: the first of the model]"
)
@config_option("Configuration of the run; the options override it.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of every phase.")
@click.option(
    "--latent-dim",
    callback=read_latent_dim,
    metavar="N|auto",
    help="Dimension n of the manifold; auto estimates it, as lfi-mflow dimension does.  [default: "
    "what the event file says]",
)
@click.option(
    "--chart-of",
    type=FILE,
    metavar="MODEL",
    help="Take the chart of this model and train the rest: the density of a further process, or "
    "an mr-flow; its ratio alone if the phases of the configuration train nothing else.",
)
@click.option(
    "--score-of",
    type=FILE,
    metavar="RATIO",
    help="Learn the score of this ratio estimator in the place of the simulator's joint score.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of all randomness.  [default: 0]")
@device_option
@threads_option
@click.option(
    "--compile",
    "compiles",
    is_flag=True,
    help="Compile the losses first, which takes minutes: for long trainings.",
)
@click.option("--resume", is_flag=True, help="Go on from the checkpoint of an interrupted run.")
@drop_nonfinite_option
@tensorboard_option
@output_option("Model file to write.")
@click.option("--force", is_flag=True, help="Replace an output or, without --resume, a checkpoint.")
@json_option
def command(events: tuple[Path, ...], output: Path, *, as_json: bool, **options: Any) -> None:
    """Train a model on the events of a file.

    EVENTS is an event file, or several of one simulator with one kind of settings, such as
    many jobs simulate: they are taken as the one file that lfi-mflow merge makes of them.

    The state after each epoch is kept beside the output, in .NAME.checkpoint, until the
    model is written: an interrupted run goes on with --resume, and ends with the same
    weights as an undisturbed one. Started by torchrun, several processes train one model:
    each takes its share of every batch.
    """
    models = [options[name] for name in ("chart_of", "score_of") if options[name] is not None]
    claim_output(output, *events, *models, force=options["force"])
    _check_chart(options)
    checkpoint = output.with_name(f".{output.name}.checkpoint")
    _check_checkpoint(checkpoint, resume=options["resume"], force=options["force"])
    start = time.perf_counter()
    with (
        resumable(checkpoint.is_file, "--resume"),
        _advice_on_failure(checkpoint),
        limited_threads(options["threads"]),
    ):
        model = _train(events, output, checkpoint, options)
    _report(model, output, time.perf_counter() - start, as_json=as_json)


def _check_chart(options: dict[str, Any]) -> None:
    """Fail if the chart of a model is asked for, and what is settled by it as well."""
    given = [name for name in ("algorithm", "latent_dim") if options[name] is not None]
    if options["chart_of"] is not None and given:
        raise InputError(
            "--chart-of MODEL alone, which says what its dimension is and trains its density",
            f"--{given[0].replace('_', '-')} beside it",
            "leave one of them out",
        )


def _check_checkpoint(checkpoint: Path, *, resume: bool, force: bool) -> None:
    """Fail if there is a checkpoint and the user did not say what to do with it."""
    if checkpoint.is_file() and not (resume or force):
        raise InputError(
            f"no checkpoint at {checkpoint}",
            "one of an interrupted run",
            "add --resume to go on, or --force to start anew",
        )


@contextmanager
def _advice_on_failure(checkpoint: Path) -> Iterator[None]:
    """Say how to go on when a run fails for want of space after some epochs."""
    try:
        yield
    except (StorageError, TrainingError):
        if checkpoint.is_file():
            again = command_line(typed_arguments(), "--resume")
            log(f"The finished epochs are kept in {checkpoint}; go on with: {again}")
        raise


def _train(
    events: Sequence[Path], output: Path, checkpoint: Path, options: dict[str, Any]
) -> Model:
    """Train with the other processes that torchrun has started, and write the model once."""
    from lfi_mflow.training import joined, own_device, resolve_device

    device = own_device(resolve_device(options["device"]))
    with joined(device) as ranks:
        if ranks.size > 1:
            log(f"{ranks.size} processes take their shares of every batch")
        model = _train_share(events, checkpoint, options, device)
        if ranks.leads:
            _save(model, output)
            checkpoint.unlink(missing_ok=True)
    return model


def _train_share(
    events: Sequence[Path], checkpoint: Path, options: dict[str, Any], device: torch.device
) -> Model:
    """Read the configuration and train."""
    from lfi_mflow.data import open_together
    from lfi_mflow.flows import load_model
    from lfi_mflow.training import check_weights, density_only, drop_checkpoint, train_model

    config = _with_estimate(_configuration(options), events, options)
    chart_of, score_of = (
        None if options[name] is None else load_model(options[name])
        for name in ("chart_of", "score_of")
    )
    if chart_of is not None:
        _check_model(options["model"], chart_of)
        config = density_only(chart_of, config)
    with open_together(events) as file:
        mapping = imported_mapping(file.metadata.provenance)
        weights = check_weights(file, config.schedule)
    _say_what_weights_do(weights)
    _say_what_is_compiled(config, asked=options["compiles"])
    if not options["resume"]:
        drop_checkpoint(checkpoint)  # only now that file and options are known to be usable
    with training(config.schedule) as shown, curves(options["tensorboard"]) as drawn:
        model = train_model(
            events,
            config,
            device=device,
            drop_nonfinite=options["drop_nonfinite"],
            checkpoint=checkpoint,
            progress=both(shown, drawn),
            chart_of=chart_of,
            score_of=score_of,
        )
    return dataclasses.replace(model, metadata=dataclasses.replace(model.metadata, mapping=mapping))


def _check_model(name: str | None, chart_of: Model) -> None:
    """Fail if a model that is asked for by name cannot take the chart."""
    from lfi_mflow.flows import get_preset

    lender = chart_of.metadata.preset
    if name is not None and name != lender and lender not in get_preset(name).charts_of:
        raise InputError(
            f"{lender}, the model of --chart-of, or one that takes its chart",
            f"--model {name}",
            "leave it out",
        )


def _say_what_weights_do(weights: WeightUse | None) -> None:
    """Say what the weights of the events are worth, or why they are not used."""
    if weights is None:
        return
    summary = weights.summary
    if not weights.used:
        warn(
            f"{summary.negative:,} of {summary.n_events:,} weights are negative: the chart is "
            "trained without weights, because the manifold is where events are, whatever they weigh"
        )
    elif summary.poor:
        warn(
            f"the weighted events are worth {summary.worth} only (effective sample size): what is "
            "learnt rests on few of them; simulate more, or where the weights vary less"
        )
    else:
        log(f"the weighted events are worth {summary.worth} (effective sample size)")


def _say_what_is_compiled(config: RunConfig, *, asked: bool) -> None:
    """Say which losses are compiled, and if all were to be, which are not."""
    compiled, plain = (
        ", ".join(phase.name for phase in config.schedule if phase.compiles is which)
        for which in (True, False)
    )
    if compiled:
        log(f"compiled in the first step, which takes minutes: {compiled}")
    if plain and asked:
        log(f"not compiled, because the objective cannot be: {plain}")


def _configuration(options: dict[str, Any]) -> RunConfig:
    """Return the configuration file, or the default, with the options on top."""
    from lfi_mflow.training import RunConfig, read_run_config

    path = options["config_path"]
    config = RunConfig() if path is None else read_run_config(path)
    given = {name: options[name] for name in ("model", "seed") if options[name] is not None}
    if options["latent_dim"] not in (None, AUTO):
        given["latent_dim"] = options["latent_dim"]
    if options["algorithm"] is not None:
        given |= {"algorithm": options["algorithm"], "phases": None}
    config = dataclasses.replace(config, **given)
    if options["epochs"] is not None:
        config = config.with_epochs(options["epochs"])
    return config.with_compiled_losses() if options["compiles"] else config


def _with_estimate(config: RunConfig, events: Sequence[Path], options: dict[str, Any]) -> RunConfig:
    """Put the estimated dimension into the configuration, if it is asked for.

    Raises:
        ConfigError: If the model learns no manifold.
    """
    if options["latent_dim"] != AUTO:
        return config
    from lfi_mflow.cli.dimension import estimate_for_training
    from lfi_mflow.flows import get_preset

    if get_preset(config.model).ambient:
        raise ConfigError(
            "a model that learns a manifold, with --latent-dim auto",
            f"{config.model}, which takes all dimensions",
            "leave --latent-dim out",
        )
    with limited_threads(options["threads"]):
        n = estimate_for_training(events, drop_nonfinite=options["drop_nonfinite"])
    return dataclasses.replace(config, latent_dim=n)


def _save(model: Model, output: Path) -> None:
    """Write the model."""
    from lfi_mflow.flows import save_model

    save_model(model, output)


def _report(model: Model, output: Path, seconds: float, *, as_json: bool) -> None:
    """Say what was trained, and how well."""
    metadata = model.metadata
    dropped = metadata.training["nonfinite"]
    if dropped:
        where = ", ".join(f"{name}: {count}" for name, count in dropped.items())
        warn(f"events with NaN or infinite values were left out ({where})")
    _say_what_was_revived(metadata)
    distance = _distance(metadata)
    _warn_of_divergence(metadata, distance)
    phases = [
        {
            "name": phase["name"],
            "best_epoch": phase["best_epoch"],
            "epochs": len(phase["epochs"]),
            "validation": phase["epochs"][phase["best_epoch"]]["validation"],
            "seconds": phase["seconds"],
        }
        for phase in metadata.history["phases"]
    ]
    losses = ", ".join(f"{phase['name']} {phase['validation']:.4g}" for phase in phases)
    parts = [
        f"best validation losses: {losses}; {metadata.n_events:,} events in {seconds:.0f} s",
    ]
    if distance is not None:
        parts.insert(0, f"validation events lie {distance:.3g} from the manifold on average")
    line = f"{output}: {', '.join(parts)}"
    record = {
        "output": output,
        "model": metadata.preset,
        "n_events": metadata.n_events,
        "nonfinite": dropped,
        "weights": metadata.training["weights"],
        "validation_distance": distance,
        "phases": phases,
        "seconds": seconds,
    }
    show_result(line, record, as_json=as_json)


def _say_what_was_revived(metadata: ModelMetadata) -> None:
    """Say how often a chart of an atlas had lost its events."""
    for phase in metadata.history["phases"]:
        revived = phase["epochs"][phase["best_epoch"]]["validation_parts"].get("revived", 0.0)
        if revived:
            log(f"phase {phase['name']!r}: charts without events were moved {revived:.0f} times")


def _distance(metadata: ModelMetadata) -> float | None:
    """Return the mean distance of validation events to the manifold, None without one."""
    quantiles = metadata.training.get("distance_quantiles")
    return None if quantiles is None else _mean(quantiles)


def _warn_of_divergence(metadata: ModelMetadata, distance: float | None) -> None:
    """Say so when a phase got worse while it trained, or the manifold is worse than a plane.

    An excess of a hundredth of the events' spread is not worth a warning.
    """
    for phase in metadata.history["phases"]:
        skipped = sum(epoch["skipped"] for epoch in phase["epochs"])
        if skipped:
            warn(
                f"{skipped:,} steps of phase {phase['name']!r} were left out, because their "
                "gradients were not finite"
            )
        if phase["diverged"]:
            warn(
                f"phase {phase['name']!r} diverged: its losses ended above where the first epoch "
                f"left them (the weights of epoch {phase['best_epoch'] + 1} were kept); "
                f"{_remedy(metadata.preset, phase['objective'])}"
            )
    if distance is None:
        return
    plane, spread = (metadata.training[f"{name}_distance"] for name in ("plane", "centre"))
    if distance > plane + 0.01 * spread:
        warn(
            f"the learned manifold is farther from the events ({distance:.3g} on average) than "
            f"the plane of their principal axes ({plane:.3g}): it was not learnt; "
            f"{_remedy(metadata.preset, metadata.history['phases'][0]['objective'])}"
        )


def _remedy(preset: str, objective: str) -> str:
    """Say how to train better."""
    from lfi_mflow.flows import get_preset

    if objective == "likelihood" and "sequential" in get_preset(preset).algorithms:
        return (
            "maximum likelihood of a manifold has no maximum: train with "
            'algorithm = "sequential" or "alternating"'
        )
    return "train with a lower learning rate, or for longer"


def _mean(quantiles: list[float]) -> float:
    """Return the mean of a distribution from its evenly spaced quantiles."""
    inner = sum(quantiles) - 0.5 * (quantiles[0] + quantiles[-1])
    return float(inner / (len(quantiles) - 1))
