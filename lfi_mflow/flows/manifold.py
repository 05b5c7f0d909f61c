"""Flows on a learned manifold."""

from __future__ import annotations

import torch
from torch import Tensor

from lfi_mflow.charts import Chart, Composition, Standardisation
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.flows.latent import LatentFlow
from lfi_mflow.geometry import log_volume_by_minor, log_volume_by_tangents

__all__ = ["ManifoldFlow"]


class ManifoldFlow(Flow):
    r"""A manifold, and a conditional density on it.

    The manifold is the image of a chart g that does not depend on theta; the
    density of latents is h. With x' = g(e(x)) the projection of an event,

    .. math:: \log p(x' | \theta) = \log p_h(e(x) | \theta) - V(e(x))

    with respect to the n-dimensional volume (Hausdorff) measure in the units of
    the observables, where V is the log-volume of the chart *and* of the
    standardisation together.

    References:
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), https://arxiv.org/abs/2003.13913

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    reference = "hausdorff"

    def __init__(self, standardisation: Standardisation, chart: Chart, latent: LatentFlow) -> None:
        super().__init__()
        self.standardisation = standardisation
        self.chart = chart
        self.latent = latent
        self.data_dim = chart.data_dim
        self.latent_dim = chart.latent_dim
        self.theta_dim = len(latent.theta_mean)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return self.chart.encode(self.standardisation.inverse(x))

    def decode(self, u: Tensor) -> Tensor:
        """Events of latents: (B, n) -> (B, d)."""
        return self.standardisation(self.chart.decode(u))

    def encode_events(self, x: Tensor) -> EncodedEvents:
        """Latents, distance to the manifold and -V of events: (N, d) -> (N, n), (N,), (N,)."""
        u = self.encode(x)
        projection = self.decode(u)
        distance = (x - projection).norm(dim=-1)
        return EncodedEvents(u, distance, -self.log_volume(u))

    def log_volume(self, u: Tensor) -> Tensor:
        """Log-volume V of the decoder: (B, n) -> (B,).

        By the cheaper of the two exact methods: n forward-mode tangents, or the
        d - n reverse-mode rows of the complementary minor.
        """
        bijection = self.chart.bijection
        if bijection is None or self.data_dim - self.latent_dim > self.latent_dim:
            return log_volume_by_tangents(self.decode, u)
        whole = Composition([bijection, self.standardisation])
        return log_volume_by_minor(whole.inverse_and_log_det, self.decode(u), self.latent_dim)

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log p_h(u | theta): (..., n), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta)

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n)."""
        return self.latent.sample(theta, generator)
