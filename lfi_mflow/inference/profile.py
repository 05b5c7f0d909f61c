"""Profiling: the best values of some parameters at many values of the others.

A Newton iteration for all points at once. The nuisance parameters are constrained by
Gaussians, so that the likelihood is nearly quadratic in them; derivatives are by
differences, all of them in one call of the likelihood, which need not know how to
differentiate itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.simulation import Array

__all__ = ["profile"]

_ROUNDS = 15
_STEP = 0.05
_HALVINGS = 6


def profile(
    density: LogPosterior,
    theta: Tensor,
    free: Sequence[int],
    widths: Array,
    ends: tuple[Array, Array],
) -> tuple[Tensor, Tensor]:
    """Maximise over some parameters at each of T points.

    Arguments:
        density: Log-likelihood: (..., p) -> (...).
        theta: Points, with shape (T, p); the free parameters start from what they are.
        free: Indices of the parameters to maximise over; with none of them, the points
            are only evaluated.
        widths: Scale of each free parameter, such as the width of its constraint.
        ends: Lower and upper ends of all parameters, each with shape (p,).

    Returns:
        The points with the best values of the free parameters, and the log-likelihood there.
    """
    theta, columns = theta.clone(), list(free)
    with torch.no_grad():
        value = density(theta)
        if not columns:
            return theta, value
        scale = torch.as_tensor(widths, dtype=torch.float64)
        low, high = (torch.as_tensor(end, dtype=torch.float64)[columns] for end in ends)
        for _ in range(_ROUNDS):
            move = _newton_step(density, theta, columns, scale)
            better, moved = _search(density, theta, value, columns, (move * scale, low, high))
            gain = (better - value).abs().max()
            theta, value = moved, better
            if gain < 1e-6:
                break
    return theta, value


def _newton_step(density: LogPosterior, theta: Tensor, free: list[int], scale: Tensor) -> Tensor:
    """Return the Newton step of the free parameters in units of their scale: (T, m)."""
    m = len(free)
    pairs = [(i, j) for i in range(m) for j in range(i)]
    units = torch.eye(m, dtype=torch.float64) * _STEP
    shifts = [torch.zeros(m, dtype=torch.float64), *units, *(-units)]
    shifts += [units[i] + units[j] for i, j in pairs]
    stencil = theta.unsqueeze(1).repeat(1, len(shifts), 1)
    stencil[..., free] += torch.stack(shifts) * scale
    values = density(stencil)
    centre, up, down = values[:, :1], values[:, 1 : m + 1], values[:, m + 1 : 2 * m + 1]
    gradient = (up - down) / (2.0 * _STEP)
    hessian = torch.diag_embed((up + down - 2.0 * centre) / _STEP**2)
    for column, (i, j) in enumerate(pairs, start=2 * m + 1):
        mixed = (values[:, column] - up[:, i] - up[:, j] + centre[:, 0]) / _STEP**2
        hessian[:, i, j] = hessian[:, j, i] = mixed
    # Where the likelihood is not concave, a step of a unit along the gradient.
    curvature, axes = torch.linalg.eigh(-hessian)
    along = (axes.mT @ gradient.unsqueeze(-1)).squeeze(-1) / curvature.clamp_min(0.1)
    return (axes @ along.clamp(-2.0, 2.0).unsqueeze(-1)).squeeze(-1)


def _search(
    density: LogPosterior,
    theta: Tensor,
    value: Tensor,
    free: list[int],
    step: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Go along a step as far as it helps: the best of its halves, quarters and so on."""
    move, low, high = step
    shares = 0.5 ** torch.arange(_HALVINGS, dtype=torch.float64)
    tried = theta.unsqueeze(1).repeat(1, _HALVINGS, 1)
    moved = tried[..., free] + shares[:, None] * move.unsqueeze(1)
    tried[..., free] = torch.minimum(torch.maximum(moved, low), high)
    values = torch.nan_to_num(density(tried), nan=-torch.inf)
    best, index = values.max(dim=1)
    better = best > value
    picked = tried[torch.arange(len(theta)), index]
    return torch.where(better, best, value), torch.where(better[:, None], picked, theta)
