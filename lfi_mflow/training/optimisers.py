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
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float | None,
        weight_decay: float,
    ) -> Optimizer:
        """Return an optimiser of the parameters."""


def _adamw(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float | None, weight_decay: float
) -> Optimizer:
    """Make AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""
    betas = (0.9 if momentum is None else momentum, 0.99)
    return torch.optim.AdamW(parameters, lr, betas=betas, weight_decay=weight_decay, fused=True)


def _soap(
    parameters: Iterable[nn.Parameter], lr: float, momentum: float | None, weight_decay: float
) -> Optimizer:
    """Make SOAP."""
    betas = (0.95 if momentum is None else momentum, 0.95)
    return Soap(parameters, lr, betas=betas, weight_decay=weight_decay)


OPTIMISERS: Mapping[str, MakeOptimiser] = {"adamw": _adamw, "soap": _soap}
