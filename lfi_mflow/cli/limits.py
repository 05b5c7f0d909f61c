"""``lfi-mflow limits``, or ``lfi-mflow infer --limits``: confidence regions."""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import warn
from lfi_mflow.cli.infer import read_events
from lfi_mflow.cli.limit_result import show_limits
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    config_option,
    device_option,
    drop_nonfinite_option,
    example,
    force_option,
    json_option,
    limited_threads,
    mapping_options,
    output_option,
    prior_option,
    read_point,
    recorded_simulator_option,
    seed_option,
    threads_option,
)
from lfi_mflow.cli.priors import inference_prior
from lfi_mflow.cli.progress import working
from lfi_mflow.errors import ConfigError, InputError

if TYPE_CHECKING:
    from lfi_mflow.flows import Model
    from lfi_mflow.inference.experiment import CountingExperiment, DataSet, EventSource
    from lfi_mflow.inference.limit_config import LimitConfig
    from lfi_mflow.inference.limits_file import Limits
    from lfi_mflow.simulation import Array

__all__ = ["command"]

_POOR = 0.1


@click.command(
    epilog=example(
        "lfi-mflow limits model.mflow --observed observed.h5 --luminosity 36 -o limits.json",
        "lfi-mflow limits model.mflow --asimov 0,0 --luminosity 36 --toys 500 -o expected.json",
        "lfi-mflow limits model.mflow --observed observed.h5 --shape-only --config limits.toml \\",
        "    --method asymptotic -o limits.json",
    )
)
@click.argument("model", type=FILE)
@click.option("--observed", type=FILE, metavar="FILE", help="Observed events, as for infer.")
@click.option(
    "--asimov",
    metavar="V1,V2",
    callback=read_point,
    help="Expected limits at these parameters, instead of observed ones.",
)
@mapping_options
@click.option(
    "--events",
    "n_events",
    type=click.IntRange(min=1),
    metavar="K",
    help="Use the first K events; with --asimov and --shape-only, how many are expected.",
)
@click.option("--luminosity", type=float, metavar="L", help="Integrated luminosity in 1/pb.")
@click.option(
    "--luminosity-uncertainty",
    type=float,
    metavar="S",
    help="Its relative standard deviation, such as 0.02.",
)
@click.option("--shape-only", is_flag=True, help="Leave the number of events out.")
@click.option(
    "--interest",
    multiple=True,
    metavar="NAME",
    help="Parameter of interest, once or twice.  [default: all that are no nuisances]",
)
@click.option(
    "--method",
    type=click.Choice(["neyman", "asymptotic"]),
    default="neyman",
    show_default=True,
    help="Regions calibrated by toys beside the asymptotic ones, or those alone.",
)
@click.option("--toys", type=int, metavar="K", help="Toys at each point.  [default: 300]")
@click.option("--pool", type=int, metavar="M", help="Events that toys are drawn from.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Events that --asimov draws to stand for the expected ones.",
)
@click.option(
    "--source",
    type=click.Choice(["surrogate", "simulator"]),
    default="surrogate",
    show_default=True,
    help="What makes the events of toys and of --asimov.",
)
@click.option(
    "--marginalise", is_flag=True, help="Add credible intervals, nuisances marginalised by MCMC."
)
@recorded_simulator_option
@config_option("Nuisances, further processes and cross-sections; the options override it.")
@prior_option
@seed_option
@device_option
@threads_option
@drop_nonfinite_option
@output_option("Limits to write, JSON.")
@force_option
@json_option
def command(model: Path, output: Path, *, force: bool, as_json: bool, **options: Any) -> None:
    """Find best fit and confidence regions.

    They are of one or two parameters; lfi-mflow infer --limits is the same command.
    MODEL is a model file. The likelihood counts the events, with the cross-section of
    the simulator and --luminosity, or leaves their number out with --shape-only. Regions
    at 68 % and 95 % are asymptotic and, unless --method asymptotic is given, calibrated
    by toys; see docs/limits.md.
    """
    observed = options["observed"]
    claim_output(output, model, *([] if observed is None else [observed]), force=force)
    if (observed is None) == (options["asimov"] is None):
        found = "neither" if observed is None else "both"
        raise ConfigError("--observed FILE or --asimov V1,V2", found, "give one of them")
    if options["marginalise"] and observed is None:
        raise ConfigError(
            "--marginalise with --observed FILE", "--asimov", "leave --marginalise out"
        )
    config = _configuration(options)
    from lfi_mflow.flows import load_model
    from lfi_mflow.training import resolve_device

    start = time.perf_counter()
    with limited_threads(options["threads"]):
        trained = load_model(model, resolve_device(options["device"]))
        limits = _compute(trained, config, options)
        limits.save(output)
    show_limits(limits, output, time.perf_counter() - start, as_json=as_json)


