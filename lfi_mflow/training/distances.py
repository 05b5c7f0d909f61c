"""How far validation events are from the learned manifold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.flows import Flow
from lfi_mflow.simulation import effective_sample_size
from lfi_mflow.training.events import TrainingEvents

__all__ = ["distances_of_validation"]

_QUANTILES = 1001


@torch.no_grad()
def distances_of_validation(flow: Flow, events: TrainingEvents) -> dict[str, Any]:
    """Return 1001 quantiles of the distance of validation events to the manifold.

    Beside them, the mean distances to the plane of the first n principal axes, for
    a chart that is worse has learnt nothing, and to the centre of all events; and
    ``n_reference``, the effective number of validation events. All are weighted if
    the events are. Where there is no manifold, or no way to project on it, there is
    nothing to measure.
    """
    if flow.chart is None or "encode" in flow.lacks:
        return {}
    blocks: list[Tensor] = []
    for batch in events.validation_events():
        x = batch.prepared
        plane, centre = (_axes_distance(flow, x, axes) for axes in (flow.latent_dim, 0))
        weight = torch.ones_like(plane) if batch.weight is None else batch.weight
        columns = (flow.reconstruction_error(x, batch.theta), plane, centre, weight)
        blocks.append(torch.stack(columns).cpu().double())
    # numpy, because torch.quantile refuses more than 16 million values
    distances, planes, centres, weights = torch.cat(blocks, dim=1).numpy()
    return {
        "distance_quantiles": [float(value) for value in _quantiles(distances, weights)],
        "plane_distance": float(np.average(planes, weights=weights)),
        "centre_distance": float(np.average(centres, weights=weights)),
        "n_reference": max(1, round(effective_sample_size(weights))),
    }


def _quantiles(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Quantiles at evenly spaced levels; those of a weighted sample are members of it."""
    levels = np.linspace(0, 1, _QUANTILES)
    if np.ptp(weights) == 0.0:
        return np.quantile(values, levels)
    there = weights > 0.0
    return np.quantile(values[there], levels, method="inverted_cdf", weights=weights[there])


def _axes_distance(flow: Flow, x: Tensor, axes: int) -> Tensor:
    """Distance of events to the plane of the first principal axes: (B, d) -> (B,)."""
    standardised = flow.standardisation.inverse(x)
    standardised[..., axes:] = 0
    return (x - flow.standardisation(standardised)).norm(dim=-1)
