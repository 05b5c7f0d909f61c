"""What a flow is: a conditional density of events p(x | theta).

A flow splits its log-density into the part of its latent density and the part of
its chart. Unless the chart depends on theta, the second is a constant of each
event: inference computes it once, together with the latents, and every further
evaluation at another theta touches only the n-dimensional latent density.

Not every model that is offered beside the flows is one: some have no density, or
no way back from events to latents. They say so in ``lacks``, and raise when they
are asked for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["EncodedEvents", "Flow", "Reference"]

Reference = Literal["lebesgue", "hausdorff", "latent", "bound", "ratio", "none"]
Quantity = Literal["encode", "log_prob", "sample"]


@dataclass(frozen=True)
class EncodedEvents:
    """What the chart of a flow says of events.

    Arguments:
        u: What :meth:`Flow.latents` says of them: latents, with shape (N, n), or what an
            atlas has in their place.
        distance: Distance of each event to its projection on the manifold, in
            the units of the observables, with shape (N,).
        log_constant: What the log-density is more than that of the latents, with
            shape (N,); for a flow on a manifold it is -V(u). A constant of the
            event, unless the chart is conditional.
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
        lacks: What it cannot do: ``"log_prob"`` if it has no density, or one that was
            not trained, ``"encode"`` if it cannot go from events to latents, ``"sample"``
            if it generates no events.

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
    lacks: frozenset[Quantity] = frozenset()
    standardisation: Standardisation
    chart: Chart | None
    latent: LatentFlow

    @property
    def conditional(self) -> bool:
        """Whether the manifold depends on theta, so that a chart has to be told it."""
        return self.chart is not None and self.chart.conditional

    @abstractmethod
    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Latents of events: (B, d) -> (B, n); theta (B, p) if the flow is conditional."""

    @abstractmethod
    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Events of latents: (B, n) -> (B, d); theta (B, p) if the flow is conditional."""

    def latents(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """What :meth:`log_prob_latent` needs of events (B, d), free of theta: (B, n).

        It is where the flow encodes them, except on an atlas, where an event may lie on
        several charts: there it has as many columns as it takes to say how.
        """
        return self.encode(x, theta)

    @abstractmethod
    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """What the chart says of events (N, d); theta (N, p) if the flow is conditional."""

    @abstractmethod
    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """The log-density of latents, and all of log p(x | theta) that depends on theta.

        Arguments:
            u: Latents as :meth:`latents` gives them, with shape (..., n).
            theta: Parameters, with shape (..., p); leading shapes broadcast.

        Returns:
            Log-density with respect to du, with the broadcast leading shape.
        """

    @abstractmethod
    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of ``theta``: (B, p) -> (B, n)."""

    def project(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Nearest events on the manifold as the flow sees it: (B, d) -> (B, d)."""
        return self.decode(self.encode(x, theta), theta)

    def reconstruction_error(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Distance of events to their projection, in the observables' units: (B, d) -> (B,)."""
        return torch.linalg.vector_norm(x - self.project(x, theta), dim=-1)

    def log_prob(self, x: Tensor, theta: Tensor) -> Tensor:
        """Log-density of the projected events: (B, d), (B, p) -> (B,).

        It refers to the measure named by ``reference``, in the units of the
        observables.
        """
        encoded = self.encode_events(x, theta)
        return encoded.log_constant + self.log_prob_latent(encoded.u, theta)

    def sample(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one event per row of ``theta``: (B, p) -> (B, d)."""
        return self.decode(self.sample_latent(theta, generator), theta)

    def missing(self, quantity: Quantity) -> ModelMismatchError:
        """Return the error to raise when the flow is asked for what it lacks."""
        words = {
            "log_prob": "a density of events",
            "encode": "an encoder",
            "sample": "a generator of events",
        }
        if quantity not in type(self).lacks:
            return ModelMismatchError(
                f"a model with {words[quantity]}",
                f"one whose chart alone was trained ({type(self).__name__})",
                "train its density, too, or choose another model",
            )
        return ModelMismatchError(
            f"a model with {words[quantity]}",
            f"one without ({type(self).__name__})",
            "choose another model; lfi-mflow models says what each can do",
        )
