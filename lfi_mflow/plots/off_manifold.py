"""Distances of observed events to the manifold, and the observables that carry them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import DataError
from lfi_mflow.inference.observed import ObservedEvents
from lfi_mflow.plots.style import BAND, EXACT, INK, MODEL, MUTED, new_figure, tidy

__all__ = ["off_manifold_figure"]

Array = NDArray[np.float64]

_MAX_BARS = 14


def off_manifold_figure(
    data: ObservedEvents, reference_quantiles: ArrayLike, labels: Sequence[str]
) -> Figure:
    """Draw how far observed events are from the manifold, and in which observables.

    Left: the share of events beyond each distance, observed and of validation events;
    those off the manifold are marked. Right: the width of the residuals of each
    observable in that of validation events, of all events and of those off the
    manifold; of many observables, the widest.

    Arguments:
        data: The observed events, with their distances.
        reference_quantiles: Quantiles of the distances of validation events at evenly
            spaced levels from 0 to 1, with shape (Q,).
        labels: Labels of the d observables.

    Raises:
        DataError: If the distances are not known.
    """
    if data.distance is None:
        raise DataError(
            "observed events with their distances to the manifold",
            "events without",
            "infer with a model that has a manifold",
        )
    bars = data.residual is not None
    height = 3.5 if not bars else max(3.5, 1.1 + 0.24 * min(len(labels), _MAX_BARS))
    figure = new_figure(9.2 if bars else 5.2, height)
    left = figure.add_subplot(1, 2 if bars else 1, 1)
    _draw_distances(left, data, np.sort(np.asarray(reference_quantiles, dtype=float)))
    if bars:
        _draw_residuals(figure.add_subplot(1, 2, 2), data, labels)
    return figure


def _draw_distances(axes: Axes, data: ObservedEvents, quantiles: Array) -> None:
    """Share of events beyond each distance, on logarithmic scales."""
    distance = np.asarray(data.distance, dtype=float)
    smallest = np.finfo(float).tiny
    floor = max(float(quantiles[len(quantiles) // 50]), float(quantiles[-1]) * 1e-6, smallest)
    share = 1.0 - np.linspace(0.0, 1.0, len(quantiles))
    axes.fill_between(np.maximum(quantiles, floor), share, color=BAND, alpha=0.6, lw=0)
    axes.plot(np.maximum(quantiles, floor), share, color=MUTED, lw=1.3, label="validation events")
    order = np.argsort(distance)
    beyond = 1.0 - (np.arange(len(distance)) + 0.5) / len(distance)
    axes.plot(
        np.maximum(distance[order], floor),
        beyond,
        drawstyle="steps-mid",
        color=MODEL,
        lw=1.5,
        label="observed events",
    )
    off = np.isin(order, data.off_manifold_events)
    if off.any():
        name = "off the manifold" + (", removed" if len(data.removed) else "")
        axes.plot(
            np.maximum(distance[order][off], floor), beyond[off], "x", color=EXACT, ms=6, label=name
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(min(0.5 / len(distance), 1e-3) * 0.7, 1.4)
    tidy(axes, "distance to the manifold", "share of events beyond")
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")


def _draw_residuals(axes: Axes, data: ObservedEvents, labels: Sequence[str]) -> None:
    """Width of the residuals of each observable, those off the manifold apart."""
    everything = np.array(list((data.widths() or {}).values()))
    off = data.widths(data.off_manifold_events)
    apart = everything if off is None else np.array(list(off.values()))
    chosen = np.sort(np.argsort(-np.maximum(everything, apart), kind="stable")[:_MAX_BARS])[::-1]
    place = np.arange(len(chosen))
    name = "all events" if off is not None else "observed events"
    half = 0.38 if off is not None else 0.6
    shift = half / 2 if off is not None else 0.0
    # Bars that start at the ratio of one: they go left where residuals are narrower.
    axes.barh(place + shift, everything[chosen] - 1, half, left=1.0, color=MODEL, label=name)
    if off is not None:
        axes.barh(
            place - shift,
            apart[chosen] - 1,
            half,
            left=1.0,
            color=EXACT,
            label="off the manifold",
        )
    axes.axvline(1.0, color=INK, lw=1.0)
    axes.set_xscale("log")
    largest = max(float(everything.max()), float(apart.max()), 3.0)
    axes.set_xlim(min(0.5, 0.8 * float(everything.min())), 1.4 * largest)
    axes.set_yticks(place, [labels[k] for k in chosen])
    tidy(axes, "width of the residual / that of validation events", "")
    axes.grid(visible=False, axis="y")
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        axes.figure.legend(
            handles, names, loc="outside upper right", ncols=2, frameon=False, fontsize=8.5
        )
