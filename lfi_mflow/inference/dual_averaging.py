"""Tuning a step size to a wanted acceptance, for D data sets at once.

References:
    | The No-U-Turn sampler (Hoffman & Gelman, 2014), section 3.2, arXiv:1111.4246
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["DualAveraging"]

_WANTED = 0.9
_SHRINK, _EARLY, _FORGET = 0.05, 10.0, 0.75  # gamma, t0 and kappa of the reference


class DualAveraging:
    """A step size that follows the acceptance, and its average over the iterations.

    Arguments:
        step_size: Where to begin, with shape (D,).
        wanted: The wanted mean probability of acceptance.
    """

    def __init__(self, step_size: Tensor, wanted: float = _WANTED) -> None:
        self._centre = math.log(2.0) + step_size.log()
        self._wanted = wanted
        self._log_step = step_size.log()
        self._log_mean = torch.zeros_like(step_size)
        self._error = torch.zeros_like(step_size)
        self._count = 0

    @property
    def step_size(self) -> Tensor:
        """Step size to try next, with shape (D,)."""
        return self._log_step.exp()

    @property
    def mean_step_size(self) -> Tensor:
        """Step size to keep when the tuning ends, with shape (D,)."""
        return self._log_mean.exp()

    def update(self, acceptance: Tensor) -> None:
        """Take in the acceptance at the last step size, with shape (D,)."""
        self._count += 1
        share = 1.0 / (self._count + _EARLY)
        self._error = (1.0 - share) * self._error + share * (self._wanted - acceptance)
        self._log_step = self._centre - math.sqrt(self._count) / _SHRINK * self._error
        share = self._count**-_FORGET
        self._log_mean = share * self._log_step + (1.0 - share) * self._log_mean
