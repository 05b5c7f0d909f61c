"""What a phase of training minimises.

An objective says what it needs of an event, which is computed once per phase
because the part that trains does not change it, and the loss of each event. It is
a record of its settings: a phase names it and sets them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lfi_mflow.charts import Chart
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow, TiltedManifoldFlow
from lfi_mflow.training.events import Batch

__all__ = [
    "Measures",
    "Objective",
    "Part",
    "chart_of",
    "check_positive",
    "one_chart_of",
    "standardise_latent",
    "tilted",
    "value_and_score",
]

Part = Literal["chart", "latent", "ratio", "all"]
Measures = Literal["loss", "surrogate"]


class Objective(ABC):
    """A loss for a part of a flow.

    Attributes:
        part: The part of the flow whose parameters it can train.
        needs_score: Whether events need a joint score.
        needs_log_ratio: Whether events need a joint log-ratio.
        needs_positive_weights: Whether weights must not be negative; where they may, signed
            ones are left out of the loss.
        least_batch: Smallest batch that makes sense; 1 if each event has a loss of its
            own, whatever others are in the batch.
        keeps: The weights to keep: those of the epoch with the best validation loss, or
            of the last where the loss does not measure success.
        measures: Whether the loss of training events is what is to be minimised, or a
            surrogate that has its gradient, and whose value says nothing.
        compiles: Whether the loss can be compiled, see :mod:`lfi_mflow.training.compilation`: not
            where it goes through derivatives, or what it does depends on values.
    """

    part: ClassVar[Part]
    needs_score: ClassVar[bool] = False
    needs_log_ratio: ClassVar[bool] = False
    needs_positive_weights: ClassVar[bool] = True
    least_batch: ClassVar[int] = 1
    keeps: ClassVar[Literal["best", "last"]] = "best"
    measures: ClassVar[Measures] = "loss"
    compiles: ClassVar[bool] = True

    @abstractmethod
    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """What the loss needs of events, constant during the phase: (B, d), (B, p) -> (B, *)."""

    @abstractmethod
    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit what is fitted and not trained, on some prepared events.

        It is called before the first step of the first phase that trains the latent
        density, or a ratio, and not again in later ones: what has been trained would be lost.
        """

    @abstractmethod
    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Loss of each event, with shape (B,); what is random comes from the generator."""

    def after_step(self, flow: Flow, batch: Batch) -> None:  # noqa: B027 - few have it
        """Move what follows the training events without a gradient, after each step."""

    def end(self, flow: Flow) -> None:  # noqa: B027 - few have it
        """Fit what follows from the trained weights, once the phase has found them."""

    def validate(self, flow: Flow, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """What is recorded of validation events, each with shape (B,).

        Under ``"loss"`` stands what is to be minimised, under other names what explains
        it.
        """
        return {"loss": self.loss(flow, batch, generator)}


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


def one_chart_of(flow: Flow) -> Chart:
    """Return the chart of a flow whose latents are points of R^n.

    Raises:
        ConfigError: If it has none, or an atlas of several.
    """
    chart = chart_of(flow)
    if chart.numbered:
        raise ConfigError(
            "a model with one chart", "one with an atlas", "choose another model or objective"
        )
    return chart


def tilted(flow: Flow) -> TiltedManifoldFlow:
    """Return the flow if a ratio tilts its density.

    Raises:
        ConfigError: If it has none.
    """
    if not isinstance(flow, TiltedManifoldFlow):
        raise ConfigError(
            "a density that is tilted by a ratio",
            f"one that is not ({type(flow).__name__})",
            "choose a model that has one, as mr-flow",
        )
    return flow


@torch.no_grad()
def standardise_latent(flow: Flow, u: Tensor, batch: Batch) -> None:
    """Fit what is fitted of the latent density to latents of a batch: (B, n)."""
    if flow.latent.turns:
        flow.latent.turn(u, flow.decode(u, batch.theta), batch.weight)
    flow.latent.standardise(u, batch.theta, batch.weight)


def value_and_score(function: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[Tensor, Tensor]:
    """Value of a function of parameters, and its gradient: (B, p) -> (B,), (B, p).

    Training goes through both; where gradients are off, as in validation, neither has one.
    """
    trains = torch.is_grad_enabled()
    with torch.enable_grad():
        theta = theta.detach().requires_grad_()
        value = function(theta)
        (score,) = torch.autograd.grad(value.sum(), theta, create_graph=trains)
    return value if trains else value.detach(), score


def check_positive(name: str, value: float) -> None:
    """Fail unless a setting is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"0 < {name} < infinity", str(value), "correct it")
