"""What a phase of training minimises.

An objective says what it needs of an event, which is computed once per phase
because the part that trains does not change it, and the loss of each event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from lfi_mflow.charts import Chart
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow

__all__ = [
    "OBJECTIVES",
    "LatentLikelihood",
    "Likelihood",
    "Objective",
    "Part",
    "PenalisedLikelihood",
    "Reconstruction",
]

Part = Literal["chart", "latent", "all"]


class Objective(ABC):
    """A loss for a part of a flow.

    Attributes:
        part: The part of the flow whose parameters it can train.
    """

    part: Part

    @abstractmethod
    def prepare(self, flow: Flow, x: Tensor) -> Tensor:
        """What the loss needs of events, constant during the phase: (B, d) -> (B, *)."""

    @abstractmethod
    def begin(self, flow: Flow, prepared: Tensor, theta: Tensor) -> None:
        """Fit what is fitted and not trained, on some prepared events.

        It is called before the first step of the first phase that trains the latent
        density, and not again in later ones: what has been trained would be lost.
        """

    @abstractmethod
    def loss(self, flow: Flow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Loss of each event: (B, *), (B, p) -> (B,)."""


class Reconstruction(Objective):
    r"""The manifold phase: :math:`\|x - g(e(x))\|^2` in standardised coordinates.

    Source: Brehmer and Cranmer 2020, section 3.B, "M/D training".
    """

    part: Part = "chart"

    def prepare(self, flow: Flow, x: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: Flow, prepared: Tensor, theta: Tensor) -> None:
        """Nothing has to be fitted: the standardisation is."""

    def loss(self, flow: Flow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Squared distance to the projection: (B, d), (B, p) -> (B,)."""
        chart = chart_of(flow)
        residual = prepared - chart.decode(chart.encode(prepared))
        return residual.square().sum(dim=-1)


class LatentLikelihood(Objective):
    r"""The density phase: :math:`-\log p_h(e(x) | \theta)` on latents encoded once.

    With the chart fixed, the volume term is a constant and its gradient zero
    (Brehmer and Cranmer 2020, section 3.B): no d-dimensional work is left.
    """

    part: Part = "latent"

    def prepare(self, flow: Flow, x: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return flow.encode(x)

    def begin(self, flow: Flow, prepared: Tensor, theta: Tensor) -> None:
        """Fit the standardisation of latents and parameters."""
        flow.latent.standardise(prepared, theta)

    def loss(self, flow: Flow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Negative log-density of latents: (B, n), (B, p) -> (B,)."""
        return -flow.latent.log_prob(prepared, theta)


class Likelihood(Objective):
    r"""Maximum likelihood of all parts at once: :math:`-\log p(x | \theta)`.

    The density is exact, the volume term and its gradient included.

    Warning:
        For a flow on a learned manifold this is ill-posed (Brehmer and Cranmer
        2020): nothing in it asks the manifold to go through the data, and a
        manifold on which the projections crowd together has a larger likelihood.
    """

    part: Part = "all"

    def prepare(self, flow: Flow, x: Tensor) -> Tensor:
        """The events: (B, d) -> (B, d)."""
        return x

    def begin(self, flow: Flow, prepared: Tensor, theta: Tensor) -> None:
        """Fit the standardisation of latents and parameters, with the chart as it starts."""
        with torch.no_grad():
            flow.latent.standardise(flow.encode(prepared), theta)

    def loss(self, flow: Flow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Negative log-density of events: (B, d), (B, p) -> (B,)."""
        return -flow.log_prob(prepared, theta)


class PenalisedLikelihood(Objective):
    r"""Maximum likelihood that is held to the data: :math:`-\log p + \beta \|x - g(e(x))\|^2`.

    The distance is that of :class:`Reconstruction`, in standardised coordinates.

    Arguments:
        weight: The weight beta.
    """

    part: Part = "all"

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self._likelihood, self._reconstruction = Likelihood(), Reconstruction()

    def prepare(self, flow: Flow, x: Tensor) -> Tensor:
        """The events: (B, d) -> (B, d)."""
        return x

    def begin(self, flow: Flow, prepared: Tensor, theta: Tensor) -> None:
        """Fit the standardisation of latents and parameters, with the chart as it starts."""
        self._likelihood.begin(flow, prepared, theta)

    def loss(self, flow: Flow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Negative log-density and weighted squared distance: (B, d), (B, p) -> (B,)."""
        standardised = self._reconstruction.prepare(flow, prepared)
        distance = self._reconstruction.loss(flow, standardised, theta)
        return self._likelihood.loss(flow, prepared, theta) + self.weight * distance


RECONSTRUCTION_WEIGHT = 100.0
"""A manifold that misses the data by 0.1 standard deviations costs one nat."""

OBJECTIVES: Mapping[str, Objective] = {
    "reconstruction": Reconstruction(),
    "latent-likelihood": LatentLikelihood(),
    "likelihood": Likelihood(),
    "penalised-likelihood": PenalisedLikelihood(RECONSTRUCTION_WEIGHT),
}
"""The objectives by the names they have in configuration files."""


def trained_part(flow: Flow, part: Part) -> nn.Module:
    """Return the module whose parameters a phase trains.

    Raises:
        ConfigError: If the flow has no such part.
    """
    if part == "all":
        return flow
    return chart_of(flow) if part == "chart" else flow.latent


def chart_of(flow: Flow) -> Chart:
    """Return the chart of a flow.

    Raises:
        ConfigError: If it has none.
    """
    if flow.chart is None:
        raise ConfigError(
            "a model with a chart to train",
            "one that fills the feature space and has none",
            "train its density only, or choose a model that learns a manifold",
        )
    return flow.chart


def advice_on_failure(flow: Flow, objective: Objective) -> str:
    """Say what to do when a loss or gradient is not finite."""
    if isinstance(objective, Likelihood) and flow.reference == "hausdorff":
        return (
            "the training diverged: maximum likelihood of a manifold has no maximum; "
            'train with algorithm = "sequential" or "alternating"'
        )
    return "lower the learning rate of the phase or check the events for outliers"
