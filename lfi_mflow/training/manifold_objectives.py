"""Objectives of a manifold, and of the exact density on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow
from lfi_mflow.training.events import Batch
from lfi_mflow.training.objective import Objective, chart_of, check_positive, standardise_latent

__all__ = ["Distance", "Likelihood", "PenalisedLikelihood", "Reconstruction"]


@dataclass(frozen=True)
class Reconstruction(Objective):
    r"""The manifold phase: :math:`\|x - g(e(x))\|^2` in standardised coordinates.

    The manifold is the support of the events, whatever they weigh: positive weights say
    where it matters most, signed ones say nothing, and are not used.

    Source: Brehmer and Cranmer 2020, section 3.B, "M/D training".
    """

    part = "chart"
    needs_positive_weights = False

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Nothing has to be fitted: the standardisation is."""

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Squared distance to the projection, with shape (B,)."""
        chart, theta = chart_of(flow), batch.theta
        residual = batch.prepared - chart.decode(chart.encode(batch.prepared, theta), theta)
        return residual.square().sum(dim=-1)


@dataclass(frozen=True)
class Distance(Reconstruction):
    r"""The manifold phase by the distance r to the projection and a share of its square.

    .. math:: \sqrt{r^2 + \delta^2} - \delta + \lambda r^2, \qquad r = \|x - g(e(x))\|

    Where sheets of the manifold nearly touch, or its features have long tails, no smooth
    chart comes close to a few events, and their squares rule the fit. The distance gives
    each event the same pull, and the others come an order of magnitude closer; a share of
    the square keeps it from giving up on those few.

    Arguments:
        delta: Distance below which the pull fades, in standardised coordinates; an
            optimiser does not settle without.
        square: Share lambda of the square.
    """

    delta: float = 3e-3
    square: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        check_positive("delta", self.delta)
        if not 0 <= self.square < math.inf:
            raise ConfigError("0 <= square < infinity", str(self.square), "correct it")

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Softened distance to the projection, with shape (B,)."""
        square = super().loss(flow, batch, generator)
        return (square + self.delta**2).sqrt() - self.delta + self.square * square


@dataclass(frozen=True)
class Likelihood(Objective):
    r"""Maximum likelihood of all parts at once: :math:`-\log p(x | \theta)`.

    The density is exact, the volume term and its gradient included.

    Warning:
        For a flow on a learned manifold this is ill-posed (Brehmer and Cranmer
        2020): nothing in it asks the manifold to go through the data, and a
        manifold on which the projections crowd together has a larger likelihood.
    """

    part = "all"
    compiles = False

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """The events: (B, d) -> (B, d)."""
        return x

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters, with the chart as it starts."""
        with torch.no_grad():
            standardise_latent(flow, flow.latents(batch.prepared, batch.theta), batch)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density of events, with shape (B,)."""
        return -flow.log_prob(batch.prepared, batch.theta)


@dataclass(frozen=True)
class PenalisedLikelihood(Likelihood):
    r"""Maximum likelihood that is held to the data: :math:`-\log p + \beta \|x - g(e(x))\|^2`.

    The distance is that of :class:`Reconstruction`, in standardised coordinates. With
    the default weight a manifold that misses the data by 0.1 costs one nat.

    Arguments:
        beta: Weight of the squared distance.
    """

    beta: float = 100.0

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("beta", self.beta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density and weighted squared distance, with shape (B,)."""
        negative_log_likelihood, distance = self.terms(flow, batch, generator)
        return negative_log_likelihood + self.beta * distance

    def terms(self, flow: Flow, batch: Batch, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Negative log-density and squared distance, both with shape (B,)."""
        reconstruction = Reconstruction()
        standardised = reconstruction.prepare(flow, batch.prepared, batch.theta)
        distance = reconstruction.loss(flow, batch._replace(prepared=standardised), generator)
        return -flow.log_prob(batch.prepared, batch.theta), distance
