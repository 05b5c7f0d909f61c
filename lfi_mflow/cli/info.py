"""``lfi-mflow info``: what is in a file, and where it came from."""
# ruff: noqa: PLC0415 - h5py and torch are imported when the command runs

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import show_facts, show_result
from lfi_mflow.cli.file_kinds import FileKind, file_kind
from lfi_mflow.cli.options import FILE, example, json_option
from lfi_mflow.errors import InputError

if TYPE_CHECKING:
    from lfi_mflow.data import EventFile
    from lfi_mflow.flows import Reference

__all__ = ["command"]


@click.command(
    epilog=example("lfi-mflow info events.h5 --verify", "lfi-mflow info model.mflow --json")
)
@click.argument("file", type=FILE)
@click.option("--verify", is_flag=True, help="Read an event file whole and check its checksums.")
@json_option
def command(file: Path, *, verify: bool, as_json: bool) -> None:
    """Tell what is in FILE, and where it came from.

    FILE is any file of lfi-mflow: events, a model, a posterior, scores, limits or a closure
    report.
    """
    kind = file_kind(file)
    if verify and kind != "events":
        raise InputError(
            "an event file to verify",
            f"{file}, a {kind}",
            "leave --verify out",
        )
    from lfi_mflow.data.damage import explained_file

    with explained_file(file, f"{kind} that can be described"):
        facts, line = _READERS[kind](file)
    if verify:
        _verify(file)
        facts, line = {**facts, "verified": True}, f"{line}; all checksums are right"
    if not as_json:
        show_facts(_flat(facts))
    record = {"file": file, "kind": kind, **facts}
    show_result(f"{file}: {line}", record, as_json=as_json)


def _events(path: Path) -> tuple[dict[str, Any], str]:
    """Describe an event file."""
    from lfi_mflow.data import open_events

    with open_events(path) as file:
        facts = {
            "n_events": len(file),
            "arrays": list(file.columns),
            "weights": _weights(file),
            **_origin(file.metadata),
            "sha256": file.digest,
            "provenance": dict(file.metadata.provenance),
        }
        source = file.metadata.simulator or file.metadata.provenance.get("imported_from", "a file")
        return facts, f"{len(file):,} events from {source}"


def _weights(file: EventFile) -> dict[str, float] | None:
    """Say what the weights of events are worth, None if there are none."""
    from lfi_mflow.simulation import WeightSummary

    if "weight" not in file.columns:
        return None
    summary = WeightSummary.of(file.column_blocks("weight"))
    return {
        "sum": summary.total,
        "negative": summary.negative,
        "effective_sample_size": summary.effective_sample_size,
    }


def _model(path: Path) -> tuple[dict[str, Any], str]:
    """Describe a model file."""
    from lfi_mflow.flows import load_model

    model = load_model(path)
    metadata = model.metadata
    phases = {
        phase["name"]: f"{len(phase['epochs'])} epochs in {phase['seconds']:.0f} s, the best "
        f"validation loss {phase['epochs'][phase['best_epoch']]['validation']:.4g} "
        f"in epoch {phase['best_epoch'] + 1}"
        for phase in metadata.history.get("phases", [])
    }
    weights = sum(weight.numel() for weight in model.flow.parameters())
    facts = {
        "model": metadata.preset,
        "data_dim": metadata.dimensions.data,
        "latent_dim": metadata.dimensions.latent,
        "weights": weights,
        "density": _density(model.flow.reference),
        "settings": dict(metadata.settings),
        "training": phases,
        "weights of events": metadata.training.get("weights"),
        "n_events": metadata.n_events,
        **_origin(metadata.events),
        "columns": metadata.mapping,
        "sha256 of events": metadata.digest,
        "provenance": dict(metadata.provenance),
    }
    return facts, f"{metadata.preset} trained on {metadata.n_events:,} events"


def _density(reference: Reference) -> str:
    """Say what the density of a model refers to."""
    if reference in ("none", "ratio"):
        return {"none": "none", "ratio": "none: likelihood ratios only"}[reference]
    return f"with respect to the {reference} measure"


