"""The sections of a report about observed events: posterior, manifold, predictive check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lfi_mflow.inference import (
    ObservedEvents,
    Posterior,
    PredictiveCheck,
    posterior_shifts,
)
from lfi_mflow.plots import (
    corner_figure,
    off_manifold_figure,
    predictive_figure,
    profile_figure,
    trace_figure,
)
from lfi_mflow.report.markup import (
    figure_block,
    number,
    paragraph,
    picture_block,
    section,
    table,
    text,
)

__all__ = ["observed_section", "off_manifold_section", "predictive_section"]

_SHOWN = 20


def observed_section(posterior: Posterior, labels: Sequence[str]) -> str:
    """Show the posterior of observed events.

    Arguments:
        posterior: The posterior; the draws of a grid are independent and have no trace.
        labels: Labels of the p parameters.
    """
    summary = posterior.summary()
    columns = ("mean", "sd", "q16", "q50", "q84", "r_hat", "ess")
    rows = [
        (text(name), *(number(row.get(column), 4) for column in columns))
        for name, row in summary["parameters"].items()
    ]
    head = ("Parameter", "mean", "sd", "16 %", "median", "84 %", "R-hat", "ESS")
    return section(
        "observed",
        "Posterior of the observed events",
        paragraph(_words(posterior, summary)),
        table(head, rows),
        *_removal(posterior),
        *_figures(posterior, labels),
    )


def off_manifold_section(
    data: ObservedEvents, quantiles: ArrayLike | None, labels: Sequence[str]
) -> str:
    """Show how far the observed events are from the manifold, and in which observables.

    Arguments:
        data: The observed events.
        quantiles: Quantiles of the distances of validation events; None if there are none.
        labels: Labels of the d observables.
    """
    if quantiles is None or data.distance is None:
        return ""
    off = data.off_manifold_events
    words = f"{len(off):,} of {len(data.x):,} observed events are off the manifold"
    if len(data.removed):
        words += ", and the posterior does not use them"
    listed = ", ".join(str(row) for row in data.rows[off[:_SHOWN]])
    more = ", …" if len(off) > _SHOWN else ""
    words += f" (rows {listed}{more})." if len(off) else "."
    culprit = None if data.suspicion is None else data.suspicion.culprit
    if culprit is not None:
        words += f" {culprit} alone explains them: the others lead back to the manifold."
    figure = figure_block(
        off_manifold_figure(data, quantiles, labels),
        "Left: the share of events that are farther from the manifold; observed events should "
        "follow the validation events. Right: how wide the residuals of each observable are, in "
        "that of validation events: 1 is as it should be. A broken detector channel makes its own "
        "observable stand out.",
        description="distances of observed events to the manifold",
    )
    return section(
        "off-manifold", "Are the observed events on the manifold?", paragraph(words), figure
    )


def predictive_section(check: PredictiveCheck | None, labels: Sequence[str]) -> str:
    """Show observed events against those that the model generates at the posterior.

    Arguments:
        check: The predictive check; None if there is none.
        labels: Labels of the d observables.
    """
    if check is None:
        return ""
    compared = f"{check.n_events:,}"
    if check.n_events < check.n_observed:
        compared += f" of {check.n_observed:,}"
    words = (
        f"{compared} observed events against {check.n_sets:,} sets of as many that the model "
        f"generates at draws of the posterior. Smallest p-value of the "
        f"{len(check.observables)} observables, times their number: {check.p_value:.2g}."
    )
    figure = figure_block(
        predictive_figure(check, labels),
        "Bands hold 68 % and 95 % of the generated sets. The p-value is the share of them whose "
        "Anderson-Darling distance is as large as that of the observed events; as the posterior "
        "has seen these, it is larger than a p-value should be, and a small one means more.",
        description="observed and generated histograms of the observables",
    )
    title = "Predictive check: does the model generate such events?"
    return section("predictive", title, paragraph(words), figure)


def _words(posterior: Posterior, summary: Mapping[str, Any]) -> str:
    """Say how the draws were made, and of which events."""
    chains, draws = posterior.draws.shape[:2]
    words = f"{chains * draws:,} draws by {posterior.method}."
    p_value = summary.get("off_manifold_p_value")
    if p_value is not None:
        words += f" Off-manifold p-value of the observed events: {p_value:.3g}."
    return words


def _removal(posterior: Posterior) -> Iterator[str]:
    """Compare the posteriors with and without the events off the manifold."""
    removal, data = posterior.removal, posterior.data
    if removal is None or not len(data.removed):
        return
    before, shifts = removal.with_outliers["parameters"], posterior_shifts(posterior)
    rows = [
        (
            text(name),
            *(number(before[name][column], 4) for column in ("mean", "sd")),
            *(number(row[column], 4) for column in ("mean", "sd")),
            number(shifts[name], 2),
        )
        for name, row in posterior.statistics.items()
    ]
    yield paragraph(
        f"{len(data.removed):,} of {len(data.x):,} events are off the manifold and were left out. "
        f"The cut takes {removal.loss:.2g} of the simulator's own events: if these tell of the "
        "parameters something else than the others, it biases the posterior. With all events:"
    )
    head = ("Parameter", "mean, all", "sd, all", "mean, without", "sd, without", "shift / sd")
    yield table(head, rows)


def _figures(posterior: Posterior, labels: Sequence[str]) -> Iterator[str]:
    """Corner, profile and trace."""
    chains = np.asarray(posterior.draws, dtype=float)
    flat = chains.reshape(-1, chains.shape[-1])
    yield figure_block(
        corner_figure(flat, labels),
        "Marginal posteriors with median and central 68 %."
        + " Contours hold 68 % and 95 %, regions of highest density." * (len(labels) > 1),
        description="marginal posterior densities",
    )
    yield figure_block(
        profile_figure(flat, posterior.log_prob.ravel(), labels),
        "The marginal integrates over the other parameters, the profile takes the best of them "
        "among the draws. Where they differ, the intervals depend on which one is meant.",
        description="marginal and profile of each parameter",
    )
    if posterior.method != "grid":
        yield picture_block(
            trace_figure(chains, labels),
            "The draws in order: chains that have mixed look alike. Right: how often each chain is "
            "in each part of the ranks of all draws; within the band are 99 % of independent ones.",
            description="traces of the chains",
        )
