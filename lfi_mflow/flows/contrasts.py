"""Two models to compare flows with: they learn a manifold, and no density on it.

Both are made of the parts of a flow, a chart and a latent density, and lack what
makes it one. They are kept as small as the comparison allows.
"""

from __future__ import annotations

import math
from abc import ABC

import torch
from torch import Tensor, nn

from lfi_mflow.charts import (
    AutoencoderChart,
    GeneratorChart,
    NetworkSettings,
    ResidualNetwork,
    Standardisation,
)
from lfi_mflow.flows.charted import ChartedFlow
from lfi_mflow.flows.flow import EncodedEvents
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["GenerativeAdversarialNetwork", "VariationalAutoencoder"]


class _WithoutDensity(ChartedFlow, ABC):
    """A model that generates events and cannot say how likely they are."""

    reference = "none"
    lacks = frozenset({"log_prob"})

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


class VariationalAutoencoder(_WithoutDensity):
    r"""An autoencoder with noise, trained by a lower bound of the likelihood (ELBO).

    With the encoder :math:`q(u | z) = N(u; e(z), \mathrm{diag}\, s(z)^2)`, the decoder
    :math:`p(z | u) = N(z; g(u), \sigma^2)` and standardised events z,

    .. math:: \log p(z | \theta) \ge \mathrm{E}_q[\log p(z | u) + \log p_h(u | \theta)
              - \log q(u | z)].

    Samples are decoded without the noise, so that they lie on the manifold g(R^n).

    Warning:
        There is no density: the bound is an expectation over random latents, and its
        distance to the likelihood unknown. So there are no posteriors either.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2013)
        | https://arxiv.org/abs/1312.6114

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The means of encoder and decoder, in standardised coordinates.
        latent: The prior of the latents.
        spread: The architecture of the network of the spreads s.
    """

    def __init__(
        self,
        standardisation: Standardisation,
        chart: AutoencoderChart,
        latent: LatentFlow,
        spread: NetworkSettings,
    ) -> None:
        super().__init__(standardisation, chart, latent)
        self.log_spread = ResidualNetwork(
            self.data_dim, self.latent_dim, spread.hidden, spread.blocks
        )
        # It starts with noise of a tenth of the spread of the data.
        self.log_noise = nn.Parameter(torch.tensor(math.log(0.1)))

    def elbo(self, z: Tensor, theta: Tensor, noise: Tensor) -> Tensor:
        """Evidence lower bound with one draw of the latents: (B, d), (B, p), (B, n) -> (B,).

        Arguments:
            z: Standardised events.
            theta: Parameters.
            noise: Standard-normal numbers, of which the draw is made.
        """
        log_spread = self.log_spread(z) + self.log_noise
        u = self.chart.encode(z) + log_spread.exp() * noise
        residual = (z - self.chart.decode(u)) * (-self.log_noise).exp()
        decoder = _log_normal(residual).sum(dim=-1) - self.data_dim * self.log_noise
        encoder = (_log_normal(noise) - log_spread).sum(dim=-1)
        return decoder + self.latent.log_prob(u, theta) - encoder


class GenerativeAdversarialNetwork(_WithoutDensity):
    """A generator of events, and a discriminator that tells them from simulated ones.

    The generator is the chart on top of the latent density; both learn to deceive a
    discriminator that sees events and theta.

    Warning:
        There is no density and no encoder: no projection, no distance, no posterior.

    References:
        | Generative Adversarial Networks (Goodfellow et al., 2014)
        | https://arxiv.org/abs/1406.2661

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The generator, in standardised coordinates.
        latent: The density of its input.
        discriminator: The architecture of the discriminator.
    """

    lacks = frozenset({"log_prob", "encode"})

    def __init__(
        self,
        standardisation: Standardisation,
        chart: GeneratorChart,
        latent: LatentFlow,
        discriminator: NetworkSettings,
    ) -> None:
        super().__init__(standardisation, chart, latent)
        self.discriminator = ResidualNetwork(
            self.data_dim + self.theta_dim, 1, discriminator.hidden, discriminator.blocks
        )


def _log_normal(values: Tensor) -> Tensor:
    """Log-density of the standard normal distribution, elementwise."""
    return -0.5 * (values.square() + math.log(2 * math.pi))
