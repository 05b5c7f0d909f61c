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
    | Approximating posterior distributions by mixtures (West, 1993), for kernels
      that keep the covariance
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Generator, Tensor

__all__ = ["DifferentialEvolution", "KernelDensity", "Kernels", "Move", "Reference", "Stretch"]


_DEGREES = 6
"""Degrees of freedom of the kernels: tails heavier than those of a posterior, so
that no walker is left behind where the estimate is too low."""

_WIDE, _WIDE_SHARE = 1.5, 0.1
"""Scale and share of a wide t distribution mixed in as a safeguard."""

_BANDWIDTHS = tuple(0.9 * 1.5**-k for k in range(8))


@dataclass(frozen=True)
class Kernels:
    """Student t kernels around points of unit covariance.

    The kernels of bandwidth h sit at the points shrunk by sqrt(1 - h^2) towards
    their mean, which keeps the covariance (West, 1993): from a single wide t
    distribution at h near 1, right for a normal posterior, to a fine estimate at
    small h, right for separate modes. The leave-one-out likelihood of the points
    chooses h for each data set.

    Arguments:
        centres: Centres of the kernels, with shape (D, A, p).
        bandwidth: Bandwidths, with shape (D, 1, 1).
    """

    centres: Tensor
    bandwidth: Tensor

    @classmethod
    def fit(cls, points: Tensor) -> Kernels:
        """Choose the bandwidth for points with shape (D, A, p)."""
        scores = torch.stack([cls.at(points, h).leave_one_out(points) for h in _BANDWIDTHS])
        best = torch.tensor(_BANDWIDTHS, dtype=points.dtype)[scores.argmax(0)]
        return cls.at(points, best[:, None, None])

    @classmethod
    def at(cls, points: Tensor, bandwidth: float | Tensor) -> Kernels:
        """Place kernels of a given bandwidth."""
        h = torch.as_tensor(bandwidth, dtype=points.dtype).expand(len(points), 1, 1)
        mean = points.mean(1, keepdim=True)
        return cls(mean + torch.sqrt(1.0 - h**2) * (points - mean), h)

    def log_kernels(self, x: Tensor) -> Tensor:
        """Log of each kernel up to a constant of p: (D, W, p) -> (D, W, A)."""
        p = x.shape[-1]
        # |x|^2 + |c|^2 - 2 x c: no array with a dimension of p beside those of all pairs
        norms = [points.square().sum(-1) for points in (x, self.centres)]
        total = norms[0].unsqueeze(2) + norms[1].unsqueeze(1)
        squares = torch.baddbmm(total, x, self.centres.mT, alpha=-2.0).clamp_min_(0.0)
        log_t = squares.div_(_DEGREES * self.bandwidth**2).log1p_()
        return -0.5 * (_DEGREES + p) * log_t - p * self.bandwidth.log()

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density up to a constant: (D, W, p) -> (D, W)."""
        size, p = self.centres.shape[1:]
        narrow = torch.logsumexp(self.log_kernels(x), dim=-1) - math.log(size)
        squares = (x - self.centres.mean(1, keepdim=True)).square().sum(-1)
        log_t = torch.log1p(squares / (_DEGREES * _WIDE**2))
        wide = -0.5 * (_DEGREES + p) * log_t - p * math.log(_WIDE)
        return torch.logaddexp(narrow + math.log(1.0 - _WIDE_SHARE), wide + math.log(_WIDE_SHARE))

    def leave_one_out(self, points: Tensor) -> Tensor:
        """Sum of log-densities of the points, each without its own kernel: (D,)."""
        # A walker that stayed repeats its position: such twins would ask for h = 0.
        twins = (points.unsqueeze(2) == points.unsqueeze(1)).all(-1)
        return torch.logsumexp(self.log_kernels(points).masked_fill(twins, -math.inf), -1).sum(-1)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Draw points, with shape (D, count, p)."""
        sets, size, p = self.centres.shape
        index = torch.randint(size, (sets, count, 1), generator=generator).expand(-1, -1, p)
        dtype = self.centres.dtype
        normal = torch.randn((sets, count, p), generator=generator, dtype=dtype)
        squares = torch.randn((sets, count, _DEGREES), generator=generator, dtype=dtype).square()
        student = normal / squares.mean(-1, keepdim=True).sqrt()
        narrow = self.centres.gather(1, index) + self.bandwidth * student
        wide = self.centres.mean(1, keepdim=True) + _WIDE * student
        from_wide = torch.rand((sets, count, 1), generator=generator) < _WIDE_SHARE
        return torch.where(from_wide, wide, narrow)


class Reference:
    """Reference points and what the moves need to know of them.

    Arguments:
        points: Positions, with shape (D, A, p), A > p + 1.

    Attributes:
        points: The positions.
        scale_tril: Cholesky factor of their covariance, with shape (D, p, p).
        whitened: The positions with unit covariance.
    """

    def __init__(self, points: Tensor) -> None:
        self.points = points
        centred = points - points.mean(1, keepdim=True)
        covariance = centred.mT @ centred / (points.shape[1] - 1)
        # A tiny ridge keeps the factor defined when a direction has (nearly) collapsed.
        variance = covariance.diagonal(dim1=-2, dim2=-1)
        ridge = 1e-10 * variance + torch.finfo(points.dtype).tiny ** 0.5
        self.scale_tril: Tensor = torch.linalg.cholesky(covariance + torch.diag_embed(ridge))
        self.whitened = self.whiten(points)

    def whiten(self, x: Tensor) -> Tensor:
        """Coordinates in which the reference has unit covariance: (D, W, p) -> (D, W, p)."""
        return torch.linalg.solve_triangular(self.scale_tril, x.mT, upper=False).mT

    @cached_property
    def kernels(self) -> Kernels:
        """Kernel density estimate of the points, in whitened coordinates."""
        return Kernels.fit(self.whitened)

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

    y = x_j + z (x - x_j), with z from the density z^(-1/2) on [1/a, a].

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

    y = x + gamma (x_j - x_k). The multiple gamma is 2.38 / sqrt(2 p), blurred by
    10 %; one time in ten it is 1, which jumps between modes.

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

    In a few dimensions most proposals are accepted and successive draws are almost
    independent, between modes too; in many dimensions the other moves take over.
    """

    def propose(
        self, x: Tensor, reference: Reference, generator: Generator
    ) -> tuple[Tensor, Tensor]:
        """Propose new positions; see :class:`Move`."""
        white = reference.kernels.sample(x.shape[1], generator)
        both = torch.cat([reference.whiten(x), white], dim=1)
        log_q_x, log_q_y = reference.kernels.log_prob(both).split(x.shape[1], dim=1)
        return white @ reference.scale_tril.mT, log_q_x - log_q_y
