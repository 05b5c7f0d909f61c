"""The events that a posterior is given, and what the model says of them.

The likelihood is that of the projections and knows nothing of the rest. What it
leaves out stands here: how far each event is from the manifold, which observable
carries the difference, which events do not belong, and whether they were used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.off_manifold import (
    off_manifold_events,
    off_manifold_p_value,
    reference_size,
)
from lfi_mflow.inference.residuals import (
    Suspicion,
    residual_ratios,
    standardised_residuals,
    suspect_observable,
    wide_observables,
)

__all__ = [
    "ObservedEvents",
    "Removal",
    "judge_events",
    "observed_header",
    "observed_variables",
    "read_observed_events",
]

Array = NDArray[np.float64]

_OPTIONAL = ("distance", "residual", "row")


@dataclass(frozen=True)
class ObservedEvents:
    """The events that a posterior is given.

    Arguments:
        x: Events, with shape (N, d).
        observables: Names of the d observables.
        off_manifold_p_value: Whether those that were used are on the manifold, None if
            not tested.
        off_manifold_events: Indices of those that are not, with shape (K,), the farthest
            first.
        distance_ratio: Their median distance to the manifold, relative to that of
            the validation events. Among very many events the p-value finds
            differences that are too small to matter; this says how large they are.
        distance: Distance of each event to the manifold, in the units of the
            observables, with shape (N,); None if there is no manifold.
        residual: Difference of each observable to the projection, in widths of that of
            validation events, with shape (N, d); None if the model does not know them.
        row: Row of each event in its file, with shape (N,); None if it came from none.
        used: Whether the posterior uses the event, with shape (N,); None for all.
        suspicion: Whether a single observable explains the events off the manifold;
            None if it was not looked at.
    """

    x: NDArray[np.floating]
    observables: tuple[str, ...]
    off_manifold_p_value: float | None = None
    off_manifold_events: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))
    distance_ratio: float | None = None
    distance: NDArray[np.floating] | None = None
    residual: NDArray[np.floating] | None = None
    row: NDArray[np.intp] | None = None
    used: NDArray[np.bool_] | None = None
    suspicion: Suspicion | None = None

    @property
    def kept(self) -> NDArray[np.floating]:
        """The events that the posterior uses, with shape (M, d)."""
        return self.x if self.used is None else self.x[self.used]

    @property
    def removed(self) -> NDArray[np.intp]:
        """Indices of the events that the posterior does not use."""
        return np.zeros(0, np.intp) if self.used is None else np.flatnonzero(~self.used)

    @property
    def rows(self) -> NDArray[np.intp]:
        """Row of each event in its file, or its number where there is no file: (N,)."""
        return np.arange(len(self.x)) if self.row is None else self.row

    def widths(self, events: NDArray[np.intp] | None = None) -> dict[str, float] | None:
        """Width of the residuals of each observable, in that of validation events.

        Arguments:
            events: Indices of the events that are meant; None for all.
        """
        if self.residual is None:
            return None
        chosen = self.residual if events is None else self.residual[events]
        if not len(chosen):
            return None
        return dict(zip(self.observables, map(float, residual_ratios(chosen)), strict=True))

    def wide(self) -> dict[str, float]:
        """Observables of all events with residuals that are too wide, and how wide."""
        if self.residual is None:
            return {}
        ratios = residual_ratios(self.residual)
        return {self.observables[k]: float(ratios[k]) for k in wide_observables(self.residual)}


@dataclass(frozen=True)
class Removal:
    """What the removal of events off the manifold costs and changes.

    Arguments:
        loss: Share of the simulator's own events that are as far from the manifold
            as the nearest event that was removed: each true event is lost with this
            probability.
        with_outliers: Summary of the posterior of all events, as
            ``Posterior.summary()`` gives it.
    """

    loss: float
    with_outliers: Mapping[str, Any]


def judge_events(
    model: Model, x: NDArray[np.floating], distance: Array, theta: Tensor | None = None
) -> ObservedEvents:
    """Compare distances and residuals of events with those of the validation events.

    Arguments:
        model: A trained model.
        x: Events, with shape (N, d).
        distance: Their distances to the manifold, with shape (N,).
        theta: Parameters, with shape (p,), if the manifold depends on them.
    """
    training = model.metadata.training
    observables = tuple(model.metadata.events.observable_names)
    quantiles = training.get("distance_quantiles")
    if quantiles is None:
        return ObservedEvents(x, observables)
    off = off_manifold_events(distance, quantiles)
    widths = training.get("residual_widths")
    residual = suspicion = None
    if widths is not None:
        residual = standardised_residuals(model.flow, x, widths, theta)
        wide = len(wide_observables(residual)) > 0
        if len(off) or wide:
            suspects = x if wide else x[off]
            suspicion = suspect_observable(model.flow, suspects, widths, observables, theta)
    return ObservedEvents(
        x,
        observables,
        off_manifold_p_value(distance, quantiles, reference_size(training)),
        off,
        float(np.median(distance) / max(quantiles[len(quantiles) // 2], np.finfo(float).tiny)),
        distance=distance,
        residual=residual,
        suspicion=suspicion,
    )


def observed_variables(data: ObservedEvents) -> dict[str, NDArray[Any]]:
    """Return the arrays of observed events as variables of a file, those that are there."""
    off = np.zeros(len(data.x), dtype=np.int8)
    off[data.off_manifold_events] = 1
    variables = {
        "x": data.x,
        "off_manifold": off,
        "used": None if data.used is None else data.used.astype(np.int8),
        **{name: getattr(data, name) for name in _OPTIONAL},
    }
    return {name: values for name, values in variables.items() if values is not None}


def observed_header(data: ObservedEvents) -> dict[str, Any]:
    """Return what else there is to say of observed events, as plain values."""
    suspicion = data.suspicion
    return {
        "observables": list(data.observables),
        "off_manifold_p_value": data.off_manifold_p_value,
        "distance_ratio": data.distance_ratio,
        "remaining": None if suspicion is None else suspicion.remaining.tolist(),
    }


def read_observed_events(group: Mapping[str, Any], header: Mapping[str, Any]) -> ObservedEvents:
    """Rebuild observed events from :func:`observed_variables` and :func:`observed_header`.

    Files of earlier versions lack what they did not know.
    """
    arrays = {name: np.asarray(group[name][...]) for name in _OPTIONAL if name in group}
    off = np.flatnonzero(group["off_manifold"][...])
    if "distance" in arrays:
        off = off[np.argsort(-arrays["distance"][off], kind="stable")]
    observables = tuple(header["observables"])
    remaining = header.get("remaining")
    return ObservedEvents(
        x=np.asarray(group["x"][...]),
        observables=observables,
        off_manifold_p_value=header["off_manifold_p_value"],
        off_manifold_events=off,
        distance_ratio=header["distance_ratio"],
        used=np.asarray(group["used"][...]).astype(bool) if "used" in group else None,
        suspicion=None if remaining is None else Suspicion(observables, np.asarray(remaining)),
        **arrays,
    )
