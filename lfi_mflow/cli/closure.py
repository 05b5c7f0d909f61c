"""``lfi-mflow closure``: does a model reproduce what is known?"""
# ruff: noqa: PLC0415 - torch is imported when the command runs

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import log, show_result, show_table
from lfi_mflow.cli.options import (
    FILE,
    claim_output,
    config_option,
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
from lfi_mflow.errors import ConfigError, ModelMismatchError, UnknownNameError

if TYPE_CHECKING:
    from lfi_mflow.closure import ClosureReport, ClosureSettings, Metric
    from lfi_mflow.flows import Model
    from lfi_mflow.simulation import Simulator

__all__ = ["command", "simulator_of"]

_VERDICTS = {True: "yes", False: "NO", None: "-"}
_SIGNS = {"at_most": "<=", "at_least": ">=", "compatible_with": "~"}


@click.command(
    epilog=example(
        "lfi-mflow closure model.mflow -o closure.json",
        "lfi-mflow closure model.mflow --metrics manifold_distance,ood_auc --strict -o c.json",
    )
)
@click.argument("model", type=FILE)
@click.option("--simulator", metavar="NAME", help="Simulator.  [default: that of the events]")
@settings_option
@click.option("--metrics", metavar="A,B", help="Metrics to compute.  [default: all]")
@prior_option
@config_option("Sizes of the test, as test_events = 1000.")
@seed_option
@device_option
@threads_option
@click.option("--strict", is_flag=True, help="Exit with status 1 when a metric misses its target.")
@output_option("Closure report to write, JSON.")
@force_option
@json_option
def command(model: Path, output: Path, *, force: bool, as_json: bool, **options: Any) -> int:
    """Test a model against its simulator.

    MODEL is a model file; the simulator is the one it was trained on. The exit status
    is 0 even when a metric misses its target, unless --strict is given. Metrics that
    need more than the simulator offers are left out, and said to be.
    """
    claim_output(output, model, force=force)
    metrics = _read_metrics(options["metrics"])
    start = time.perf_counter()
    with limited_threads(options["threads"]):
        report = _test(model, metrics, options)
        report.save(output)
    _show(report, output, time.perf_counter() - start, as_json=as_json)
    return int(options["strict"] and bool(report.failed))


def _read_metrics(text: str | None) -> tuple[str, ...]:
    """Read the names of metrics, before any work is done."""
    from lfi_mflow.closure import METRICS

    if text is None:
        return METRICS
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError("names of metrics", repr(text), f"choose from {', '.join(METRICS)}")
    for name in names:
        if name not in METRICS:
            raise UnknownNameError("closure metric", name, METRICS)
    return names


def _test(path: Path, metrics: tuple[str, ...], options: dict[str, Any]) -> ClosureReport:
    """Load the model and run the test."""
    from lfi_mflow.closure import run_closure
    from lfi_mflow.flows import load_model
    from lfi_mflow.training import resolve_device

    settings = _read_sizes(options["config_path"])
    model = load_model(path, resolve_device(options["device"]))
    simulator = simulator_of(model, options["simulator"], options["settings"])
    prior = inference_prior(model.metadata.events, options["prior"])
    with working(f"testing {', '.join(metrics)}"):
        return run_closure(
            model,
            simulator,
            prior,
            metrics=metrics,
            seed=options["seed"],
            settings=settings,
        )


def _read_sizes(path: Path | None) -> ClosureSettings | None:
    """Read the sizes of the test."""
    from lfi_mflow.closure import ClosureSettings
    from lfi_mflow.config import from_table, read_toml

    return None if path is None else from_table(ClosureSettings, read_toml(path), str(path))


def simulator_of(model: Model, name: str | None, settings: dict[str, Any]) -> Simulator:
    """Build the simulator and see that it has the columns of the model."""
    from lfi_mflow.simulation import get_recorded_simulator, get_simulator

    events = model.metadata.events
    if name is None and events.simulator is None:
        raise ConfigError(
            "a simulator to test the model with",
            "a model of imported events, which names none",
            "give --simulator NAME",
        )
    if events.simulator is not None and name in (None, events.simulator):
        recorded = {**events.settings, **settings}
        simulator = get_recorded_simulator(events.simulator, recorded, name)
    else:
        simulator = get_simulator(str(name), settings)
    for what, wanted, found in (
        ("observables", events.observables, simulator.observables),
        ("parameters", events.parameters, simulator.parameters),
    ):
        expected, names = ([column.name for column in row] for row in (wanted, found))
        if expected != names:
            raise ModelMismatchError(
                f"a simulator with the model's {what} {', '.join(expected)}",
                f"{', '.join(names) or 'none'} of {name or events.simulator}",
                "name the simulator that the model was trained on",
            )
    return simulator


def _show(report: ClosureReport, output: Path, seconds: float, *, as_json: bool) -> None:
    """Show the metrics and the verdict."""
    for name, reason in report.skipped.items():
        log(f"not tested: {name}, because {reason}")
    if not as_json:
        rows = [_row(name, metric) for name, metric in report.metrics.items()]
        show_table(("metric", "value", "target", "passed"), rows)
    judged = [metric for metric in report.metrics.values() if metric.passed is not None]
    verdict = f"{len(judged) - len(report.failed)} of {len(judged)} targets are met"
    if report.failed:
        verdict += f" (missed: {', '.join(report.failed)})"
    table = report.to_table()
    record = {
        "output": output,
        "metrics": table["metrics"],
        "skipped": table["skipped"],
        "failed": report.failed,
        "seconds": seconds,
    }
    show_result(f"{output}: {verdict}; {seconds:.0f} s", record, as_json=as_json)


def _row(name: str, metric: Metric) -> tuple[str, ...]:
    """Write a metric as a row of the table."""
    value = f"{metric.value:.4g}"
    if metric.uncertainty is not None:
        value += f" ± {metric.uncertainty:.1g}"
    target = "-"
    if metric.target is not None and metric.comparison is not None:
        target = f"{_SIGNS[metric.comparison]} {metric.target:g}"
    return name, value, target, _VERDICTS[metric.passed]
