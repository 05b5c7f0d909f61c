"""What a preset takes: the dimensions of a problem and the settings of a flow.

Each preset has a settings class of its own. All of them know a lower bound of
the number of weights, so that the header of a model file can be held against the
file before anything is built.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Literal, get_args

from lfi_mflow.charts import ConformalSettings, CouplingSettings, NetworkSettings
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.latent import LatentSettings

__all__ = [
    "AmbientSettings",
    "AutoencoderSettings",
    "ConformalFlowSettings",
    "Dimensions",
    "EncodedSettings",
    "FlowSettings",
    "GanSettings",
    "HypersurfaceSettings",
    "ManifoldSettings",
    "ModelSettings",
    "OriginalPieSettings",
    "PieSettings",
    "PrescribedSettings",
    "RatioSettings",
    "TiltedSettings",
]

Dependence = Literal["free", "quadratic"]


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a problem.

    Arguments:
        data: Dimension d of the events.
        latent: Dimension n of the manifold.
        theta: Number p of parameters.

    Raises:
        ConfigError: If one is negative.
    """

    data: int
    latent: int
    theta: int

    def __post_init__(self) -> None:
        """Check the values."""
        if min(self.data, self.latent, self.theta) < 0:
            raise ConfigError("dimensions >= 0", str(self), "correct them")


