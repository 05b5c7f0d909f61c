r"""Conformal bijections and the chart of the conformal embedding flow.

A map is conformal if its Jacobian is a positive number times a rotation:
:math:`J^T J = \lambda(u)^2 \, 1`. A composition of such maps has the product of their factors,
and the log-volume of one that starts from n dimensions is :math:`V = n \log \lambda`: no
Jacobian is needed.

References:
    | Tractable Density Estimation on Learned Manifolds with Conformal Embedding Flows
    | (Ross and Cresswell, 2021), https://arxiv.org/abs/2106.05275
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts.bijection import Bijection, Composition
from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.linear import Standardisation
from lfi_mflow.errors import ConfigError

__all__ = [
    "ConformalBijection",
    "ConformalChart",
    "ConformalSettings",
    "Rotation",
    "Scaling",
    "Shift",
    "SpecialConformal",
    "special_conformal",
    "special_conformal_log_factor",
]


@dataclass(frozen=True)
class ConformalSettings:
    """The architecture of a conformal bijection.

    Arguments:
        layers: Number of layers, each a special conformal map, rotation, scaling and shift. They
            form a group, so that one can do what many can; two find it more easily.
    """

    layers: int = 2

    def __post_init__(self) -> None:
        """Check the value."""
        if self.layers < 1:
            raise ConfigError("layers >= 1", str(self.layers), "raise it")

    def least_elements(self, data_dim: int) -> int:
        """Return a lower bound of the number of weights; scales are left out."""
        return self.layers * (data_dim**2 + 2 * data_dim)


class ConformalBijection(Bijection, ABC):
    """A bijection of R^d that keeps angles: its Jacobian is a factor times a rotation.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    @abstractmethod
    def log_factor(self, z: Tensor) -> Tensor:
        r"""Log-factor :math:`\log \lambda` of dx/dz at latents: (B, d) -> (B,)."""

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        z = self.inverse(x)
        return z, -self.dim * self.log_factor(z)


class Scaling(ConformalBijection):
    """Multiplication with a positive number, which starts as one.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        return self.log_scale.exp() * z

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        return (-self.log_scale).exp() * x

    def log_factor(self, z: Tensor) -> Tensor:
        """Log-factor of dx/dz at latents: (B, d) -> (B,)."""
        return self.log_scale.expand(z.shape[:-1])


class Shift(ConformalBijection):
    """Addition of a vector, which starts as zero.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        return z + self.bias

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        return x - self.bias

    def log_factor(self, z: Tensor) -> Tensor:
        """Log-factor of dx/dz at latents, which is zero: (B, d) -> (B,)."""
        return z.new_zeros(z.shape[:-1])


class Rotation(ConformalBijection):
    r"""A rotation, which starts as the identity.

    .. math:: Q = (1 + A)^{-1} (1 - A), \qquad A = W - W^T

    This form (Cayley's) is orthogonal to rounding. It reaches all rotations but those by a
    half turn, which are at infinity.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.generator = nn.Parameter(torch.zeros(dim, dim))

    def _matrix(self) -> Tensor:
        """Return Q."""
        upper = self.generator.triu(1)
        skew = upper - upper.T
        unit = torch.eye(self.dim, dtype=skew.dtype, device=skew.device)
        return torch.linalg.solve(unit + skew, unit - skew)

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        return z @ self._matrix().T

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        return x @ self._matrix()

    def log_factor(self, z: Tensor) -> Tensor:
        """Log-factor of dx/dz at latents, which is zero: (B, d) -> (B,)."""
        return z.new_zeros(z.shape[:-1])


class SpecialConformal(ConformalBijection):
    r"""An inversion at the unit sphere, a shift by -b, and the inversion again.

    .. math:: x = \frac{z - |z|^2 b}{\Delta(z)}, \qquad
              \Delta(z) = 1 - 2 b \cdot z + |b|^2 |z|^2 \ge 0, \qquad \lambda = 1 / \Delta(z)

    It starts as the identity, b = 0. It maps planes and spheres to planes or spheres; its
    inverse is the one of -b.

    Warning:
        The point b / |b|^2 is mapped to infinity.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.b = nn.Parameter(torch.zeros(dim))

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        return special_conformal(z, self.b)

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        return special_conformal(x, -self.b)

    def log_factor(self, z: Tensor) -> Tensor:
        """Log-factor of dx/dz at latents: (B, d) -> (B,)."""
        return special_conformal_log_factor(z, self.b)


class ConformalChart(Chart):
    r"""The chart of the conformal embedding flow: :math:`g(u) = f(u, 0)` with f conformal.

    Its volume is known: no Jacobian is computed where the standardisation keeps angles, which
    it does if all observables share a unit and spread alike.

    Warning:
        For d > 2 all conformal bijections are made of the layers here (Liouville), so that the
        manifold is a plane or a sphere of n dimensions, anisotropic standardisations
        aside. The density on it is free.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    bijection: Composition

    def __init__(self, data_dim: int, latent_dim: int, settings: ConformalSettings) -> None:
        super().__init__(data_dim, latent_dim)
        kinds = (SpecialConformal, Rotation, Scaling, Shift)
        layers = [kind(data_dim) for _ in range(settings.layers) for kind in kinds]
        self.bijection = Composition(layers)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""
        return self.bijection.inverse(x)[..., : self.latent_dim]

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        return self.bijection(self._pad(u))

    def log_factor(self, u: Tensor) -> Tensor:
        r"""Log-factor :math:`\log \lambda` of the decoder: (B, n) -> (B,)."""
        z = self._pad(u)
        total = z.new_zeros(z.shape[:-1])
        for layer in cast("Iterable[ConformalBijection]", self.bijection.layers):
            total = total + layer.log_factor(z)
            z = layer(z)
        return total

    def log_volume(
        self, u: Tensor, standardisation: Standardisation, theta: Tensor | None = None
    ) -> Tensor | None:
        """Log-volume V of the chart and a standardisation after it: (B, n) -> (B,).

        None if the standardisation does not keep angles.
        """
        scale = standardisation.log_common_scale()
        if scale is None:
            return None
        return self.latent_dim * (self.log_factor(u) + scale)

    def _pad(self, u: Tensor) -> Tensor:
        """Points of the plane of the first axes: (B, n) -> (B, d)."""
        return F.pad(u, (0, self.data_dim - self.latent_dim))


def special_conformal(z: Tensor, b: Tensor) -> Tensor:
    """Apply the special conformal map of b: (..., d), (d,) or (..., d) -> (..., d)."""
    square = z.square().sum(dim=-1, keepdim=True)
    return (z - square * b) / _denominator(z, b)


def special_conformal_log_factor(z: Tensor, b: Tensor) -> Tensor:
    """Log-factor of the special conformal map of b: (..., d), (d,) or (..., d) -> (...)."""
    return -_denominator(z, b).squeeze(-1).log()


def _denominator(z: Tensor, b: Tensor) -> Tensor:
    """Return 1 - 2 b.z + |b|^2 |z|^2, kept above zero: (..., d) -> (..., 1)."""
    square = z.square().sum(dim=-1, keepdim=True)
    along = (z * b).sum(dim=-1, keepdim=True)
    length = b.square().sum(dim=-1, keepdim=True)
    return (1 - 2 * along + length * square).clamp_min(torch.finfo(z.dtype).tiny)
