r"""Charts of known manifolds, in the units of the observables, with nothing to learn.

Circles and spheres of two dimensions are mapped such that equal measures correspond:
the standard normal distribution of u is the uniform distribution on the sphere, and the
volume element is

.. math:: V(u) = \log N(u; 0, 1) + \log(\text{area}).

In more dimensions that is nearly so. The point u = 0 is at +e_1; only the point -e_1 is
not covered, it is infinitely far. A density that is smooth on the whole sphere so has
normal tails in u, which is what flows represent best. In a stereographic chart its tails
would be heavy, and with angles as coordinates it would not end at the border.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.linear import Standardisation
from lfi_mflow.charts.sphere import (
    decode_circle,
    decode_sphere,
    encode_circle,
    encode_sphere,
    log_volume_sphere,
)
from lfi_mflow.errors import ConfigError

__all__ = ["PRESCRIBED", "SphereChart", "TorusChart"]


class SphereChart(Chart):
    """The sphere in R^(n+1), centred at the origin, by equal measure for n = 1 and 2.

    The map is that of :mod:`lfi_mflow.charts.sphere`.

    Arguments:
        latent_dim: The dimension n; that of the data is n + 1.
        radius: Radius, in the units of the observables.

    Raises:
        ConfigError: If n < 1, or the radius is not positive.

    Example:
        >>> import torch
        >>> SphereChart(2).decode(torch.zeros(1, 2))
        tensor([[1., 0., 0.]])
    """

    prescribed = True

    def __init__(self, latent_dim: int, radius: float = 1.0) -> None:
        super().__init__(latent_dim + 1, latent_dim)
        self.radius = _positive(radius)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates of the nearest point of the sphere, (B, n + 1) -> (B, n); NaN at 0.

        Arguments:
            x: Points, with shape (B, n + 1).
            theta: Not used: the sphere is the same for all parameters.
        """
        return encode_sphere(x)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the sphere: (B, n) -> (B, n + 1).

        Arguments:
            u: Coordinates, with shape (B, n).
            theta: Not used: the sphere is the same for all parameters.
        """
        return self.radius * decode_sphere(u)

    def log_volume(
        self, u: Tensor, standardisation: Standardisation, theta: Tensor | None = None
    ) -> Tensor:
        """Log-volume V of the chart and a standardisation after it: (B, n) -> (B,).

        Arguments:
            u: Coordinates, with shape (B, n).
            standardisation: What the points of the sphere go through.
            theta: Not used: the sphere is the same for all parameters.
        """
        area = standardisation.log_area(decode_sphere(u))
        return self.latent_dim * math.log(self.radius) + log_volume_sphere(u) + area


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
        return encode_circle(x.unflatten(-1, (self.latent_dim, 2)))

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the torus: (B, n) -> (B, 2 n).

        Arguments:
            u: Coordinates, with shape (B, n).
            theta: Not used: the torus is the same for all parameters.
        """
        return self.radius * decode_circle(u).flatten(-2)


PRESCRIBED: Mapping[str, type[SphereChart] | type[TorusChart]] = MappingProxyType(
    {"sphere": SphereChart, "torus": TorusChart}
)
"""The charts by the name that a table of settings uses."""


def _positive(radius: float) -> float:
    """Return the radius, or raise."""
    if not 0.0 < radius < math.inf:
        raise ConfigError("a radius > 0", f"{radius:g}", "give it in the units of the observables")
    return float(radius)
