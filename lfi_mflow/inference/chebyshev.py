r"""Interpolation between Chebyshev nodes: few evaluations of a smooth function.

The log-likelihood of many events is smooth over the width of its posterior, and a
polynomial through its values at n Chebyshev-Lobatto nodes

.. math:: t_k = \tfrac12 \left(1 - \cos\frac{\pi k}{n - 1}\right), \quad k = 0 \ldots n - 1

converges faster than any power of n. The nodes of n = 5, 9, 17, 33, ... are nested: a
finer polynomial re-evaluates nothing, and its new nodes show how wrong the coarser
one was.

References:
    | Barycentric Lagrange Interpolation (Berrut & Trefethen, 2004)
    | https://doi.org/10.1137/S0036144502417715
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["chebyshev_nodes", "interpolate"]


def chebyshev_nodes(n: int) -> Tensor:
    """Chebyshev-Lobatto nodes on [0, 1] in rising order, float64, with shape (n,)."""
    angle = torch.arange(n, dtype=torch.float64) * (math.pi / (n - 1))
    return 0.5 * (1.0 - angle.cos())


def interpolate(values: Tensor, targets: Tensor) -> Tensor:
    """Evaluate the polynomial through values at Chebyshev nodes.

    Arguments:
        values: Values at the nodes, with shape (D, n) for one and (D, n, n) for two
            variables.
        targets: Points on [0, 1], the same for every variable, with shape (m,).

    Returns:
        Values at the targets, with shape (D, m) or (D, m, m).
    """
    matrix = _matrix(values.shape[-1], targets)
    for dim in range(1, values.ndim):
        values = torch.movedim(torch.movedim(values, dim, -1) @ matrix.T, -1, dim)
    return values


def _matrix(n: int, targets: Tensor) -> Tensor:
    """Matrix from values at n nodes to values at targets, with shape (m, n)."""
    weight = torch.ones(n, dtype=torch.float64)
    weight[1::2] = -1.0
    weight[[0, -1]] *= 0.5
    difference = targets.double().unsqueeze(-1) - chebyshev_nodes(n)
    hit = difference == 0.0
    terms = weight / torch.where(hit, 1.0, difference)
    terms = torch.where(hit.any(-1, keepdim=True), hit.double(), terms)
    return terms / terms.sum(-1, keepdim=True)
