"""What the charts of an atlas are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lfi_mflow.charts.affine import AffineCoupling, MaskedAffine
from lfi_mflow.charts.bijection import Bijection, Composition
from lfi_mflow.charts.coupling import CouplingSettings, SplineCoupling
from lfi_mflow.charts.networks import NetworkSettings
from lfi_mflow.charts.spline import MIN_BIN
from lfi_mflow.errors import ConfigError, UnknownNameError

__all__ = ["AtlasSettings", "conditional_layers"]

Base = Literal["spline", "realnvp", "maf"]
Raising = Literal["padding", "conformal"]


@dataclass(frozen=True)
class AtlasSettings:
    """The architecture of the charts of an atlas.

    Arguments:
        base: The layers that bend a chart: ``"spline"`` couplings, affine couplings
            (``"realnvp"``) or masked autoregressive affine layers (``"maf"``).
        raising: How n dimensions become d: by zeros, which the layers bend
            (``"padding"``), or by a conformal map after layers in n dimensions
            (``"conformal"``), which makes pieces of planes and spheres only.
        layers: Number of layers.
        bins: Number of bins of each spline.
        bound: Half width of the splines, in units of a chart's size.
        hidden: Width of the hidden layers of the networks.
        blocks: Number of their residual blocks, or half the number of layers of masked ones.
        features: Number of learnt values that the layers know of a chart beside its centre.
        tolerance: Two charts meet at a point if they differ by less, in standardised units.
    """

    base: Base = "spline"
    raising: Raising = "padding"
    layers: int = 2
    bins: int = 8
    bound: float = 6.0
    hidden: int = 64
    blocks: int = 1
    features: int = 0
    tolerance: float = 0.05

    def __post_init__(self) -> None:
        """Check the values."""
        for name, known in (("base", get_args(Base)), ("raising", get_args(Raising))):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        for name, least in (("layers", 1), ("hidden", 1), ("blocks", 1), ("features", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} >= {least}", str(getattr(self, name)), "raise it")
        positive = all(0 < value < math.inf for value in (self.bound, self.tolerance))
        if not (positive and 2 <= self.bins < 1 / MIN_BIN):
            raise ConfigError(
                f"2 <= bins < {1 / MIN_BIN:.0f}, finite bound > 0 and tolerance > 0",
                f"{self.bins}, {self.bound} and {self.tolerance}",
                "correct them",
            )

    def layer_dim(self, data_dim: int, latent_dim: int) -> int:
        """Return the dimension that the layers act in."""
        return data_dim if self.raising == "padding" else latent_dim

    def least_elements(self, data_dim: int, latent_dim: int, known: int) -> int:
        """Return a lower bound of the number of weights; biases are left out.

        Arguments:
            data_dim: Dimension d of the data.
            latent_dim: Dimension n of the manifold.
            known: Number of values that the layers know of a chart.
        """
        dim = self.layer_dim(data_dim, latent_dim)
        inner = (2 * self.blocks - (self.base == "maf")) * self.hidden**2
        outputs = {"spline": 3 * self.bins * (dim // 2), "realnvp": 2 * (dim // 2), "maf": 2 * dim}
        each = inner + self.hidden * (known + outputs[self.base])
        raising = 0 if self.raising == "padding" else self.hidden * (known + data_dim)
        return self.layers * each + raising


def conditional_layers(
    data_dim: int, latent_dim: int, settings: AtlasSettings, theta_dim: int
) -> Composition:
    """Build the layers that bend the charts, beginning next to the latents.

    Couplings alternate. In d dimensions the first one moves the coordinates off the
    manifold, which draws a graph over those on it.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture.
        theta_dim: Number of values that the layers depend on.
    """
    dim = settings.layer_dim(data_dim, latent_dim)
    split = latent_dim if dim > latent_dim else dim // 2
    network = NetworkSettings(settings.hidden, settings.blocks)
    splines = CouplingSettings(
        settings.layers, settings.bins, settings.bound, settings.hidden, settings.blocks
    )
    layers: list[Bijection] = []
    for index in range(settings.layers):
        # a part without coordinates has nothing to move
        odd = index % 2 == 1 and split > 0
        if settings.base == "maf":
            layer: Bijection = MaskedAffine(dim, network, theta_dim=theta_dim, backwards=odd)
        elif settings.base == "realnvp":
            layer = AffineCoupling(dim, split, network, moves_head=odd, theta_dim=theta_dim)
        else:
            layer = SplineCoupling(dim, split, splines, moves_head=odd, theta_dim=theta_dim)
        layers.append(layer)
    return Composition(layers)
