"""What a chart is: an injective map g from R^n into R^d with a left inverse."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from lfi_mflow.charts.bijection import Bijection
from lfi_mflow.errors import ConfigError

__all__ = ["Chart"]


class Chart(nn.Module, ABC):
    """An injective map g: R^n -> R^d whose image is a manifold, and its left inverse.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.

    Attributes:
        bijection: The bijection f of R^d with g(u) = f(u, 0), None if there is none.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    def __init__(self, data_dim: int, latent_dim: int) -> None:
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

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""

    @abstractmethod
    def decode(self, u: Tensor) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
