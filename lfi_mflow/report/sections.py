"""The sections of a report, from the records they show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lfi_mflow.closure import METRICS, ClosureReport, Metric
from lfi_mflow.plots import (
    PointCloud,
    PosteriorCurve,
    coverage_figure,
    posterior_figure,
    sbc_figure,
    surface_figure,
    training_figure,
)
from lfi_mflow.report.cautions import Caution
from lfi_mflow.report.markup import (
    chip,
    figure_block,
    paragraph,
    picture_block,
    section,
    table,
    text,
    tree,
    with_uncertainty,
)
from lfi_mflow.report.metric_words import METRIC_WORDS

__all__ = [
    "calibration_section",
    "cautions_section",
    "metrics_section",
    "posterior_section",
    "provenance_section",
    "surface_section",
    "training_section",
]
_SIGNS = {"at_most": "≤", "at_least": "≥", "compatible_with": "≈"}


def metrics_section(closure: ClosureReport | None) -> str:
    """Metrics against their targets."""
    if closure is None:
        return ""
    known = [name for name in METRICS if name in closure.metrics]
    extra = [name for name in closure.metrics if name not in METRICS]
    rows = [_metric_row(name, closure.metrics[name]) for name in (*known, *extra)]
    rows += [
        (_metric_name(name), "–", "–", chip("not tested", "plain")) for name in closure.skipped
    ]
    return section(
        "closure",
        "Closure: does the model reproduce what is known?",
        table(("Metric", "Measured", "Target", ""), rows, "metrics"),
        paragraph("Uncertainties are one standard error from the finite test samples.", "small"),
    )


def cautions_section(cautions: Sequence[Caution]) -> str:
    """Warnings in words, the serious ones first."""
    ordered = sorted(cautions, key=lambda caution: caution.level != "serious")
    items = "\n".join(f'<li class="{c.level}">{text(c.words)}</li>' for c in ordered)
    return section("warnings", "Warnings", f'<ul class="cautions">{items}</ul>' if items else "")


def surface_section(curves: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Show generated events beside simulated ones.

    Arguments:
        curves: ``truth`` and ``model``, each with ``x`` and, where known,
            ``log_prob`` and ``distance``.
        labels: Labels of the observables.
    """
    truth, model = curves.get("truth"), curves.get("model")
    clouds = [
        PointCloud(title, cloud["x"], cloud.get("log_prob"), "log density")
        for title, cloud in (("Simulated events", truth), ("Learned manifold", model))
        if cloud
    ]
    if not clouds:
        return ""
    projected = "" if len(labels) <= 3 else " Drawn are the three leading principal components."
    blocks = [
        picture_block(
            surface_figure(clouds, labels),
            "Events of the simulator and of the model for the same draws of theta from the prior, "
            "coloured by the log-density at the reference theta where it is known." + projected,
            description="point clouds of the true and the learned manifold",
        )
    ]
    if model and model.get("distance") is not None:
        title, label = "Error of the learned manifold", "distance to the true manifold"
        cloud = PointCloud(title, model["x"], model["distance"], label, log_scale=True)
        blocks.append(
            picture_block(
                surface_figure([cloud], labels),
                "The generated events again, coloured by their distance to the true manifold, in "
                "the units of the observables: dark regions are those to train better.",
                description="generated events coloured by their distance to the true manifold",
            )
        )
    return section("manifold", "The learned manifold", *blocks)


