"""Coordinates in which the prior is a standard normal distribution.

phi = Phi^-1(F(theta)), with F the cumulative distribution of the prior and Phi
that of the standard normal, one parameter at a time. A sampler that works in
phi never meets a boundary, starts from phi ~ N(0, 1), and needs no scale.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lfi_mflow.simulation.priors import Normal, Prior

__all__ = ["PriorCoordinates"]


class PriorCoordinates:
    """The map between parameters theta and coordinates phi.

    Arguments:
        prior: The prior over p parameters.
    """

    def __init__(self, prior: Prior) -> None:
        self.dim = prior.dim
        normal = [isinstance(marginal, Normal) for marginal in prior.marginals]
        # A uniform column is low + width * Phi(phi), a normal one is mean + sd * phi.
        self._normal = torch.tensor(normal)
        pairs = [
            (m.mean, m.sd) if isinstance(m, Normal) else (m.low, m.high - m.low)
            for m in prior.marginals
        ]
        self._shift, self._scale = torch.tensor(pairs, dtype=torch.float64).T

    def theta(self, phi: Tensor) -> Tensor:
        """Parameters of coordinates: (..., p) -> (..., p)."""
        standard = torch.where(self._normal, phi, torch.special.ndtr(phi))
        theta = self._shift + self._scale * standard
        # Rounding must not push a point out of the support.
        end = torch.where(self._normal, math.inf, self._shift + self._scale)
        return torch.minimum(theta, end)

    def log_jacobian(self, phi: Tensor) -> Tensor:
        """Log of |d theta / d phi|: (..., p) -> (...)."""
        density = -0.5 * phi**2 - 0.5 * math.log(2 * math.pi)
        return (self._scale.log() + torch.where(self._normal, 0.0, density)).sum(-1)
