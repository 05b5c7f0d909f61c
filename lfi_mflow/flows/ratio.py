r"""Ratio estimators: log r(x | theta) without a density.

A classifier that tells events of theta from events of a denominator q learns the ratio
of the two densities, for its best answer is

.. math:: s(x, \theta) = \sigma(\log r(x | \theta)), \quad r(x | \theta) = p(x | \theta) / q(x).

The denominator drops out of posteriors and of ratios of two parameter points, so that the
sum of log r over events serves wherever a log-likelihood does. Nothing has to be known of
the manifold of the events, and it may depend on theta: all that a classifier needs is
that events of q reach where those of theta are.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lfi_mflow.charts import Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.flows.latent import LatentFlow, mean_and_scale
from lfi_mflow.flows.ratio_networks import FreeRatio, QuadraticRatio

__all__ = ["Denominator", "RatioEstimator"]

Denominator = Literal["marginal", "reference"]

_NARROWEST = 0.01  # width of a principal axis below which it is not blown up, to the widest


class RatioEstimator(Flow):
    r"""A network for log r(x | theta), with a calibration on top.

    .. math:: \log r(x | \theta) = b \, f(z, \theta) + a

    with f a network of the whitened events z and standardised parameters (see
    :mod:`lfi_mflow.flows.ratio_networks`), and b = 1 and a = 0 unless it has been recalibrated.

    The denominator of r is ``"marginal"``, p(x) = E[p(x | theta)] over the theta of the
    training events, or ``"reference"``, p(x | theta_0) at the simulator's
    ``joint_reference``.

    It is no density: it generates no events, and log r says how likely an event is at one
    theta compared with others, not how likely it is.

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        theta_dim: Number p of parameters.
        network: The network f: (..., d), (..., p) -> (...).
        denominator: What the density is divided by.

    Raises:
        ConfigError: If there are no parameters.
    """

    reference = "ratio"
    lacks = frozenset({"log_prob", "encode", "sample"})
    chart = None
    theta_mean: Tensor
    theta_scale: Tensor
    slope: Tensor
    offset: Tensor

    def __init__(
        self,
        standardisation: Standardisation,
        theta_dim: int,
        network: FreeRatio | QuadraticRatio,
        denominator: Denominator,
    ) -> None:
        super().__init__()
        if not theta_dim:
            raise ConfigError(
                "parameters, for a ratio of densities at two of their values",
                "none",
                "choose a model that learns a density",
            )
        self.standardisation = standardisation
        self.data_dim = self.latent_dim = len(standardisation.mean)
        self.theta_dim = theta_dim
        self.denominator: Denominator = denominator
        self.network = network
        self.register_buffer("theta_mean", torch.zeros(theta_dim))
        self.register_buffer("theta_scale", torch.ones(theta_dim))
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("offset", torch.zeros(()))

    @property
    def latent(self) -> LatentFlow:  # type: ignore[override]
        """There is no latent density.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("log_prob")

    @torch.no_grad()
    def standardise_theta(self, theta: Tensor) -> None:
        """Fit the standardisation of parameters: (N, p); one that never changes keeps scale 1."""
        mean, scale = mean_and_scale(theta)
        self.theta_mean.copy_(mean)
        self.theta_scale.copy_(scale)

    @torch.no_grad()
    def recalibrate(self, slope: float, offset: float) -> None:
        """Put another calibration on top of the present one: log r becomes b log r + a.

        Raises:
            ConfigError: If the slope b is not positive.
        """
        if not slope > 0:
            raise ConfigError(
                "a slope b > 0 of the log-ratio",
                f"{slope:.3g}: the estimator knows nothing of theta, or the wrong way round",
                "train it again",
            )
        self.offset.mul_(slope).add_(offset)
        self.slope.mul_(slope)

    def standardise_events(self, x: Tensor) -> Tensor:
        """Whitened events, which do not depend on theta: (..., d) -> (..., d)."""
        spectrum = self.standardisation.spectrum
        width = spectrum.clamp_min(_NARROWEST**2 * spectrum.max()).sqrt()
        return self.standardisation.inverse(x) / width

    def log_ratio_standardised(self, z: Tensor, theta: Tensor) -> Tensor:
        """Log r of whitened events: (..., d), (..., p) -> (...); leading shapes broadcast."""
        condition = (theta - self.theta_mean) / self.theta_scale
        return self.slope * self.network(z, condition) + self.offset

    def log_ratio(self, x: Tensor, theta: Tensor) -> Tensor:
        """Log r(x | theta) of events in the units of the observables: (B, d), (B, p) -> (B,)."""
        return self.log_ratio_standardised(self.standardise_events(x), theta)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Fail: there are no latents.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("encode")

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Fail: it generates no events.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("sample")

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """Fail: there is no density.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("log_prob")

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Fail: there is no density.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("log_prob")

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Fail: it generates no events.

        Raises:
            ModelMismatchError: Always.
        """
        raise self.missing("sample")
