r"""Maps of R^n to the unit sphere of n + 1 dimensions, whose volume is known.

The point u has the direction of the last n coordinates and a length s with
:math:`\sin^2(r/2) = 1 - e^{-s^2/n}`, where r is the angle from +e_1. For n = 2 equal
measures correspond: the standard normal distribution of u is the uniform one on the sphere.
For other n it is that times a power of s in the tails. On the circle (n = 1) the
angle :math:`2 \pi \Phi(u) - \pi` is of equal measure, too. In general,

.. math:: V(u) = n \log 2 - \log n - \tfrac{1}{2} s^2
          + \tfrac{n-2}{2} \log \frac{1 - e^{-s^2/n}}{s^2}.

Only the point -e_1 is not covered, it is infinitely far.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

__all__ = ["decode_circle", "decode_sphere", "encode_circle", "encode_sphere", "log_volume_sphere"]

_NEAR = 0.7
"""Up to this |u|, angles are counted from +e_1, beyond it from -e_1."""


def encode_circle(x: Tensor) -> Tensor:
    """Coordinate of points of the plane: (..., 2) -> (...)."""
    x1, x2 = (x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)).unbind(-1)
    near = x1 > 0.0
    # where has a finite gradient only if the branch that is not taken has one, too
    angle = torch.atan2(x2, torch.where(near, x1, 1.0))
    from_pole = torch.atan2(x2.abs(), torch.where(near, 1.0, -x1))
    tail = (from_pole / (2.0 * math.pi)).clamp(min=torch.finfo(x.dtype).tiny)
    beyond = -torch.special.ndtri(tail)
    return torch.where(
        near,
        torch.special.ndtri(0.5 + angle / (2.0 * math.pi)),
        torch.where(x2 < 0.0, -beyond, beyond),
    )


def decode_circle(u: Tensor) -> Tensor:
    """Points of the unit circle: (...) -> (..., 2)."""
    angle = math.pi * torch.erf(u / math.sqrt(2.0))
    from_pole = math.pi * torch.erfc(u.abs() / math.sqrt(2.0))
    near = u.abs() < _NEAR
    beyond = torch.where(u < 0.0, -1.0, 1.0) * torch.sin(from_pole)
    return torch.stack(
        [
            torch.where(near, torch.cos(angle), -torch.cos(from_pole)),
            torch.where(near, torch.sin(angle), beyond),
        ],
        dim=-1,
    )


def encode_sphere(x: Tensor) -> Tensor:
    """Coordinates of points of space, by direction: (..., n + 1) -> (..., n); NaN at 0.

    With q = sin^2(r/2) and p = 1 - q, s^2 = -n log p: each of p and q by the last
    n coordinates where it is small.
    """
    if x.shape[-1] == 2:
        return encode_circle(x)[..., None]
    n = x.shape[-1] - 1
    unit = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    x1, rest = unit[..., 0], unit[..., 1:]
    near = x1 > 0.0
    # at the pole all directions are alike: one of them
    least = 1e4 * torch.finfo(x.dtype).tiny
    some = F.pad(torch.full((1,), least**0.5, dtype=x.dtype, device=x.device), (0, n - 1))
    lost = ~near & (rest.square().sum(dim=-1) < least)
    rest = torch.where(lost[..., None], some, rest)
    square = rest.square().sum(dim=-1)
    smaller = square / (2.0 * (1.0 + x1.abs()))
    q = torch.where(near, smaller, 0.5)
    close = (n * _log_ratio(q) / (4.0 * (1.0 - q))).sqrt()
    p = torch.where(near, 0.5, smaller)
    far = (-n * p.log()).sqrt() / torch.where(near, 1.0, square).sqrt()
    return rest * torch.where(near, close, far)[..., None]


def decode_sphere(u: Tensor) -> Tensor:
    """Points of the unit sphere: (..., n) -> (..., n + 1)."""
    n = u.shape[-1]
    if n == 1:
        return decode_circle(u[..., 0])
    w = u.square().sum(dim=-1, keepdim=True) / n
    rest = u * torch.exp(-w / 2.0) * (4.0 / n * _expm1_ratio(w)).sqrt()
    return torch.cat([1.0 + 2.0 * torch.expm1(-w), rest], dim=-1)


def log_volume_sphere(u: Tensor) -> Tensor:
    """Log-volume V of :func:`decode_sphere`: (..., n) -> (...)."""
    n = u.shape[-1]
    square = u.square().sum(dim=-1)
    if n == 1:
        return 0.5 * math.log(2.0 * math.pi) - 0.5 * square
    # q / s^2, the only thing that is no constant but for n = 2
    ratio = _expm1_ratio(square / n) / n
    constant = n * math.log(2.0) - math.log(n)
    return constant - 0.5 * square + 0.5 * (n - 2) * ratio.log()


def _expm1_ratio(w: Tensor) -> Tensor:
    """Return (1 - exp(-w)) / w for w >= 0, smooth at zero."""
    small = w < 1e-3
    safe = torch.where(small, 1.0, w)
    series = 1.0 - w / 2.0 * (1.0 - w / 3.0 * (1.0 - w / 4.0 * (1.0 - w / 5.0)))
    return torch.where(small, series, -torch.expm1(-safe) / safe)


def _log_ratio(q: Tensor) -> Tensor:
    """Return -log(1 - q) / q for 0 <= q < 1, smooth at zero."""
    small = q < 1e-3
    safe = torch.where(small, 0.5, q)
    series = 1.0 + q * (1.0 / 2.0 + q * (1.0 / 3.0 + q * (1.0 / 4.0 + q / 5.0)))
    return torch.where(small, series, -torch.log1p(-safe) / safe)