class ModelSettings(ABC):
    """The architecture of a model: what the settings of all presets have in common."""

    @abstractmethod
    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights, to hold against a file before building."""


class FlowSettings(ModelSettings, ABC):
    """The architecture of a model that is made around a latent flow.

    Attributes:
        latent: The latent flow.
    """

    latent: LatentSettings


@dataclass(frozen=True)
class AmbientLatentSettings(LatentSettings):
    """The architecture of a latent flow that has the whole density to bend.

    Arguments:
        transforms: Number of autoregressive spline transforms.
        bins: Number of bins of each spline.
        hidden: Width of the two hidden layers of each transform and of the base.
        components: Number of Gaussians of the base.
    """

    transforms: int = 5
    bins: int = 10


@dataclass(frozen=True)
class AmbientSettings(FlowSettings):
    """The architecture of an ambient flow.

    Arguments:
        latent: The flow on all d standardised coordinates.
        principal_axes: Whether these are along the principal axes; where observables are
            independent of each other given the parameters, their own axes are better.
    """

    latent: AmbientLatentSettings = field(default_factory=AmbientLatentSettings)
    principal_axes: bool = True

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        return self.latent.least_elements(dimensions.latent, dimensions.theta)


@dataclass(frozen=True)
class ManifoldSettings(FlowSettings):
    """The architecture of an M-flow.

    Arguments:
        chart: The coupling bijection of the chart.
        latent: The latent flow.
        conditional_chart: Whether the manifold depends on theta.
    """

    chart: CouplingSettings = field(default_factory=CouplingSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)
    conditional_chart: bool = False

    def chart_theta(self, dimensions: Dimensions) -> int:
        """Return the number of parameters that the chart depends on."""
        return dimensions.theta if self.conditional_chart else 0

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        theta_dim = self.chart_theta(dimensions)
        chart = self.chart.least_elements(dimensions.data, dimensions.latent, theta_dim)
        return chart + self.latent.least_elements(dimensions.latent, dimensions.theta)


@dataclass(frozen=True)
class PieSettings(ManifoldSettings):
    """The architecture of a pseudo-invertible encoder.

    Arguments:
        chart: The coupling bijection.
        latent: The latent flow.
        conditional_chart: Whether the manifold depends on theta.
        epsilon: Standard deviation off the manifold, in standardised units.
    """

    epsilon: float = 0.01


@dataclass(frozen=True)
class OriginalPieSettings(PieSettings):
    """The architecture of a pseudo-invertible encoder whose bijection depends on theta.

    Arguments:
        chart: The coupling bijection.
        latent: The latent flow.
        conditional_chart: Whether the manifold depends on theta.
        epsilon: Standard deviation off the manifold, in standardised units.
    """

    conditional_chart: bool = True


@dataclass(frozen=True)
class PrescribedSettings(FlowSettings):
    """The architecture of a flow on a prescribed manifold.

    Arguments:
        manifold: Name of the manifold, a key of ``PRESCRIBED``.
        radius: Its radius, in the units of the observables.
        latent: The latent flow.
    """

    manifold: str = "sphere"
    radius: float = 1.0
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        return self.latent.least_elements(dimensions.latent, dimensions.theta)


@dataclass(frozen=True)
class EncodedSettings(FlowSettings):
    """The architecture of an M_e-flow.

    Arguments:
        chart: The coupling bijection that decodes.
        encoder: The network that encodes.
        latent: The latent flow.
    """

    chart: CouplingSettings = field(default_factory=CouplingSettings)
    encoder: NetworkSettings = field(default_factory=NetworkSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        d, n = dimensions.data, dimensions.latent
        chart = self.chart.least_elements(d, n) + self.encoder.least_elements(d, n)
        return chart + self.latent.least_elements(n, dimensions.theta)


@dataclass(frozen=True)
class TiltedSettings(FlowSettings):
    """The architecture of an M-flow whose density is tilted by a ratio.

    Arguments:
        chart: The coupling bijection of the chart.
        latent: The latent flow, which does not depend on theta.
        ratio: The network of the ratio.
    """

    chart: CouplingSettings = field(default_factory=CouplingSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)
    ratio: NetworkSettings = field(default_factory=NetworkSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        n = dimensions.latent
        chart = self.chart.least_elements(dimensions.data, n)
        ratio = self.ratio.least_elements(n, quadratic_outputs(dimensions.theta))
        return chart + self.latent.least_elements(n, 0) + ratio


@dataclass(frozen=True)
class AutoencoderSettings(FlowSettings):
    """The architecture of a probabilistic autoencoder.

    Arguments:
        encoder: The network that encodes.
        decoder: The network that decodes.
        latent: The latent flow.
    """

    encoder: NetworkSettings = field(default_factory=NetworkSettings)
    decoder: NetworkSettings = field(default_factory=NetworkSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        d, n = dimensions.data, dimensions.latent
        chart = self.encoder.least_elements(d, n) + self.decoder.least_elements(n, d)
        return chart + self.latent.least_elements(n, dimensions.theta)


@dataclass(frozen=True)
class ConformalFlowSettings(FlowSettings):
    """The architecture of a conformal embedding flow.

    Arguments:
        chart: The conformal bijection of the chart.
        latent: The latent flow.
    """

    chart: ConformalSettings = field(default_factory=ConformalSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        chart = self.chart.least_elements(dimensions.data)
        return chart + self.latent.least_elements(dimensions.latent, dimensions.theta)


@dataclass(frozen=True)
class HypersurfaceSettings(FlowSettings):
    """The architecture of a flow on a star-like hypersurface.

    Arguments:
        radius: The network of the radius as a function of the direction.
        latent: The latent flow.
    """

    radius: NetworkSettings = field(default_factory=NetworkSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        radius = self.radius.least_elements(dimensions.data, 1)
        return radius + self.latent.least_elements(dimensions.latent, dimensions.theta)


@dataclass(frozen=True)
class GanSettings(FlowSettings):
    """The architecture of a generative adversarial network.

    Arguments:
        decoder: The network of the generator.
        discriminator: The network that tells its events from simulated ones.
        latent: The flow that the generator starts from.
    """

    decoder: NetworkSettings = field(default_factory=NetworkSettings)
    discriminator: NetworkSettings = field(default_factory=NetworkSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        d, n, p = dimensions.data, dimensions.latent, dimensions.theta
        networks = self.decoder.least_elements(n, d) + self.discriminator.least_elements(d + p, 1)
        return networks + self.latent.least_elements(n, p)


@dataclass(frozen=True)
class RatioSettings(ModelSettings):
    """The architecture of a ratio estimator.

    Arguments:
        network: The network of events and parameters.
        dependence: How the ratio depends on theta: ``"free"``, anyhow, or ``"quadratic"``, as
            a quadratic polynomial over another one: that of the cross-sections of an effective
            field theory.
    """

    network: NetworkSettings = field(default_factory=NetworkSettings)
    dependence: Dependence = "free"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.dependence not in get_args(Dependence):
            raise UnknownNameError("dependence", self.dependence, get_args(Dependence))

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        d, p = dimensions.data, dimensions.theta
        if self.dependence == "free":
            return self.network.least_elements(d + p, 1)
        return self.network.least_elements(d, quadratic_outputs(p))


def quadratic_outputs(p: int) -> int:
    """Return how many numbers a quadratic ratio in p parameters takes of an event."""
    return 1 + p * (p + 3) // 2
