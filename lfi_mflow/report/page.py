"""The report: one HTML page that needs nothing beside itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lfi_mflow.closure import ClosureReport
from lfi_mflow.files import atomic_output
from lfi_mflow.flows.ratio import RatioEstimator
from lfi_mflow.inference import generates_events, predictive_check
from lfi_mflow.plots import name_label
from lfi_mflow.provenance import provenance
from lfi_mflow.report import observed_sections, sections
from lfi_mflow.report.atlas_section import atlas_section
from lfi_mflow.report.cautions import (
    Caution,
    closure_cautions,
    data_cautions,
    posterior_cautions,
)
from lfi_mflow.report.limit_section import limits_section
from lfi_mflow.report.markup import chip, section, text
from lfi_mflow.simulation import Prior

if TYPE_CHECKING:
    from lfi_mflow.flows import Flow, Model
    from lfi_mflow.inference.limits_file import Limits
    from lfi_mflow.inference.posterior import Posterior

__all__ = ["render_report", "write_report"]

_POINTS = 4_000
_SEED = 1
_TITLES = {
    "closure": "Closure",
    "warnings": "Warnings",
    "manifold": "Manifold",
    "atlas": "Atlas",
    "posterior": "Posterior",
    "calibration": "Calibration",
    "observed": "Observed events",
    "off-manifold": "On the manifold?",
    "predictive": "Predictive check",
    "limits": "Limits",
    "training": "Training",
    "provenance": "Provenance",
}


def write_report(
    path: Path,
    model: Model,
    posterior: Posterior | None = None,
    closure: ClosureReport | None = None,
    limits: Limits | None = None,
) -> None:
    """Write a report on a model as one self-contained HTML page.

    Arguments:
        path: The page; it appears complete or not at all.
        model: The model.
        posterior: Its posterior of observed events, if there is one.
        closure: Its closure test, if there is one.
        limits: Its confidence regions, if there are some.

    Raises:
        StorageError: If the disk is full or refuses to be written to.
    """
    page = render_report(model, posterior, closure, limits)
    with atomic_output(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_report(
    model: Model,
    posterior: Posterior | None = None,
    closure: ClosureReport | None = None,
    limits: Limits | None = None,
) -> str:
    """Return the page that :func:`write_report` writes."""
    metadata, events = model.metadata, model.metadata.events
    names = [name_label(p.name, p.latex, p.unit) for p in events.parameters]
    observables = [name_label(o.name, o.latex, o.unit) for o in events.observables]
    curves = closure.curves if closure else {}
    cautions = [*closure_cautions(closure), *data_cautions(events.counts)]
    observed: list[str] = []
    if posterior is not None:
        flat = np.asarray(posterior.draws, dtype=float).reshape(-1, len(posterior.parameters))
        cautions += posterior_cautions(posterior.summary(), flat, _prior(model))
        observed = _observed(model, posterior, names, observables)
    labels = dict(zip(events.parameter_names, names, strict=True))
    surface = curves.get("surface") or _model_surface(model)
    blocks = [
        _key_section(model, closure),
        sections.metrics_section(closure),
        sections.cautions_section(cautions),
        sections.surface_section(surface, observables),
        atlas_section(model.flow, surface, metadata.history, observables),
        sections.posterior_section(curves.get("posterior", []), labels),
        sections.calibration_section(curves, names),
        *observed,
        "" if limits is None else limits_section(limits, labels),
        sections.training_section(metadata.history),
        sections.provenance_section(
            [
                *_origins(model, posterior, closure),
                *([] if limits is None else [("Limits", {**limits.data, **limits.provenance})]),
            ]
        ),
    ]
    body = "\n".join(block for block in blocks if block)
    return _page(_title(model), _verdict(closure, cautions), body)


def _observed(
    model: Model, posterior: Posterior, names: Sequence[str], observables: Sequence[str]
) -> list[str]:
    """Show what is known of the observed events."""
    quantiles = model.metadata.training.get("distance_quantiles")
    check = None
    if generates_events(model, posterior):
        check = predictive_check(model, posterior, seed=_SEED)
    return [
        observed_sections.observed_section(posterior, names),
        observed_sections.off_manifold_section(posterior.data, quantiles, observables),
        observed_sections.predictive_section(check, observables),
    ]


def _page(title: str, verdict: str, body: str) -> str:
    """Write the frame of the page."""
    source = resources.files("lfi_mflow.report") / "style.css"
    links = "".join(
        f'<a href="#{identifier}">{name}</a>'
        for identifier, name in _TITLES.items()
        if f'id="{identifier}"' in body
    )
    made = provenance()
    version = made.get("version_lfi-mflow", "")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>
{source.read_text(encoding="utf-8")}</style>
</head>
<body>
<header><div class="inner">
<p class="kicker">lfi-mflow report</p>
<h1>{text(title)}</h1>
<p>A flow that learns the manifold of simulated events and the density on it, as a surrogate
of the likelihood.</p>
<p class="verdict">{verdict}</p>
<nav>{links}</nav>
</div></header>
<main>
{body}
</main>
<footer><div class="inner">Made by lfi-mflow {text(version)} on {text(made["created"])}.
This page needs no other file.</div></footer>
</body>
</html>
"""


