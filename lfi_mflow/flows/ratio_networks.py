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

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts import NetworkSettings, ResidualNetwork

__all__ = ["FreeRatio", "QuadraticRatio"]

_START = 0.5
"""Diagonal of B before training: at zero no gradient would ever reach it."""
_LEAST = 1e-12


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
        most: What r, averaged over theta of zero mean and unit covariance, stays below at
            every event, in units of what it starts from; larger than one, no bound by default.
    """

    places: Tensor
    start: Tensor

    def __init__(
        self, data_dim: int, theta_dim: int, size: NetworkSettings, most: float = math.inf
    ) -> None:
        super().__init__()
        self.most = most
        self.theta_dim = theta_dim
        places = torch.tril_indices(theta_dim, theta_dim)
        self.register_buffer("places", places, persistent=False)
        start = torch.cat([torch.zeros(theta_dim), _START * (places[0] == places[1])])
        self.register_buffer("start", start, persistent=False)
        # nothing to be learnt without parameters
        self.total = nn.Parameter(start.clone(), requires_grad=theta_dim > 0)
        self.network = ResidualNetwork(data_dim, 1 + len(start), size.hidden, size.blocks)

    def forward(self, z: Tensor, theta: Tensor) -> Tensor:
        """Log r, zero at the start: (..., d), (..., p) -> (...); leading shapes broadcast."""
        log_factor, coefficients = self._of_event(z)
        event = self._log_polynomial(coefficients, theta)
        return log_factor + event - self._log_polynomial(self.total, theta)

    @torch.no_grad()
    def moments(self, z: Tensor) -> Tensor:
        r"""The matrices of events whose quadratic forms are r times its denominator.

        .. math:: M = e^{c} \left[ {1 \choose a} {1 \choose a}^T
            + {0 \choose B} {0 \choose B}^T \right]

        Arguments:
            z: Events, with shape (..., d).

        Returns:
            M, with shape (..., 1 + p, 1 + p), on the CPU, in double precision.
        """
        log_factor, coefficients = self._of_event(z)
        a, b = self._coefficients(coefficients)
        first = torch.cat([a.new_ones(*a.shape[:-1], 1), a], dim=-1).unsqueeze(-1)
        rows = torch.cat([first, F.pad(b, (0, 0, 1, 0))], dim=-1).cpu().double()
        return log_factor.cpu().double().exp()[..., None, None] * rows @ rows.mT

    @torch.no_grad()
    def normalise(self, mean: Tensor) -> Tensor:
        """Give the average of r the same value at all theta, and return its logarithm.

        Arguments:
            mean: The average of :meth:`moments`, with shape (1 + p, 1 + p), in double precision.
        """
        norm, a = mean[0, 0], mean[1:, 0] / mean[0, 0]
        # The Schur complement: zero where all events say the same of theta, and there rounding
        # must not make it negative.
        rest = mean[1:, 1:] / norm - torch.outer(a, a)
        b = torch.linalg.cholesky(rest + _LEAST * torch.eye(len(a)).to(rest))
        self.total.copy_(torch.cat([a, b[tuple(self.places.cpu())]]))
        return norm.log()

    def _of_event(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log-factor c, and a and the rows of B: (..., d) -> (...), (..., p + p (p + 1) / 2)."""
        said = self.network(z)
        log_factor, entries = said[..., 0], self.start + said[..., 1:]
        if self.most < math.inf:  # softly, and zero stays zero
            log_factor = math.log(self.most) - F.softplus(math.log(self.most - 1.0) - log_factor)
            # the average of Q is 1 + |a|^2 + |B|^2
            start, average = (1.0 + v.square().sum(dim=-1) for v in (self.start, entries))
            log_factor = log_factor + (start / average).log()
        return log_factor, entries

    def _coefficients(self, entries: Tensor) -> tuple[Tensor, Tensor]:
        """Part a and the rows of B: (..., p + p (p + 1) / 2) -> (..., p), (..., p, p)."""
        p = self.theta_dim
        a, rows = entries.split([p, len(self.places[0])], dim=-1)
        b = rows.new_zeros(*rows.shape[:-1], p, p)
        b[..., self.places[0], self.places[1]] = rows
        return a, b

    def _log_polynomial(self, coefficients: Tensor, theta: Tensor) -> Tensor:
        """Log Q of a and the rows of B: (..., p + p (p + 1) / 2), (..., p) -> (...)."""
        a, b = self._coefficients(coefficients)
        q = (1.0 + (a * theta).sum(dim=-1)).square()
        q = q + (theta.unsqueeze(-1) * b).sum(dim=-2).square().sum(dim=-1)
        return q.clamp_min(torch.finfo(q.dtype).tiny).log()