def _configuration(options: Mapping[str, Any]) -> LimitConfig:
    """Return the configuration file with the options on top, checked before any work."""
    from lfi_mflow.inference.limit_config import read_limit_config

    config = read_limit_config(options["config_path"])
    given: dict[str, Any] = {}
    if options["luminosity"] is not None:
        given = {"luminosity": options["luminosity"], "shape_only": options["shape_only"]}
    elif options["shape_only"]:
        given = {"luminosity": None, "luminosity_uncertainty": 0.0, "shape_only": True}
    if options["luminosity_uncertainty"] is not None:
        given["luminosity_uncertainty"] = options["luminosity_uncertainty"]
    if options["interest"]:
        given["interest"] = options["interest"]
    if options["simulator"] is not None:
        given["simulator"] = options["simulator"]
    config = dataclasses.replace(config, **given)
    config.check()
    _neyman_sizes(options, stride=1)  # for its checks
    return config


def _neyman_sizes(options: Mapping[str, Any], stride: int) -> Any:
    """Return the sizes of the Neyman construction."""
    from lfi_mflow.inference.neyman import NeymanSettings

    given = {name: options[name] for name in ("toys", "pool") if options[name] is not None}
    return NeymanSettings(**given, seed=options["seed"], stride=stride)


def _compute(model: Model, config: LimitConfig, options: Mapping[str, Any]) -> Limits:
    """Find the limits."""
    from lfi_mflow.inference.experiment import with_measured
    from lfi_mflow.inference.limit_config import build_experiment
    from lfi_mflow.inference.limits import (
        Sensitivity,
        Toys,
        credible_intervals,
        find_limits,
        neyman_stride,
    )

    prior = inference_prior(model.metadata.events, options["prior"])
    experiment, surrogate = build_experiment(model, prior, config)
    source, exact = _source(model, surrogate, config, options["source"])
    point = None if options["asimov"] is None else experiment.complete(options["asimov"])
    data, facts = _data(model, experiment, source, point, options)
    if point is not None:
        experiment = with_measured(experiment, point)
    toys = None
    if options["method"] == "neyman":
        density = experiment.likelihood if options["source"] == "surrogate" else exact
        sizes = _neyman_sizes(options, neyman_stride(experiment))
        toys = Toys(source, density, options["source"], sizes)
    with working(f"fitting {data.count:,.6g} events"):
        sensitivity = Sensitivity(source, exact, point)
        limits = find_limits(
            experiment, data, toys=toys, sensitivity=sensitivity, seed=options["seed"]
        )
        parameters = limits.parameters
        if options["marginalise"]:
            found = credible_intervals(experiment, data, prior, seed=options["seed"])
            parameters = {
                name: {**row, "credible": found[name]} for name, row in parameters.items()
            }
    facts |= {"luminosity": config.luminosity, "efficiency": config.efficiency}
    return dataclasses.replace(limits, parameters=parameters, data={**facts, **limits.data})


def _source(
    model: Model,
    surrogate: EventSource,
    config: LimitConfig,
    name: str,
) -> tuple[EventSource, Any]:
    """Return the source of events, and the exact density of those of a simulator."""
    if name == "surrogate":
        if not config.processes and "sample" in type(model.flow).lacks:
            raise InputError(
                "--source simulator, for a model that generates no events",
                f"--source surrogate and {model.metadata.preset}",
                "add --source simulator",
            )
        return surrogate, None
    from lfi_mflow.inference.exact import exact_likelihood
    from lfi_mflow.inference.limit_config import simulator_of
    from lfi_mflow.inference.normalisations import from_model_parameters, of_model_parameters
    from lfi_mflow.inference.sources import simulated_events

    simulator = simulator_of(model, config.simulator)
    if simulator is None or config.processes:
        raise InputError(
            "one process with a simulator for --source simulator",
            "several processes" if config.processes else "a model of imported events",
            "leave --source out: the surrogate makes the events",
        )
    dim, exact = len(simulator.parameters), exact_likelihood(simulator)
    source = from_model_parameters(dim, simulated_events(simulator))
    return source, None if exact is None else of_model_parameters(dim, exact)


def _data(
    model: Model,
    experiment: CountingExperiment,
    source: EventSource,
    point: Array | None,
    options: Mapping[str, Any],
) -> tuple[DataSet, dict[str, Any]]:
    """Return the data set and what there is to say about it: Asimov data of a point, if any."""
    from lfi_mflow.inference.experiment import DataSet, asimov_data

    if point is None:
        events, _ = read_events(model, options["observed"], dict(options))
        return DataSet(events.x.astype("float64")), {
            "kind": "observed",
            "file": options["observed"].name,
        }
    count = options["n_events"]
    if experiment.rate is not None and count is not None:
        raise ConfigError(
            "--events with --shape-only, or a luminosity, for an Asimov data set",
            "a number of events and a rate",
            "leave --events out",
        )
    data = asimov_data(
        experiment, source, point, sample=options["sample"], count=count, seed=options["seed"]
    )
    if data.size < _POOR * len(data.x):
        warn(
            f"the Asimov sample is worth {data.size:.0f} of its {len(data.x)} events; its best "
            "fit is off the point by chance"
        )
    return data, {"kind": "asimov", "theta": [float(value) for value in point]}
