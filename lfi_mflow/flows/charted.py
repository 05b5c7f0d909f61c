"""What flows on a chart have in common."""

from __future__ import annotations

from abc import ABC

import torch
from torch import Tensor

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["ChartedFlow"]


class ChartedFlow(Flow, ABC):
    """A flow whose samples lie on the image of a chart that does not depend on theta.

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
        self.theta_dim = len(latent.theta_mean)

    def encode(self, x: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return self.chart.encode(self.standardisation.inverse(x))

    def decode(self, u: Tensor) -> Tensor:
        """Events of latents: (B, n) -> (B, d)."""
        return self.standardisation(self.chart.decode(u))

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log p_h(u | theta): (..., n), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta)

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n)."""
        return self.latent.sample(theta, generator)
