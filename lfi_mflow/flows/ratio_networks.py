r"""How log r(x | theta) depends on theta: anyhow, or as a quadratic polynomial says.

Cross-sections of an effective field theory are quadratic polynomials in its coefficients, that
of every event and the total one,

.. math:: r(x | \theta) = e^{c(x)} \frac{Q(a(x), B(x); \theta)}{Q(\bar a, \bar B; \theta)}, \quad
    Q(a, B; \theta) = (1 + a \cdot \theta)^2 + |B^T \theta|^2

with B a triangular matrix: every polynomial that is nowhere negative, relative to its value at one
point. What is to be learnt of an event are then a few numbers and no function of theta, and the
network is called once for all theta.

References:
    | Parametrized classifiers for optimal EFT sensitivity
    | (Chen, Glioti, Panico and Wulzer, 2020), https://arxiv.org/abs/2007.10356
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lfi_mflow.charts import NetworkSettings, ResidualNetwork

__all__ = ["FreeRatio", "QuadraticRatio"]

_START = 0.5
"""Diagonal of B before training: at zero no gradient would ever reach it."""


class FreeRatio(ResidualNetwork):
    """A function of events and parameters together.

    Arguments:
        data_dim: Number d of observables.
        theta_dim: Number p of parameters.
        size: The size of the network.
    """

    def __init__(self, data_dim: int, theta_dim: int, size: NetworkSettings) -> None:
        super().__init__(data_dim + theta_dim, 1, size.hidden, size.blocks)

    def forward(self, z: Tensor, theta: Tensor) -> Tensor:  # type: ignore[override]
        """Log r, zero at the start: (..., d), (..., p) -> (...); leading shapes broadcast."""
        shape = torch.broadcast_shapes(z.shape[:-1], theta.shape[:-1])
        inputs = torch.cat([z.expand(*shape, -1), theta.expand(*shape, -1)], dim=-1)
        return super().forward(inputs).squeeze(-1)


class QuadraticRatio(nn.Module):
    """The ratio of an event's quadratic polynomial to that of all events.

    Arguments:
        data_dim: Number d of observables.
        theta_dim: Number p of parameters.
        size: The size of the network for c, a and B.
    """

    places: Tensor

    def __init__(self, data_dim: int, theta_dim: int, size: NetworkSettings) -> None:
        super().__init__()
        self.theta_dim = theta_dim
        places = torch.tril_indices(theta_dim, theta_dim)
        self.register_buffer("places", places, persistent=False)
        start = torch.cat([torch.zeros(theta_dim), _START * (places[0] == places[1])])
        self.register_buffer("start", start, persistent=False)
        self.total = nn.Parameter(start.clone())
        self.network = ResidualNetwork(data_dim, 1 + len(start), size.hidden, size.blocks)

    def forward(self, z: Tensor, theta: Tensor) -> Tensor:
        """Log r, zero at the start: (..., d), (..., p) -> (...); leading shapes broadcast."""
        said = self.network(z)
        event = self._log_polynomial(self.start + said[..., 1:], theta)
        return said[..., 0] + event - self._log_polynomial(self.total, theta)

    def _log_polynomial(self, coefficients: Tensor, theta: Tensor) -> Tensor:
        """Log Q of a and the rows of B: (..., p + p (p + 1) / 2), (..., p) -> (...)."""
        p = self.theta_dim
        a, entries = coefficients.split([p, len(self.places[0])], dim=-1)
        b = entries.new_zeros(*entries.shape[:-1], p, p)
        b[..., self.places[0], self.places[1]] = entries
        q = (1.0 + (a * theta).sum(dim=-1)).square()
        q = q + (theta.unsqueeze(-1) * b).sum(dim=-2).square().sum(dim=-1)
        return q.clamp_min(torch.finfo(q.dtype).tiny).log()
