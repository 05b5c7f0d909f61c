"""How far validation events are from the learned manifold."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.flows import Flow
from lfi_mflow.flows.model_file import RESIDUAL_MASS
from lfi_mflow.simulation import effective_sample_size
from lfi_mflow.training.events import TrainingEvents

__all__ = ["distances_of_validation"]

_QUANTILES = 1001
_RESIDUAL_EVENTS = 100_000
"""Events whose residuals are kept in memory."""


@torch.no_grad()
def distances_of_validation(flow: Flow, events: TrainingEvents) -> dict[str, Any]:
    """Return 1001 quantiles of the distance of validation events to the manifold.

    Beside them, the width of the residuals of each observable; the mean distances to
    the plane of the first n principal axes, for a chart that is worse has learnt
    nothing, and to the centre of all events; and ``n_reference``, the effective number
    of validation events. All are weighted if the events are. Where there is no
    manifold, or no way to project on it, there is nothing to measure.
    """
    if flow.chart is None or "encode" in flow.lacks:
        return {}
    blocks: list[Tensor] = []
    residuals: list[Tensor] = []
    for batch in events.validation_events():
        x = batch.prepared
        plane, centre = (_axes_distance(flow, x, axes) for axes in (flow.latent_dim, 0))
        weight = torch.ones_like(plane) if batch.weight is None else batch.weight
        residual = x - flow.project(x, batch.theta)
        blocks.append(torch.stack((residual.norm(dim=-1), plane, centre, weight)).cpu().double())
        if sum(map(len, residuals)) < _RESIDUAL_EVENTS:
            residuals.append(residual[:_RESIDUAL_EVENTS].cpu().double())
    # numpy, because torch.quantile refuses more than 16 million values
    levels = np.linspace(0, 1, _QUANTILES)
    distances, planes, centres, weights = torch.cat(blocks, dim=1).numpy()
    return {
        "distance_quantiles": [float(value) for value in _quantiles(distances, weights, levels)],
        "residual_widths": _widths(torch.cat(residuals).numpy(), weights),
        "plane_distance": float(np.average(planes, weights=weights)),
        "centre_distance": float(np.average(centres, weights=weights)),
        "n_reference": max(1, round(effective_sample_size(weights))),
    }


def _quantiles(values: np.ndarray, weights: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Quantiles at some levels; those of a weighted sample are members of it."""
    if np.ptp(weights) == 0.0:
        return np.quantile(values, levels)
    there = weights > 0.0
    return np.quantile(values[there], levels, method="inverted_cdf", weights=weights[there])


def _widths(residuals: np.ndarray, weights: np.ndarray) -> list[float]:
    """Return the half-widths that hold 68 % of the residuals of each observable: (B, d) -> d."""
    weights, level = weights[: len(residuals)], np.array([RESIDUAL_MASS])
    return [float(_quantiles(column, weights, level)[0]) for column in np.abs(residuals.T)]


def _axes_distance(flow: Flow, x: Tensor, axes: int) -> Tensor:
    """Distance of events to the plane of the first principal axes: (B, d) -> (B,)."""
    standardised = flow.standardisation.inverse(x)
    standardised[..., axes:] = 0
    return (x - flow.standardisation(standardised)).norm(dim=-1)
