"""What a flow is: a conditional density of events p(x | theta).

A flow splits its log-density into the part that depends on theta and the part
that does not. The second is a constant of each event: inference computes it
once, together with the latents, and every further evaluation at another theta
touches only the n-dimensional latent density.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["EncodedEvents", "Flow", "Reference"]

Reference = Literal["lebesgue", "hausdorff", "latent", "bound"]


@dataclass(frozen=True)
class EncodedEvents:
    """What a flow knows of events before theta is known.

    Arguments:
        u: Latents, with shape (N, n).
        distance: Distance of each event to its projection on the manifold, in
            the units of the observables, with shape (N,).
        log_constant: The part of the log-density that does not depend on theta,
            with shape (N,); for a flow on a manifold it is -V(u).
    """

    u: Tensor
    distance: Tensor
    log_constant: Tensor


class Flow(nn.Module, ABC):
    """A conditional density of events on a manifold of dimension n in R^d.

    Attributes:
        data_dim: Dimension d of the events.
        latent_dim: Dimension n of the manifold.
        theta_dim: Number p of parameters.
        reference: The measure that :meth:`log_prob` refers to.

    What training acts on, and every flow that can be trained has:

    Attributes:
        standardisation: Map from standardised coordinates to the observables; it is
            fitted to the moments of the data before anything is trained.
        chart: The chart in standardised coordinates, None if n = d needs none.
        latent: The latent density h.
    """

    data_dim: int
    latent_dim: int
    theta_dim: int
    reference: Reference
    standardisation: Standardisation
    chart: Chart | None
    latent: LatentFlow

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""

    @abstractmethod
    def decode(self, u: Tensor) -> Tensor:
        """Events of latents: (B, n) -> (B, d)."""

    @abstractmethod
    def encode_events(self, x: Tensor) -> EncodedEvents:
        """Everything about events that does not depend on theta, for ``x`` of shape (N, d)."""

    @abstractmethod
    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """The part of log p(x | theta) that depends on theta.

        Arguments:
            u: Latents, with shape (..., n).
            theta: Parameters, with shape (..., p); leading shapes broadcast.

        Returns:
            Log-density with respect to du, with the broadcast leading shape.
        """

    @abstractmethod
    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of ``theta``: (B, p) -> (B, n)."""

    def project(self, x: Tensor) -> Tensor:
        """Nearest events on the manifold as the flow sees it: (B, d) -> (B, d)."""
        return self.decode(self.encode(x))

    def reconstruction_error(self, x: Tensor) -> Tensor:
        """Distance of events to their projection, in the observables' units: (B, d) -> (B,)."""
        return torch.linalg.vector_norm(x - self.project(x), dim=-1)

    def log_prob(self, x: Tensor, theta: Tensor) -> Tensor:
        """Log-density of the projected events: (B, d), (B, p) -> (B,).

        It refers to the measure named by ``reference``, in the units of the
        observables.
        """
        encoded = self.encode_events(x)
        return encoded.log_constant + self.log_prob_latent(encoded.u, theta)

    def sample(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one event per row of ``theta``: (B, p) -> (B, d)."""
        return self.decode(self.sample_latent(theta, generator))
