r"""The chart of images: a convolutional encoder and decoder.

A convolution means something only where neighbours are neighbours, and standardised
coordinates are principal axes. So the chart keeps the axes Q that they refer to, and
its networks see pixels; what is added to the plane of the first n axes is

.. math:: e(z) = (z_1, ..., z_n) + \phi(Q z), \qquad g(u) = (u, 0) + Q^T \psi(u).

It starts as that plane, like every chart with free networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork
from lfi_mflow.errors import ConfigError

__all__ = ["ConvolutionalChart", "ImageSettings"]

_KERNEL = 3


@dataclass(frozen=True)
class ImageSettings:
    """What the observables are as an image, and the convolutions that see it.

    The observables are its pixels row by row, one channel after the other.

    Arguments:
        height: Number of rows H.
        width: Number of columns W.
        channels: Number of channels C.
        filters: Number of filters at full resolution; it doubles with every level.
        levels: How often the resolution is halved.
    """

    height: int
    width: int
    channels: int = 1
    filters: int = 16
    levels: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("height", "width", "channels", "filters"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} >= 1", str(getattr(self, name)), "raise it")
        most = (min(self.height, self.width) - 1).bit_length()
        if not 1 <= self.levels <= most:
            raise ConfigError(
                f"1 <= levels <= {most} for images of {self.height} x {self.width}",
                str(self.levels),
                "correct it, or leave the image out where it is narrower than two pixels",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image."""
        return self.channels, self.height, self.width

    @property
    def shapes(self) -> tuple[tuple[int, int, int], ...]:
        """The shapes of filtered images, from full resolution to the coarsest."""
        return tuple(
            (self.filters << level, -(-self.height >> level), -(-self.width >> level))
            for level in range(self.levels + 1)
        )

    def least_elements(
        self, latent_dim: int, encoder: NetworkSettings, decoder: NetworkSettings
    ) -> int:
        """Return a lower bound of the number of weights; biases are left out."""
        filters = [self.channels, *(shape[0] for shape in self.shapes)]
        kernels = sum(fine * coarse for fine, coarse in pairwise(filters))
        features = math.prod(self.shapes[-1])
        dense = encoder.least_elements(features, latent_dim)
        dense += decoder.least_elements(latent_dim, features)
        axes = math.prod(self.shape) ** 2
        return 2 * _KERNEL**2 * kernels + dense + axes


class _Contraction(nn.Module):
    """Filter an image, and halve its resolution again and again: (B, C, H, W) -> (B, F).

    Arguments:
        image: The architecture.
    """

    def __init__(self, image: ImageSettings) -> None:
        super().__init__()
        filters = [shape[0] for shape in image.shapes]
        self.first = nn.Conv2d(image.channels, filters[0], _KERNEL, padding=1)
        levels = [
            nn.Conv2d(fine, coarse, _KERNEL, stride=2, padding=1)
            for fine, coarse in pairwise(filters)
        ]
        self.levels = nn.ModuleList(levels)
        for module in (self.first, *levels):
            _start(module, _KERNEL**2 * module.in_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Evaluate."""
        x = F.silu(self.first(image))
        for level in self.levels:
            x = F.silu(level(x))
        return x.flatten(-3)


class _Expansion(nn.Module):
    """The way back: coarse features to an image, (B, F) -> (B, C, H, W).

    Without biases at the start, features that are zero give an image that is zero.

    Arguments:
        image: The architecture.
    """

    def __init__(self, image: ImageSettings) -> None:
        super().__init__()
        self.shape: Sequence[int] = image.shapes[-1]
        pairs = list(pairwise(image.shapes))
        levels = [_doubling(fine, coarse) for fine, coarse in reversed(pairs)]
        self.levels = nn.ModuleList(levels)
        self.last = nn.Conv2d(image.filters, image.channels, _KERNEL, padding=1)
        for module in levels:
            # a stride of two leaves each pixel a quarter of the products
            _start(module, _KERNEL**2 * module.in_channels / 4)
        _start(self.last, _KERNEL**2 * self.last.in_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Evaluate."""
        x = features.unflatten(-1, self.shape)
        for level in self.levels:
            x = level(F.silu(x))
        return self.last(F.silu(x))


def _doubling(fine: Sequence[int], coarse: Sequence[int]) -> nn.ConvTranspose2d:
    """Return the transpose of the convolution that goes from fine to coarse shapes (F, H, W)."""
    # of two fine sizes with the same coarse one, the padding says which is meant
    rows, columns = (1 - size % 2 for size in fine[1:])
    return nn.ConvTranspose2d(
        *(coarse[0], fine[0], _KERNEL), stride=2, padding=1, output_padding=(rows, columns)
    )


def _start(module: nn.Conv2d | nn.ConvTranspose2d, products: float) -> None:
    """Draw weights that keep the size of a signal through a sum of so many products."""
    nn.init.normal_(module.weight, std=(2 / products) ** 0.5)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


class ConvolutionalChart(Chart):
    r"""The chart of images: an encoder and a decoder that share nothing, both convolutional.

    The encoder filters the image, halves its resolution ``levels`` times with twice as
    many filters each time, and ends in a residual network; the decoder is its mirror image.

    References:
        | Lifting Architectural Constraints of Injective Flows (Sorrenson et al., 2024)
        | https://arxiv.org/abs/2306.01843

    Arguments:
        data_dim: Dimension d = C H W of the data.
        latent_dim: Dimension n of the manifold.
        image: The shape of the image, and the convolutions.
        encoder: The architecture of the encoder's residual network.
        decoder: The architecture of the decoder's residual network.

    Raises:
        ConfigError: If d is not C H W, or n is not between 1 and d - 1.
    """

    axes: Tensor

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        image: ImageSettings,
        encoder: NetworkSettings,
        decoder: NetworkSettings,
    ) -> None:
        pixels = math.prod(image.shape)
        if pixels != data_dim:
            shape = " x ".join(map(str, image.shape))
            raise ConfigError(
                f"images of {shape} (channels, height, width) = {pixels} observables",
                f"d = {data_dim}",
                "correct the image in the settings, or import images of that size",
            )
        super().__init__(data_dim, latent_dim)
        self.shape = image.shape
        features = math.prod(image.shapes[-1])
        self.encoder = nn.Sequential(
            _Contraction(image),
            ResidualNetwork(features, latent_dim, encoder.hidden, encoder.blocks),
        )
        self.decoder = nn.Sequential(
            ResidualNetwork(latent_dim, features, decoder.hidden, decoder.blocks),
            _Expansion(image),
        )
        self.register_buffer("axes", torch.eye(data_dim))

    @torch.no_grad()
    def orient(self, axes: Tensor) -> None:
        """Keep the principal axes, the columns of Q with shape (d, d)."""
        self.axes.copy_(axes)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""
        image = (x @ self.axes.T).unflatten(-1, self.shape)
        return x[..., : self.latent_dim] + self.encoder(image)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        image: Tensor = self.decoder(u)
        return F.pad(u, (0, self.data_dim - self.latent_dim)) + image.flatten(-3) @ self.axes
