"""Moments of events that come in blocks, weighted where the events are."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["WeightedBlock", "mean_and_spread", "moments"]

WeightedBlock = tuple[Tensor, Tensor | None]
"""Values (B, k) and their weights (B,), None where all are one; both in float64."""


def moments(blocks: Iterable[WeightedBlock]) -> tuple[Tensor, Tensor]:
    r"""Mean (k,) and covariance (k, k) of weighted values, in float64.

    Blocks are merged by the updates of Chan et al. (1983), which do not cancel. The
    covariance is unbiased for weights that are independent of the values' squares,

    .. math:: \sum_i w_i r_i r_i^T / (W - \sum_i w_i^2 / W), \quad W = \sum_i w_i ,

    and the usual one where all weights are equal.
    """
    total, squares, mean, scatter = 0.0, 0.0, torch.zeros(1), torch.zeros(1, 1)
    for values, weight in blocks:
        mass = float(len(values) if weight is None else weight.sum())
        if not mass:
            continue
        centre, inner = _of_block(values, weight)
        shift = centre - mean if total else torch.zeros_like(centre)
        merged = total + mass
        scatter = scatter + inner + torch.outer(shift, shift) * (total * mass / merged)
        mean = mean + shift * (mass / merged) if total else centre
        squares += float(len(values) if weight is None else weight.square().sum())
        total = merged
    left = total - squares / total if total else 0.0
    return mean, scatter / (left if left > 0.0 else 1.0)


def mean_and_spread(blocks: Iterable[WeightedBlock]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each column; 1 for a column that never changes."""
    mean, covariance = moments(blocks)
    spread = covariance.diagonal().sqrt()
    return mean, torch.where(spread > 1e-9 * mean.abs().clamp_min(1e-300), spread, 1.0)


def _of_block(values: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and scatter of a block."""
    if weight is None:
        centre = values.mean(dim=0)
        residual = values - centre
        return centre, residual.T @ residual
    centre = weight @ values / weight.sum()
    residual = values - centre
    return centre, (residual * weight[:, None]).T @ residual