def _posterior(path: Path) -> tuple[dict[str, Any], str]:
    """Describe a posterior file."""
    from lfi_mflow.inference import load_posterior

    posterior = load_posterior(path)
    summary = posterior.summary()
    chains, draws = posterior.draws.shape[:2]
    facts = {
        "method": posterior.method,
        "chains": int(chains),
        "draws": int(draws),
        "observed_events": len(posterior.observed),
        **summary,
        "provenance": dict(posterior.provenance),
    }
    values = ", ".join(
        f"{name} = {row['mean']:.3g} ± {row['sd']:.2g}"
        for name, row in summary["parameters"].items()
    )
    return facts, f"posterior {values}"


def _scores(path: Path) -> tuple[dict[str, Any], str]:
    """Describe a score file."""
    from lfi_mflow.inference import ScoreFile

    with ScoreFile(path) as file:
        metadata, columns = file.metadata, list(file.columns)
    facts = {"arrays": columns, **dataclasses.asdict(metadata)}
    off = metadata.off_manifold_events
    judged = "" if off is None else f", {off:,} off the manifold"
    return facts, f"scores of {metadata.n_events:,} events by {metadata.model}{judged}"


def _closure(path: Path) -> tuple[dict[str, Any], str]:
    """Describe a closure report."""
    from lfi_mflow.closure import ClosureReport

    report = ClosureReport.load(path)
    table = report.to_table()
    facts = {key: table[key] for key in ("metrics", "skipped", "provenance")}
    judged = sum(metric.passed is not None for metric in report.metrics.values())
    return facts, f"closure test, {judged - len(report.failed)} of {judged} targets are met"


def _limits(path: Path) -> tuple[dict[str, Any], str]:
    """Describe limits."""
    from lfi_mflow.inference import Limits

    limits = Limits.load(path)
    curves = ("values", "statistic", "critical")
    parameters = {
        name: {key: value for key, value in row.items() if key not in curves}
        for name, row in limits.parameters.items()
    }
    facts = {
        "parameters": parameters,
        **{name: getattr(limits, name) for name in ("nuisances", "data", "information", "toys")},
        "provenance": dict(limits.provenance),
    }
    values = ", ".join(f"{name} = {row['best_fit']:.3g}" for name, row in parameters.items())
    return facts, f"limits of {limits.data['events']:.6g} events, best fit {values}"


_READERS: Mapping[FileKind, Callable[[Path], tuple[dict[str, Any], str]]] = {
    "events": _events,
    "model": _model,
    "posterior": _posterior,
    "scores": _scores,
    "closure": _closure,
    "limits": _limits,
}


def _origin(metadata: Any) -> dict[str, Any]:
    """Describe columns and source of events."""
    from lfi_mflow.simulation import Prior

    names = metadata.parameter_names
    prior = None if not metadata.prior else Prior.from_table(metadata.prior).describe(names)
    return {
        "parameters": [_column(row.name, row.unit) for row in metadata.parameters],
        "observables": [_column(row.name, row.unit) for row in metadata.observables],
        "manifold_dim": metadata.manifold_dim,
        "simulator": metadata.simulator,
        "simulator settings": dict(metadata.settings),
        "prior": prior,
        "seed": metadata.seed,
        "counts": dict(metadata.counts),
    }


def _column(name: str, unit: str) -> str:
    """Write a column with its unit."""
    return f"{name} [{unit}]" if unit else name


def _verify(path: Path) -> None:
    """Check all checksums of an event file."""
    from lfi_mflow.data import open_events

    with open_events(path) as file:
        file.verify()


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Write nested facts as names with dots; empty ones are left out."""
    flat: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            flat[f"{prefix}{name}"] = ", ".join(map(str, value)) or "none"
        elif value is not None:
            flat[f"{prefix}{name}"] = f"{value:.6g}" if isinstance(value, float) else str(value)
    return flat
