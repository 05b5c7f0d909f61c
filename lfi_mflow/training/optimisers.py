"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from lfi_mflow.training.soap import Soap

__all__ = ["OPTIMISERS"]


class MakeOptimiser(Protocol):
    """Makes an optimiser: decay of the mean gradient (beta_1), decoupled weight decay."""

    def __call__(
        self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
    ) -> Optimizer:
        """Return an optimiser of the parameters."""


def _adamw(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """Make AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    betas = (momentum, 0.99)
    return torch.optim.AdamW(parameters, lr, betas=betas, weight_decay=weight_decay, fused=True)


def _soap(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float
) -> Optimizer:
    """Make SOAP."""
    return Soap(parameters, lr, betas=(momentum, 0.95), weight_decay=weight_decay)


OPTIMISERS: Mapping[str, MakeOptimiser] = {"adamw": _adamw, "soap": _soap}
