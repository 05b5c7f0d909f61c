"""Flows that fill the whole feature space."""

from __future__ import annotations

import torch
from torch import Tensor

from lfi_mflow.charts import Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["AmbientFlow"]


class AmbientFlow(Flow):
    r"""A conditional density on all of R^d: the latents are the standardised events.

    .. math:: \log p(x | \theta) = \log p_h(z | \theta) + \log |\det dz/dx|

    with z the standardised coordinates. Every event lies on its "manifold", so
    distances and reconstruction errors are zero and tell nothing.

    Warning:
        Events on a manifold of fewer dimensions have no density per volume of R^d:
        the likelihood has no maximum, and what is learnt depends on how long and how
        fast one trains. That is why there are other flows.

    References:
        | Normalizing Flows for Probabilistic Modeling and Inference
        | (Papamakarios et al., 2019), https://arxiv.org/abs/1912.02762

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        latent: The density of standardised events, n = d.

    Raises:
        ConfigError: If the latent density has another dimension than the data.
    """

    reference = "lebesgue"
    chart = None

    def __init__(self, standardisation: Standardisation, latent: LatentFlow) -> None:
        super().__init__()
        self.standardisation = standardisation
        self.latent = latent
        self.data_dim = len(standardisation.mean)
        self.latent_dim = len(latent.u_mean)
        self.theta_dim = latent.theta_dim
        if self.latent_dim != self.data_dim:
            raise ConfigError(
                f"n = d = {self.data_dim} in an ambient flow",
                f"n = {self.latent_dim}",
                "leave --latent-dim out, or choose a model that learns a manifold",
            )

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return self.standardisation.inverse(x)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Events of standardised ones: (B, d) -> (B, d)."""
        return self.standardisation(u)

    def project(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """The events themselves, without the rounding of a round trip: (B, d) -> (B, d)."""
        return x

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """Standardised events, zero distances and the log-determinant, for x of shape (N, d)."""
        u, log_det = self.standardisation.inverse_and_log_det(x)
        return EncodedEvents(u, torch.zeros_like(log_det), log_det)

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log p_h(u | theta): (..., d), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta)

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one standardised event per row of theta: (B, p) -> (B, d)."""
        return self.latent.sample(theta, generator)