def _title(model: Model) -> str:
    """Say what the report is about."""
    subject = model.metadata.events.simulator or "events from files"
    return f"{model.metadata.preset} of {subject}"


def _verdict(closure: ClosureReport | None, cautions: list[Caution]) -> str:
    """Give the result in one line."""
    if closure is None:
        return chip("not tested", "bad") + " This model has not been through a closure test."
    judged = [metric for metric in closure.metrics.values() if metric.passed is not None]
    passed = len(judged) - len(closure.failed)
    serious = sum(caution.level == "serious" for caution in cautions)
    if not judged:
        verdict = chip("no targets", "plain") + " The closure metrics have no targets."
    elif closure.failed:
        verdict = chip("missed", "bad") + f" {passed} of {len(judged)} closure targets are met."
    else:
        verdict = chip("passed", "good") + f" All {passed} closure targets are met."
    if serious:
        verdict += f' <a href="#warnings">{serious} warning{"s" * (serious > 1)}</a> to read first.'
    return verdict


def _key_section(model: Model, closure: ClosureReport | None) -> str:
    """Show the key facts of the model."""
    flow, metadata, prior = model.flow, model.metadata, _prior(model)
    names = [parameter.name for parameter in metadata.events.parameters]
    facts = {
        "Model": metadata.preset,
        "Manifold": _manifold(flow),
        "Parameters": ", ".join(names) or "none",
        "Prior": prior.describe(names) if prior else None,
        "Training events": f"{metadata.n_events:,}",
        "Weights": f"{sum(weight.numel() for weight in flow.parameters()):,}",
        "Training time": _training_time(metadata.history),
        "Closure seed": closure.provenance.get("seed") if closure else None,
    }
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>"
        for name, value in facts.items()
        if value is not None
    )
    return section("model", "The model", f'<dl class="keys">{cells}</dl>')


def _manifold(flow: Flow) -> str:
    """Say where the events live in the model's eyes."""
    if isinstance(flow, RatioEstimator):
        return f"none: likelihood ratios of {flow.data_dim} observables"
    return f"{flow.latent_dim} dimensions in {flow.data_dim} observables"


def _prior(model: Model) -> Prior | None:
    """Return the prior of the training events, if it is known."""
    table = model.metadata.events.prior
    return Prior.from_table(table) if table else None


def _training_time(history: Mapping[str, Any]) -> str | None:
    """Time of all phases, in words."""
    seconds = [phase.get("seconds") for phase in history.get("phases", [])]
    if not seconds or any(value is None for value in seconds):
        return None
    total = sum(seconds)
    return f"{total:.0f} s" if total < 120 else f"{total / 60:.1f} min"


def _model_surface(model: Model) -> dict[str, Any]:
    """Generate events alone, where there is no closure test to compare with."""
    prior = _prior(model)
    if prior is None or isinstance(model.flow, RatioEstimator):  # it generates none
        return {}
    tensor = next(model.flow.parameters(), torch.zeros(1))
    theta = torch.as_tensor(prior.sample(_POINTS, np.random.default_rng(_SEED)))
    generator = torch.Generator(device=tensor.device).manual_seed(_SEED)
    with torch.no_grad():
        x = model.flow.sample(theta.to(tensor), generator)
    return {"model": {"x": x.cpu().numpy()}}


def _origins(
    model: Model, posterior: Posterior | None, closure: ClosureReport | None
) -> list[tuple[str, Mapping[str, Any]]]:
    """Provenance of everything on the page, by title."""
    metadata, events = model.metadata, model.metadata.events
    data: dict[str, Any] = {
        "simulator": events.simulator,
        "simulator settings": events.settings,
        "seed": events.seed,
        "events": metadata.n_events,
        "sha256": metadata.digest,
        "observables": ", ".join(observable.name for observable in events.observables),
        "counts": events.counts,
        "made by": events.provenance,
        "columns": metadata.mapping,
    }
    training = {
        name: value for name, value in metadata.training.items() if name != "distance_quantiles"
    }
    groups: list[tuple[str, Mapping[str, Any]]] = [
        ("Model", {"preset": metadata.preset, **metadata.settings, **metadata.provenance}),
        ("Training", training),
        ("Training data", {name: value for name, value in data.items() if value is not None}),
    ]
    if closure is not None:
        groups.append(("Closure test", closure.provenance))
    if posterior is not None:
        groups.append(
            (
                "Posterior",
                {
                    "method": posterior.method,
                    "observed events": len(posterior.data.x),
                    "sampler": posterior.sampler,
                    **posterior.provenance,
                },
            )
        )
    return groups
