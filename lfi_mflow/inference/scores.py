"""Events on and off the manifold: latents, projections, distances, densities.

One pass of a model over events serves three purposes at once. The latents are
a reduction to n dimensions, the projection removes what does not belong to the
manifold (noise), and the distance between the two tells events that come from
elsewhere. The density is that of the projection.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.off_manifold import tail_probabilities

__all__ = ["Scores", "score_batch", "score_events"]

_BATCH = 8192


@dataclass(frozen=True)
class Scores:
    """What a model says of events, with leading shape (N,), or () for one event.

    Arguments:
        latent: Coordinates u on the manifold, with shape (..., n).
        projection: The event x' on the manifold, with shape (..., d).
        distance: Distance |x - x'| in the units of the observables, with shape (...).
        tail_probability: Share of validation events that are at least as far from
            the manifold, with shape (...); None if the model does not know. Small
            values mean that an event comes from elsewhere.
        log_prob: Log-density of x' at theta, with shape (...), with respect to the
            ``reference`` measure of the flow; None if there is no theta, or no density.
    """

    latent: NDArray[np.floating]
    projection: NDArray[np.floating]
    distance: NDArray[np.floating]
    tail_probability: NDArray[np.float64] | None = None
    log_prob: NDArray[np.floating] | None = None

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return the arrays that are present, by name."""
        present = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: array for name, array in present if array is not None}

    def finite(self) -> NDArray[np.bool_]:
        """Return which events could be scored, with shape (N,)."""
        finite = np.isfinite(self.distance) & np.isfinite(self.latent).all(axis=-1)
        # An event may be impossible at theta, but its density must be a number.
        return finite if self.log_prob is None else finite & ~np.isnan(self.log_prob)


def score_events(model: Model, x: ArrayLike, theta: ArrayLike | None = None) -> Scores:
    """Encode events, project them on the manifold, and say how far they were and how likely.

    Arguments:
        model: A trained model.
        x: Events, with shape (N, d), or one with shape (d,).
        theta: Parameters of each event, with shape (N, p), or of all, with shape
            (p,); None leaves the log-density out, which saves the volume term. A
            model without parameters needs none, one with a conditional chart does.

    Returns:
        Scores in the precision of the flow, as numpy arrays.

    Raises:
        InputError: If the shapes do not fit the model, or its chart needs a theta.
        ModelMismatchError: If the model has no encoder.
        DataError: If an event cannot be scored: it, or its theta, is not finite,
            or absurdly far away.

    Example:
        >>> score_events(model, x).distance.shape  # doctest: +SKIP
        (20,)
    """
    events = np.asarray(x, dtype=np.float64)
    d = model.flow.data_dim
    if events.ndim not in (1, 2) or events.shape[-1] != d or not events.size:
        raise InputError(
            f"events of shape (N, {d}) or ({d},)", f"shape {events.shape}", "one column each"
        )
    rows = np.atleast_2d(events)
    scores = score_batch(model, rows, _broadcast(theta, len(rows), model.flow.theta_dim))
    bad = np.flatnonzero(~scores.finite())
    if len(bad):
        raise DataError(
            "events that the model can score",
            f"{len(bad)} of {len(rows)} without a finite result, the first in row {bad[0]}",
            "check these rows for NaN, infinite or absurdly large values",
        )
    if events.ndim == 2:
        return scores
    return Scores(**{name: array[0] for name, array in scores.columns().items()})


def score_batch(
    model: Model, x: NDArray[np.floating], theta: NDArray[np.floating] | None
) -> Scores:
    """Score events of the right shapes; what cannot be scored is not finite.

    Arguments:
        model: A trained model.
        x: Events, with shape (N, d).
        theta: Parameters, with shape (N, p), or None.
    """
    like = next(model.flow.parameters())
    parts = []
    for start in range(0, len(x), _BATCH):
        chosen = slice(start, start + _BATCH)
        given = None if theta is None else _tensor(theta[chosen], like)
        parts.append(_evaluate(model.flow, _tensor(x[chosen], like), given))
    arrays = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
    quantiles = model.metadata.training.get("distance_quantiles")
    tail = None if quantiles is None else _tail(arrays["distance"], quantiles)
    return Scores(tail_probability=tail, **arrays)


@torch.no_grad()
def _evaluate(flow: Flow, x: Tensor, theta: Tensor | None) -> dict[str, Tensor]:
    """Run the flow over one batch; the volume term only if it is needed."""
    scores = {}
    if theta is not None and "log_prob" not in flow.lacks:
        scores["log_prob"] = flow.log_prob(x, theta)
    u = flow.encode(x, theta)
    projection = flow.decode(u, theta)
    distance = torch.linalg.vector_norm(x - projection, dim=-1)
    return {"latent": u, "projection": projection, "distance": distance, **scores}


def _tail(distance: NDArray[np.floating], quantiles: ArrayLike) -> NDArray[np.float64]:
    """Tail probabilities of distances; NaN where a distance is none."""
    tail = np.full(len(distance), np.nan)
    finite = np.isfinite(distance)
    if finite.any():
        tail[finite] = tail_probabilities(distance[finite], quantiles)
    return tail


def _tensor(values: NDArray[np.floating], like: Tensor) -> Tensor:
    """Bring an array to the device and the precision of the flow."""
    return torch.tensor(values).to(like)


def _broadcast(theta: ArrayLike | None, n: int, p: int) -> NDArray[np.float64] | None:
    """Return theta with one row per event; without parameters there is only one theta."""
    if theta is None:
        return np.empty((n, 0)) if p == 0 else None
    values = np.asarray(theta, dtype=np.float64)
    if values.shape not in ((p,), (1, p), (n, p)):
        raise InputError(
            f"theta of shape ({p},) or ({n}, {p})", f"shape {values.shape}", "one column each"
        )
    return np.broadcast_to(values, (n, p))