def posterior_section(rows: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    """Posteriors of simulated observations against the exact ones.

    Arguments:
        rows: Fields of a :class:`PosteriorCurve` and the name of its ``parameter``.
        labels: Labels of the parameters by name.
    """
    figures = [
        figure_block(
            posterior_figure(_curves(rows, name), label),
            "Each panel is one simulated set of events with known theta. Where the exact posterior "
            "is drawn, the two curves should coincide; how far both are from the truth is chance.",
            description=f"posterior densities of {name}",
        )
        for name, label in labels.items()
        if _curves(rows, name)
    ]
    return section("posterior", "Posterior against the exact posterior", *figures)


def calibration_section(curves: Mapping[str, Any], labels: Sequence[str]) -> str:
    """Ranks of the truth and coverage of credible regions, each with its band.

    Arguments:
        curves: Curves of a closure test; ``sbc``, ``coverage`` and ``tarp`` are drawn.
        labels: Labels of the parameters.
    """
    blocks = []
    sbc, coverage = curves.get("sbc"), _coverage(curves, labels)
    if sbc:
        blocks.append(
            figure_block(
                sbc_figure(sbc["ranks"], int(sbc["n_draws"]), labels),
                "Simulation-based calibration. Left: the distribution of the rank of the truth, "
                "less a uniform one, must stay within the grey band. An S that rises first means "
                "posteriors that are too narrow, one that falls first too wide, an arch shifted.",
                description="distribution of the ranks of the true parameters",
            )
        )
    if coverage:
        n_draws = int((curves.get("coverage") or curves["tarp"])["n_draws"])
        blocks.append(
            figure_block(
                coverage_figure(coverage, n_draws),
                "How often regions of a credibility hold the truth: above the band they are "
                "too wide, below it too narrow. Dotted: 68 % and 95 %. For the reference points "
                "of TARP, a curve that bends to one side everywhere means shifted posteriors.",
                description="coverage of credible regions against their credibility",
            )
        )
    title = "Calibration: are credible intervals as wide as they should be?"
    return section("calibration", title, *blocks) if blocks else ""


def training_section(history: Mapping[str, Any]) -> str:
    """Loss curves."""
    phases = history.get("phases", [])
    if not phases:
        return ""
    words = "; ".join(
        f"{phase.get('name', 'phase')}: {len(phase.get('epochs', []))} epochs"
        + (f" in {phase['seconds']:.0f} s" if phase.get("seconds") is not None else "")
        for phase in phases
    )
    return section(
        "training",
        "Training",
        figure_block(
            training_figure(history),
            f"Loss and learning rate of every phase ({words}).",
            description="training and validation loss",
        ),
    )


def provenance_section(groups: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Where everything came from."""
    blocks = [f"<h3>{text(title)}</h3>{tree(values)}" for title, values in groups if values]
    return section("provenance", "Provenance", *blocks)


def _metric_row(name: str, metric: Metric) -> tuple[str, str, str, str]:
    """One row of the table of metrics."""
    if metric.target is None:
        target, verdict = "–", chip("no target", "plain")
    else:
        target = f"{_SIGNS[metric.comparison or 'at_most']} {metric.target:g}"
        verdict = chip("passed", "good") if metric.passed else chip("missed", "bad")
    return (
        _metric_name(name),
        with_uncertainty(metric.value, metric.uncertainty),
        target,
        verdict,
    )


def _metric_name(name: str) -> str:
    """Name and meaning of a metric."""
    title, meaning = METRIC_WORDS.get(name, (name.replace("_", " "), ""))
    return f"{text(title)}<small>{text(meaning)}</small>" if meaning else text(title)


def _curves(rows: Sequence[Mapping[str, Any]], name: str) -> list[PosteriorCurve]:
    """Select the posterior curves of one parameter."""
    return [
        PosteriorCurve(**{key: value for key, value in row.items() if key != "parameter"})
        for row in rows
        if row.get("parameter", name) == name
    ]


def _coverage(curves: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    """Collect the counts of draws within each kind of region, by title."""
    regions: dict[str, Any] = {}
    coverage, tarp = curves.get("coverage"), curves.get("tarp")
    if coverage:
        regions["highest density"] = coverage["hpd"]
        central = np.asarray(coverage["central"]).T
        regions |= {
            f"central, {label}": column for label, column in zip(labels, central, strict=True)
        }
    if tarp:
        regions["TARP"] = tarp["ranks"]
    return regions
