r"""Star-like hypersurfaces: every ray from their centre meets them once.

.. math:: g(u) = c + r(\omega) \, \omega, \qquad \omega = s(u) \in S^n, \quad d = n + 1

with a map s of R^n to the unit sphere whose volume is known (:mod:`lfi_mflow.charts.sphere`)
and a radius r that is learnt as a function of the direction. The normal of the surface is
:math:`N = \omega - \nabla \log r`, with the gradient along the sphere, and its volume element

.. math:: V = V_s(u) + n \log r + \tfrac{1}{2} \log (1 + |\nabla \log r|^2),

which takes the gradient of one number: one pass back through a network, instead of the n passes
and the n^3 operations of a Jacobian.

References:
    | Injective flows for star-like manifolds (Negri et al., 2025)
    | https://arxiv.org/abs/2406.09116
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.func import vjp

from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.linear import Standardisation
from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork
from lfi_mflow.charts.sphere import decode_sphere, encode_sphere, log_volume_sphere
from lfi_mflow.errors import ConfigError

__all__ = ["HypersurfaceChart"]


class HypersurfaceChart(Chart):
    r"""A closed hypersurface around a centre, by its radius in every direction.

    It starts as the sphere around zero on which standardised events lie on average. Its
    encoder projects along rays, and undoes the decoder exactly.

    Warning:
        The manifold has n = d - 1 dimensions and is closed. One point of it, in the direction
        -e_1, is infinitely far in u.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n = d - 1 of the manifold.
        radius: The architecture of the radius.

    Raises:
        ConfigError: If n is not d - 1, or d < 2.
    """

    def __init__(self, data_dim: int, latent_dim: int, radius: NetworkSettings) -> None:
        super().__init__(data_dim, latent_dim)
        if latent_dim != data_dim - 1:
            raise ConfigError(
                f"n = d - 1 = {data_dim - 1} for a hypersurface",
                f"n = {latent_dim}",
                "choose another --latent-dim, or another model",
            )
        self.centre = nn.Parameter(torch.zeros(data_dim))
        self.base = nn.Parameter(torch.tensor(0.5 * math.log(data_dim)))
        self.radius = ResidualNetwork(data_dim, 1, radius.hidden, radius.blocks)

    def log_radius(self, direction: Tensor) -> Tensor:
        """Logarithm of the radius in directions: (B, d) -> (B,)."""
        return self.base + self.radius(direction).squeeze(-1)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold, by the direction of points: (B, d) -> (B, n)."""
        return encode_sphere(x - self.centre)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        direction = decode_sphere(u)
        return self.centre + self.log_radius(direction).exp()[..., None] * direction

    def log_volume(
        self, u: Tensor, standardisation: Standardisation, theta: Tensor | None = None
    ) -> Tensor:
        """Log-volume V of the chart and a standardisation after it: (B, n) -> (B,).

        Arguments:
            u: Coordinates, with shape (B, n).
            standardisation: What the points of the manifold go through.
            theta: Not used: the manifold is the same for all parameters.
        """
        direction = decode_sphere(u)
        log_radius, pull = vjp(self.log_radius, direction)[:2]
        gradient = pull(torch.ones_like(log_radius))[0]
        gradient = gradient - (gradient * direction).sum(dim=-1, keepdim=True) * direction
        normal = direction - gradient
        stretch = torch.linalg.vector_norm(normal, dim=-1).log()
        own = log_volume_sphere(u) + self.latent_dim * log_radius + stretch
        return own + standardisation.log_area(normal)
