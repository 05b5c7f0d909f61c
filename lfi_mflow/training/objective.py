"""What an objective is: a loss for a part of a flow."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow
from lfi_mflow.training.events import Batch

__all__ = ["Objective", "Part", "check_positive"]

Part = Literal["chart", "latent", "all"]


class Objective(ABC):
    """A loss for a part of a flow.

    Attributes:
        part: The part of the flow whose parameters it can train.
        needs_score: Whether events need a joint score.
        needs_log_ratio: Whether events need a joint log-ratio.
        least_batch: Smallest batch that makes sense; 1 if each event has a loss of its
            own, whatever others are in the batch.
        keeps: The weights to keep: those of the epoch with the best validation loss, or
            of the last where the loss does not measure success.
    """

    part: ClassVar[Part]
    needs_score: ClassVar[bool] = False
    needs_log_ratio: ClassVar[bool] = False
    least_batch: ClassVar[int] = 1
    keeps: ClassVar[Literal["best", "last"]] = "best"

    @abstractmethod
    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """What the loss needs of events, constant during the phase: (B, d), (B, p) -> (B, *)."""

    @abstractmethod
    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit what is fitted and not trained, on some prepared events.

        It is called before the first step of the first phase that trains the latent
        density, and not again in later ones: what has been trained would be lost.
        """

    @abstractmethod
    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Loss of each event, with shape (B,); what is random comes from the generator."""


def check_positive(name: str, value: float) -> None:
    """Fail unless a setting is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"0 < {name} < infinity", str(value), "correct it")
