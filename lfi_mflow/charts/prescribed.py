r"""Charts of known manifolds, in the units of the observables, with nothing to learn.

A sphere is mapped such that equal measures correspond: the standard normal
distribution of u is the uniform distribution on the sphere, and the volume
element is

.. math:: V(u) = \log N(u; 0, 1) + \log(\text{area}).

The point u = 0 is at +e_1; only the point -e_1 is not covered, it is infinitely
far. A density that is smooth on the whole sphere so has normal tails in u,
which is what flows represent best. In a stereographic chart its tails would be
heavy, and with angles as coordinates it would not end at the border.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from lfi_mflow.charts.chart import Chart
from lfi_mflow.errors import ConfigError

__all__ = ["PRESCRIBED", "SphereChart", "TorusChart"]

_NEAR = 0.7
"""Up to this |u|, angles are counted from +e_1, beyond it from -e_1."""


class SphereChart(Chart):
    r"""The circle in R^2 or the sphere in R^3, centred at the origin, by equal measure.

    On the circle, the angle from e_1 is :math:`\varphi = 2 \pi \Phi(u) - \pi`.
    On the sphere, u has the direction of the last two coordinates and a length s
    with :math:`(1 - \cos r) / 2 = 1 - e^{-s^2/2}`, where r is the angle from e_1.

    Arguments:
        latent_dim: The dimension n, 1 or 2; that of the data is n + 1.
        radius: Radius, in the units of the observables.

    Raises:
        ConfigError: If n is another dimension, or the radius is not positive.

    Example:
        >>> SphereChart(2).decode(torch.zeros(1, 2))
        tensor([[1., 0., 0.]])
    """

    prescribed = True

    def __init__(self, latent_dim: int, radius: float = 1.0) -> None:
        if latent_dim not in (1, 2):
            raise ConfigError(
                "a sphere of dimension n = 1 or 2",
                f"n = {latent_dim}",
                "choose another --latent-dim, or learn the manifold",
            )
        super().__init__(latent_dim + 1, latent_dim)
        self.radius = _positive(radius)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates of the nearest point of the sphere, (B, n + 1) -> (B, n); NaN at 0.

        Arguments:
            x: Points, with shape (B, n + 1).
            theta: Not used: the sphere is the same for all parameters.
        """
        if self.latent_dim == 1:
            return _encode_circle(x)[..., None]
        return _encode_sphere(x)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the sphere: (B, n) -> (B, n + 1).

        Arguments:
            u: Coordinates, with shape (B, n).
            theta: Not used: the sphere is the same for all parameters.
        """
        unit = _decode_circle(u[..., 0]) if self.latent_dim == 1 else _decode_sphere(u)
        return self.radius * unit


class TorusChart(Chart):
    """The flat torus: a product of n circles in R^2n, each as in :class:`SphereChart`.

    Circle i lies in the plane of the coordinates 2 i and 2 i + 1, counted from 0.

    Arguments:
        latent_dim: The number n of circles.
        radius: Radius of every circle, in the units of the observables.

    Raises:
        ConfigError: If n < 1, or the radius is not positive.
    """

    prescribed = True

    def __init__(self, latent_dim: int, radius: float = 1.0) -> None:
        super().__init__(2 * latent_dim, latent_dim)
        self.radius = _positive(radius)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates of the nearest point of the torus: (B, 2 n) -> (B, n).

        Arguments:
            x: Points, with shape (B, 2 n); NaN comes out at the centre of a circle.
            theta: Not used: the torus is the same for all parameters.
        """
        return _encode_circle(x.unflatten(-1, (self.latent_dim, 2)))

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the torus: (B, n) -> (B, 2 n).

        Arguments:
            u: Coordinates, with shape (B, n).
            theta: Not used: the torus is the same for all parameters.
        """
        return self.radius * _decode_circle(u).flatten(-2)


PRESCRIBED: Mapping[str, type[SphereChart] | type[TorusChart]] = MappingProxyType(
    {"sphere": SphereChart, "torus": TorusChart}
)
"""The charts by the name that a table of settings uses."""


def _positive(radius: float) -> float:
    """Return the radius, or raise."""
    if not 0.0 < radius < math.inf:
        raise ConfigError("a radius > 0", f"{radius:g}", "give it in the units of the observables")
    return float(radius)


def _encode_circle(x: Tensor) -> Tensor:
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


def _decode_circle(u: Tensor) -> Tensor:
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


def _encode_sphere(x: Tensor) -> Tensor:
    """Coordinates of points of space: (..., 3) -> (..., 2).

    With q = sin^2(r/2) and p = 1 - q, s^2 = -2 log p: each of p and q by the last
    two coordinates where it is small.
    """
    unit = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    x1, rest = unit[..., 0], unit[..., 1:]
    near = x1 > 0.0
    # at the pole all directions are alike: one of them
    least = 1e4 * torch.finfo(x.dtype).tiny
    some = torch.tensor([least**0.5, 0.0], dtype=x.dtype, device=x.device)
    lost = ~near & (rest.square().sum(dim=-1) < least)
    rest = torch.where(lost[..., None], some, rest)
    square = rest.square().sum(dim=-1)
    smaller = square / (2.0 * (1.0 + x1.abs()))
    q = torch.where(near, smaller, 0.5)
    close = (_log_ratio(q) / (2.0 * (1.0 - q))).sqrt()
    p = torch.where(near, 0.5, smaller)
    far = (-2.0 * p.log()).sqrt() / torch.where(near, 1.0, square).sqrt()
    return rest * torch.where(near, close, far)[..., None]


def _decode_sphere(u: Tensor) -> Tensor:
    """Points of the unit sphere: (..., 2) -> (..., 3)."""
    w = u.square().sum(dim=-1, keepdim=True) / 2.0
    rest = u * torch.exp(-w / 2.0) * (2.0 * _expm1_ratio(w)).sqrt()
    return torch.cat([1.0 + 2.0 * torch.expm1(-w), rest], dim=-1)


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
