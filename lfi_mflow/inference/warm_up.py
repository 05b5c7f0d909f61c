"""Warm-up: from prior draws to an ensemble that has found the posterior.

References:
    | emcee: the MCMC hammer (Foreman-Mackey et al., 2013), halves in turn
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import InputError
from lfi_mflow.inference.moves import (
    DifferentialEvolution,
    KernelDensity,
    Move,
    Reference,
    Stretch,
)
from lfi_mflow.inference.walkers import Kernel, Target, Walkers

__all__ = ["MOVES", "Gains", "Learnt", "spread", "start", "warm_up"]

MOVES: tuple[Move, ...] = (KernelDensity(), DifferentialEvolution(), Stretch())

_CANDIDATES = 8  # prior draws per walker
_BLOCK = 8  # sweeps of the ensemble between two looks at its mean log-density
_MAX_BLOCKS = 25
_ARCHIVE = 8  # positions of each walker that go into an archive, at least
_LONG_ARCHIVE = 2048  # positions of a data set in the archive of chains that mix badly
_MOST_PAIRS = 2**24  # of positions in all archives: what their kernels cost


@dataclass(frozen=True)
class Learnt:
    """What a round of sampling learns from the round before.

    Arguments:
        walkers: Where the walkers are.
        archive: Positions that proposals are made from, with shape (D, A, p).
        gains: Mean squared distance covered by each kind of move, with shape (moves,).
    """

    walkers: Walkers
    archive: Tensor
    gains: Tensor


class Gains:
    """Mean squared distance per kind of move."""

    def __init__(self) -> None:
        self._total = torch.zeros(len(MOVES), dtype=torch.float64)
        self._count = torch.zeros(len(MOVES), dtype=torch.float64)

    def add(self, move: int, gain: float) -> None:
        """Count one step."""
        self._total[move] += gain
        self._count[move] += 1

    def mean(self) -> Tensor:
        """Mean per kind of move, zero for one that was never made."""
        return self._total / self._count.clamp(min=1)


def warm_up(target: Target, walkers: int, generator: Generator) -> Learnt:
    """Start an ensemble and move it until its mean log-density stops rising.

    Arguments:
        target: The density of D data sets.
        walkers: Number W of walkers per data set.
        generator: Source of randomness, on the CPU.

    Raises:
        InputError: If the density is zero at all draws from the prior, or NaN.
    """
    # For a normal posterior the log-density has a standard deviation of sqrt(p / 2).
    tolerance = 0.5 * math.sqrt(target.coordinates.dim)
    ensemble = start(target, walkers, generator)
    level = torch.full((len(ensemble.phi),), -math.inf, dtype=torch.float64)
    for _ in range(_MAX_BLOCKS):
        gains, positions, levels = Gains(), [], []
        for sweep in range(_BLOCK):
            ensemble = _sweep(target, ensemble, 2 * sweep, gains, generator)
            positions.append(ensemble.phi)
            levels.append(ensemble.log_prob.mean(1))
        before, level = level, torch.stack(levels).mean(0)
        if (level - before <= tolerance).all():
            break
    return Learnt(ensemble, spread(torch.stack(positions)), gains.mean())


def start(target: Target, walkers: int, generator: Generator) -> Walkers:
    """Choose walkers among prior draws, by likelihood and without repetition.

    Adding Gumbel noise to the log-likelihood and keeping the largest draws
    without replacement: close to the posterior where that is wide, the best of
    the prior draws where it is narrow, and never two walkers at one place.
    """
    shape = (target.data_sets or 1, _CANDIDATES * walkers, target.coordinates.dim)
    phi = torch.randn(shape, generator=generator, dtype=torch.float64)
    log_prob = target(phi)
    if torch.isneginf(log_prob).all(dim=1).any():
        raise InputError(
            "a posterior density above zero somewhere in the prior",
            f"zero at all of {shape[1]} draws from the prior",
            "check that the observed events and the prior belong to this model",
        )
    log_weight = log_prob + 0.5 * phi.square().sum(-1)
    noise = torch.empty_like(log_weight).exponential_(generator=generator)
    chosen = (log_weight - noise.log()).topk(walkers, dim=1).indices
    index = chosen.unsqueeze(-1).expand(-1, -1, shape[2])
    return Walkers(phi.gather(1, index), log_prob.gather(1, chosen))


def _sweep(
    target: Target, walkers: Walkers, turn: int, gains: Gains, generator: Generator
) -> Walkers:
    """Move one half of the ensemble by the other, then the other by the one."""
    halves = [walkers.half(0), walkers.half(1)]
    for which in (0, 1):
        move = (turn + which) % len(MOVES)
        kernel = Kernel(MOVES, Reference(halves[1 - which].phi))
        step = kernel.step(move, halves[which], target, generator)
        halves[which] = step.walkers
        gains.add(move, step.gain)
    return Walkers.join(*halves)


def spread(positions: Tensor, *, longer: bool = False) -> Tensor:
    """Choose evenly spaced ones of S states as an archive: (S, D, W, p) -> (D, A, p).

    Arguments:
        positions: Positions of the W walkers of D data sets.
        longer: As many as their kernels can be afforded for: modes that are far apart
            take many to resolve.
    """
    states, sets, walkers, _ = positions.shape
    number = _ARCHIVE
    if longer:
        number = max(number, min(_LONG_ARCHIVE, math.isqrt(_MOST_PAIRS // sets)) // walkers)
    chosen = torch.linspace(0, states - 1, min(number, states))
    return positions[chosen.round().long()].transpose(0, 1).flatten(1, 2)
