"""Proposals made from other points of the same distribution.

Each move proposes new positions for walkers x from reference points that do not
change while the walkers move: the other half of the ensemble while it warms up,
an archive of past positions afterwards. Given the reference each is an ordinary
Metropolis-Hastings proposal, and all are invariant under affine maps: they learn
scale and correlation from the reference, and there is nothing to tune.

References:
    | Ensemble samplers with affine invariance (Goodman & Weare, 2010)
    | A Markov chain Monte Carlo version of the genetic algorithm differential
      evolution (ter Braak, 2006)
    | Differential evolution Markov chain with snooker updater and fewer chains
      (ter Braak & Vrugt, 2008), for the frozen archive
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

__all__ = ["DifferentialEvolution", "KernelDensity", "Move", "Reference", "Stretch"]


class Reference:
    """Reference points and what the moves need to know of them.

    Arguments:
        points: Positions, with shape (D, A, p), A > p + 1.

    Attributes:
        points: The positions.
        scale_tril: Cholesky factor of their covariance, with shape (D, p, p).
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points
        centred = points - points.mean(1, keepdim=True)
        covariance = centred.mT @ centred / (points.shape[1] - 1)
        # A tiny ridge keeps the factor defined when a direction has (nearly) collapsed.
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        ridge = 1e-10 * variance + torch.finfo(points.dtype).tiny ** 0.5
        self.scale_tril: Tensor = torch.linalg.cholesky(covariance + torch.diag_embed(ridge))
        self._whitened = self.whiten(points)

    def whiten(self, x: Tensor) -> Tensor:
        """Coordinates in which the reference has unit covariance: (D, W, p) -> (D, W, p)."""
        return torch.linalg.solve_triangular(self.scale_tril, x.mT, upper=False).mT

    def squared_distances(self, x: Tensor) -> Tensor:
        """Whitened squared distances to the points: (D, W, p) -> (D, W, A)."""
        difference = self.whiten(x).unsqueeze(2) - self._whitened.unsqueeze(1)
        return difference.square().sum(-1)

    def pick(self, count: int, walkers: int, generator: Generator) -> Tensor:
        """Draw ``count`` different points per walker, with shape (count, D, W, p)."""
        sets, size, p = self.points.shape
        # Offsets 1 ... A-1 from the first index give a different second one.
        first = torch.randint(size, (sets, walkers), generator=generator)
        picks = [first]
        if count == 2:
            offset = torch.randint(1, size, (sets, walkers), generator=generator)
            picks.append((first + offset) % size)
        index = torch.stack(picks).unsqueeze(-1).expand(-1, -1, -1, p)
        return torch.gather(self.points.expand(count, -1, -1, -1), 2, index)


class Move(ABC):
    """A proposal for every walker."""

    @abstractmethod
    def propose(
        self, x: Tensor, reference: Reference, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Propose new positions.

        Arguments:
            x: Positions of the walkers, with shape (D, W, p).
            reference: Points that stay where they are meanwhile.
            generator: Source of randomness, on the CPU.

        Returns:
            The proposals y, with shape (D, W, p), and log q(x | y) - log q(y | x),
            with shape (D, W).
        """


@dataclass(frozen=True)
class Stretch(Move):
    """Stretch or shrink the line from a reference point to the walker.

    .. math:: y = x_j + z (x - x_j), \\quad g(z) \\propto z^{-1/2}, z \\in [1/a, a]

    Arguments:
        a: Largest stretch.
    """

    a: float = 2.0

    def propose(
        self, x: Tensor, reference: Reference, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Propose new positions; see :class:`Move`."""
        (anchor,) = reference.pick(1, x.shape[1], generator)
        uniform = torch.rand(x.shape[:2], generator=generator, dtype=x.dtype)
        z = ((self.a - 1.0) * uniform + 1.0) ** 2 / self.a
        return anchor + z.unsqueeze(-1) * (x - anchor), (x.shape[-1] - 1) * z.log()


@dataclass(frozen=True)
class DifferentialEvolution(Move):
    """Step by a multiple of the difference of two reference points.

    .. math:: y = x + \\gamma (x_j - x_k)

    The multiple is 2.38 / sqrt(2 p), blurred by 10 %; one time in ten it is 1,
    which jumps between modes.

    Arguments:
        blur: Relative spread of the multiple.
        jump_rate: How often the multiple is 1.
    """

    blur: float = 0.1
    jump_rate: float = 0.1

    def propose(
        self, x: Tensor, reference: Reference, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Propose new positions; see :class:`Move`."""
        first, second = reference.pick(2, x.shape[1], generator)
        shape = x.shape[:2]
        jump = torch.rand(shape, generator=generator) < self.jump_rate
        gamma = torch.where(jump, 1.0, 2.38 / math.sqrt(2 * x.shape[-1])).to(x.dtype)
        gamma = gamma * (1.0 + self.blur * torch.randn(shape, generator=generator, dtype=x.dtype))
        return x + gamma.unsqueeze(-1) * (first - second), x.new_zeros(shape)


@dataclass(frozen=True)
class KernelDensity(Move):
    """Propose from a kernel density estimate of the reference, wherever the walker is.

    Kernels are Student t distributions with the covariance of the reference times
    Scott's bandwidth squared; their tails are heavier than those of a posterior,
    so that no walker is left behind. In one to three dimensions nearly every
    proposal is accepted and successive draws are almost independent, between
    modes too; in many dimensions the other moves take over.

    Arguments:
        degrees: Degrees of freedom of the kernels.
    """

    degrees: int = 4

    def propose(
        self, x: Tensor, reference: Reference, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Propose new positions; see :class:`Move`."""
        size, p = reference.points.shape[1:]
        bandwidth = size ** (-1.0 / (p + 4))
        (centre,) = reference.pick(1, x.shape[1], generator)
        normal = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        squares = torch.randn((*x.shape[:2], self.degrees), generator=generator, dtype=x.dtype)
        chi2 = squares.square().mean(-1, keepdim=True)
        y = centre + bandwidth * (normal / chi2.sqrt()) @ reference.scale_tril.mT
        both = reference.squared_distances(torch.cat([x, y], dim=1)) / bandwidth**2
        power = -0.5 * (self.degrees + p)
        log_q = torch.logsumexp(power * torch.log1p(both / self.degrees), dim=-1)
        log_q_x, log_q_y = log_q.split(x.shape[1], dim=1)
        return y, log_q_x - log_q_y
