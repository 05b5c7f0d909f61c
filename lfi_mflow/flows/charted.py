"""What flows on a chart, and on a manifold of its own, have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["ChartedFlow", "InjectiveFlow"]


class ChartedFlow(Flow, ABC):
    """A flow whose samples lie on the image of a chart.

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    chart: Chart

    def __init__(self, standardisation: Standardisation, chart: Chart, latent: LatentFlow) -> None:
        super().__init__()
        self.standardisation = standardisation
        self.chart = chart
        self.latent = latent
        self.data_dim = chart.data_dim
        self.latent_dim = chart.latent_dim
        self.theta_dim = latent.theta_dim

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Latents of events: (B, d) -> (B, n); theta (B, p) if the chart is conditional."""
        return self.chart.encode(self.standardisation.inverse(x), theta)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Events of latents: (B, n) -> (B, d); theta (B, p) if the chart is conditional."""
        return self.standardisation(self.chart.decode(u, theta))

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log p_h(u | theta): (..., n), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta)

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n)."""
        return self.latent.sample(theta, generator)


class InjectiveFlow(ChartedFlow, ABC):
    """A flow whose density is one on the image of its chart, by the volume of the chart.

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """Latents, distance to the manifold and -V of events: (N, d) -> (N, n), (N,), (N,)."""
        u = self.encode(x, theta)
        projection = self.decode(u, theta)
        distance = (x - projection).norm(dim=-1)
        return EncodedEvents(u, distance, -self._log_volume(u, projection, theta))

    def log_volume(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Log-volume V of the decoder, in the units of the observables: (B, n) -> (B,)."""
        return self._log_volume(u, self.decode(u, theta), theta)

    @abstractmethod
    def _log_volume(self, u: Tensor, x: Tensor, theta: Tensor | None) -> Tensor:
        """Log-volume V at latents and what they decode to: (B, n), (B, d) -> (B,)."""
