"""Densities that are linear between nodes: where a point lies, and quantiles."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["locate", "quantiles"]


def locate(axis: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Interval and relative position within it of points: (..., M), (..., n) -> (..., n) twice."""
    index = torch.searchsorted(axis.contiguous(), points.contiguous(), right=True) - 1
    index = index.clamp(0, axis.shape[-1] - 2)
    start = axis.gather(-1, index)
    share = (points - start) / (axis.gather(-1, index + 1) - start)
    return index, share.clamp(0.0, 1.0)


def quantiles(axis: Tensor, density: Tensor, levels: Tensor) -> Tensor:
    """Quantiles of a piecewise linear density.

    Arguments:
        axis: Nodes, with shape (..., M).
        density: Density at the nodes, not necessarily normalised, with shape (..., M).
        levels: Probabilities, with shape (..., n).

    Returns:
        Quantiles, with shape (..., n).
    """
    mass = torch.cumulative_trapezoid(density, axis, dim=-1)
    mass = torch.cat([torch.zeros_like(mass[..., :1]), mass], dim=-1)
    wanted = levels * mass[..., -1:]
    index = torch.searchsorted(mass.contiguous(), wanted.contiguous(), right=True) - 1
    index = index.clamp(0, axis.shape[-1] - 2)
    start, left, right = (t.gather(-1, index) for t in (axis, density, density.roll(-1, -1)))
    width = axis.gather(-1, index + 1) - start
    # The root of left s + (right - left) s^2 / 2 = rest, in the form without cancellation.
    rest = (wanted - mass.gather(-1, index)) / width
    root = torch.sqrt((left.square() + 2.0 * (right - left) * rest).clamp(min=0.0))
    share = 2.0 * rest / (left + root).clamp(min=torch.finfo(axis.dtype).tiny)
    return start + width * share.clamp(0.0, 1.0)
