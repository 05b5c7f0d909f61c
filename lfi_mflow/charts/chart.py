"""What a chart is: an injective map g from R^n into R^d with a left inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lfi_mflow.charts.bijection import Bijection
from lfi_mflow.charts.linear import Standardisation
from lfi_mflow.errors import ConfigError, InputError

__all__ = ["Chart"]


class Chart(nn.Module, ABC):
    """An injective map g: R^n -> R^d whose image is a manifold, and its left inverse.

    A conditional chart has a manifold for each theta. Those that are not leave theta
    aside, and everything they say of an event can be computed once.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        theta_dim: Number p of parameters that the manifold depends on.

    Attributes:
        bijection: The bijection f of R^d with g(u) = f(u, 0), None if there is none.
        prescribed: Whether it is known beforehand, in the units of the observables: then
            there is nothing to learn, and data must not be standardised for it.
        numbered: Whether the first of its coordinates is the number of a chart, as in an
            atlas; then they are no point of R^n.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    prescribed: bool = False
    numbered: bool = False
    theta_mean: Tensor
    theta_scale: Tensor

    def __init__(self, data_dim: int, latent_dim: int, theta_dim: int = 0) -> None:
        super().__init__()
        if not 1 <= latent_dim < data_dim:
            raise ConfigError(
                f"a manifold dimension n with 1 <= n < d = {data_dim}",
                f"n = {latent_dim}",
                "choose another --latent-dim, or an ambient flow for n = d",
            )
        self.data_dim = data_dim
        self.latent_dim = latent_dim
        self.bijection: Bijection | None = None
        self.register_buffer("theta_mean", torch.zeros(theta_dim))
        self.register_buffer("theta_scale", torch.ones(theta_dim))

    @property
    def conditional(self) -> bool:
        """Whether the manifold depends on theta."""
        return len(self.theta_mean) > 0

    @abstractmethod
    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n), with theta (B, p)."""

    @abstractmethod
    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d), with theta (B, p)."""

    def log_volume(
        self, u: Tensor, standardisation: Standardisation, theta: Tensor | None = None
    ) -> Tensor | None:
        """Log-volume V of the chart and a standardisation after it, in closed form: (B,).

        None where there is no closed form, and V has to be computed from derivatives.

        Arguments:
            u: Coordinates on the manifold, with shape (B, n).
            standardisation: What the points of the manifold go through.
            theta: Parameters with shape (B, p), for a conditional chart.
        """
        return None

    def orient(self, axes: Tensor) -> None:
        """Take note of the principal axes that standardised coordinates refer to.

        Only a chart that has to know which observable is which keeps them.

        Arguments:
            axes: The axes as columns, in the space of scaled observables, with shape (d, d).
        """

    @torch.no_grad()
    def standardise_theta(self, mean: Tensor, scale: Tensor) -> None:
        """Set what a conditional chart divides theta by, both with shape (p,)."""
        if self.conditional:
            self.theta_mean.copy_(mean)
            self.theta_scale.copy_(scale)

    def condition(self, theta: Tensor | None) -> Tensor | None:
        """Standardised parameters of a conditional chart, None for others: (B, p) -> (B, p).

        Raises:
            InputError: If the chart is conditional and there is no theta.
        """
        if not self.conditional:
            return None
        if theta is None:
            raise InputError(
                "parameters for a chart that depends on them", "none", "give theta with the events"
            )
        return (theta - self.theta_mean) / self.theta_scale
