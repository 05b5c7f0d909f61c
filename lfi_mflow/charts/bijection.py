"""Bijections of R^d, the material of coupling charts and ambient flows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.func import jvp, vmap

from lfi_mflow.geometry.volume import load_forward_mode

__all__ = ["Bijection", "Composition", "Leading"]


class Bijection(nn.Module, ABC):
    """A differentiable bijection from latent space to data space, both R^d.

    It may depend on standardised parameters theta, with shape (B, p); those that do
    not leave them aside.
    """

    @abstractmethod
    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""

    @abstractmethod
    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""

    @abstractmethod
    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d).

        By forward mode; layers whose derivative has a structure do it themselves.
        """

        def along(tangent: Tensor) -> tuple[Tensor, Tensor]:
            x, pushed = jvp(lambda rows: self(rows, theta), (z,), (tangent,))[:2]
            return x, pushed

        load_forward_mode()
        x, pushed = vmap(along, in_dims=1, out_dims=(0, 1))(tangents)
        return x[0], pushed


class Composition(Bijection):
    """Several bijections in a row, the first one next to the latents."""

    def __init__(self, layers: Iterable[Bijection]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        for layer in self.layers:
            z = layer(z, theta)
        return z

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d)."""
        for layer in self.layers:
            z, tangents = layer.push(z, tangents, theta)  # type: ignore[operator]
        return z, tangents

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        for layer in self._from_data():
            x = layer.inverse(x, theta)
        return x

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        log_det = x.new_zeros(x.shape[:-1])
        for layer in self._from_data():
            x, term = layer.inverse_and_log_det(x, theta)
            log_det = log_det + term
        return x, log_det

    def _from_data(self) -> Iterator[Bijection]:
        """Return the layers in the order in which data meet them."""
        return reversed(list(self.layers))  # type: ignore[arg-type]


class Leading(Bijection):
    """A bijection of the first r coordinates, which leaves the others as they are.

    Arguments:
        inner: The bijection of R^r.
        rank: Its dimension r.
    """

    def __init__(self, inner: Bijection, rank: int) -> None:
        super().__init__()
        self.inner = inner
        self.rank = rank

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        first, rest = z[..., : self.rank], z[..., self.rank :]
        return torch.cat([self.inner(first, theta), rest], dim=-1)

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d)."""
        first, along = self.inner.push(z[..., : self.rank], tangents[..., : self.rank], theta)
        rest = z[..., self.rank :], tangents[..., self.rank :]
        return torch.cat([first, rest[0]], dim=-1), torch.cat([along, rest[1]], dim=-1)

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        first, rest = x[..., : self.rank], x[..., self.rank :]
        return torch.cat([self.inner.inverse(first, theta), rest], dim=-1)

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        first, rest = x[..., : self.rank], x[..., self.rank :]
        z, log_det = self.inner.inverse_and_log_det(first, theta)
        return torch.cat([z, rest], dim=-1), log_det
