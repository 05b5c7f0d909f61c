"""Markov chains: many walkers, many data sets, few sequential calls.

A flow answers for hundreds of parameter points in nearly the time it needs for
one, so the cost of a posterior is the number of *sequential* evaluations. All
walkers of all data sets move in one batch, in coordinates where the prior is a
standard normal:

1. Prior draws are evaluated in one call; the walkers start from the better ones.
2. **Warm-up**: an affine-invariant ensemble in two halves that serve as each
   other's reference. It ends when the mean log-density stops rising.
3. **Sampling**: positions of the warm-up are frozen as an archive, and every
   walker moves on its own with proposals made from the archive. How often each
   kind of move is made follows from how far it got in the warm-up.
4. When R-hat or the effective sample size fall short, the draws become the next
   archive, and the chains run on for twice as long, thinned by two.

**What a chain is.** Walkers of an ensemble move by each other's positions, are
not independent, and R-hat over them would promise too much. Here the archive is
fixed before the first draw is kept: from then on each walker is an ordinary
Markov chain of its own with the same fixed kernel, which is what R-hat and ESS
assume. A chain is one walker.

References:
    | emcee: the MCMC hammer (Foreman-Mackey et al., 2013), halves in turn
    | Differential evolution Markov chain with snooker updater and fewer chains
      (ter Braak & Vrugt, 2008), an archive
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference.convergence import Convergence, convergence
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moves import (
    DifferentialEvolution,
    KernelDensity,
    Move,
    Reference,
    Stretch,
)
from lfi_mflow.inference.walkers import Kernel, Target, Walkers
from lfi_mflow.simulation.priors import Prior

__all__ = ["Draws", "McmcSettings", "sample_posterior"]

MOVES: tuple[Move, ...] = (KernelDensity(), DifferentialEvolution(), Stretch())
_BLOCK = 8  # sweeps of the ensemble between two looks at the warm-up
_MAX_BLOCKS = 25
_CANDIDATES = 8  # prior draws per walker
_ARCHIVE_SWEEPS = 4  # sweeps of the last warm-up block that become the archive
PILOT = 32
_MOVE_FLOOR = 0.05  # every move keeps at least this share


@dataclass(frozen=True)
class McmcSettings:
    """How long to sample.

    Arguments:
        chains: Number of walkers per data set; even, at least 4 (p + 1).
        draws: Draws that are kept per chain.
        r_hat: Largest rank-normalised split R-hat that ends sampling.
        ess: Smallest bulk and tail effective sample size that ends sampling.
        max_evaluations: Sequential evaluations after which sampling ends anyway;
            the diagnostics then tell.
    """

    chains: int = 32
    draws: int = 160
    r_hat: float = 1.01
    ess: float = 400.0
    max_evaluations: int = 10_000


@dataclass(frozen=True)
class Draws:
    """Draws of one posterior, or of D posteriors at once.

    Arguments:
        theta: Parameters, with shape (chains, draws, p) or (D, chains, draws, p), float64.
        log_prob: Log-posterior at the draws, without the last dimension.
        acceptance: Share of accepted proposals per chain, (chains,) or (D, chains).
        convergence: R-hat and effective sample sizes, with shape (p,) or (D, p).
        warm_up: Sequential evaluations before the first kept draw.
        evaluations: All sequential evaluations.
        thinning: Steps between two kept draws.
    """

    theta: Tensor
    log_prob: Tensor
    acceptance: Tensor
    convergence: Convergence
    warm_up: int
    evaluations: int
    thinning: int


def sample_posterior(
    log_posterior: LogPosterior,
    prior: Prior,
    *,
    generator: Generator,
    data_sets: int | None = None,
    settings: McmcSettings | None = None,
) -> Draws:
    """Draw from a posterior, or from D posteriors at once.

    Arguments:
        log_posterior: (W, p) -> (W,), or (D, W, p) -> (D, W) with ``data_sets`` = D.
        prior: The prior that is part of ``log_posterior``.
        generator: Source of all randomness, on the CPU.
        data_sets: Number of data sets; None for one without a leading dimension.
        settings: How long to sample.

    Returns:
        The draws; sampling ended when every parameter of every data set met the
        limits on R-hat and ESS, or at the maximum number of evaluations.

    Raises:
        ConfigError: If the number of chains is odd or too small.
        InputError: If the log-posterior is NaN somewhere, or has no support.
    """
    settings = settings or McmcSettings()
    _check(settings, prior.dim)
    target = Target(log_posterior, prior, data_sets)
    state = _warm_up(target, _start(target, settings.chains, generator), generator)
    pilot = _run_chains(target, state, PILOT, 1, generator)
    state = _State(pilot.last, _spread(pilot.phi, _ARCHIVE_SWEEPS), pilot.gains)
    thinning = 1
    while True:
        warm_up = target.evaluations
        run = _run_chains(target, state, settings.draws, thinning, generator)
        quality = convergence(run.phi.permute(1, 3, 2, 0).numpy())
        next_end = target.evaluations + 2 * thinning * settings.draws
        if quality.within(settings.r_hat, settings.ess) or next_end > settings.max_evaluations:
            return _record(target, run, quality, warm_up, thinning)
        state = _State(run.last, _spread(run.phi, _ARCHIVE_SWEEPS), run.gains)
        thinning *= 2


@dataclass(frozen=True)
class _State:
    """What a round of sampling starts from.

    Arguments:
        walkers: Where the walkers are.
        archive: Positions that proposals are made from, with shape (D, A, p).
        gains: Mean squared distance covered by each kind of move.
    """

    walkers: Walkers
    archive: Tensor
    gains: Tensor


@dataclass(frozen=True)
class _Run:
    """A round of sampling: kept states with leading dimension ``draws``."""

    phi: Tensor
    log_prob: Tensor
    acceptance: Tensor
    last: Walkers
    gains: Tensor


class _Gains:
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


def _check(settings: McmcSettings, p: int) -> None:
    """Fail if the ensemble is too small for its dimension, or the chains too short."""
    least = 4 * (p + 1)
    if settings.chains % 2 or settings.chains < least:
        raise ConfigError(
            f"an even number of at least {least} chains for {p} parameters",
            str(settings.chains),
            "change the number of chains",
        )
    if settings.draws < 4:
        raise ConfigError("at least 4 draws per chain", str(settings.draws), "draw more")


def _start(target: Target, walkers: int, generator: Generator) -> Walkers:
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


def _warm_up(target: Target, walkers: Walkers, generator: Generator) -> _State:
    """Move the ensemble until its mean log-density stops rising."""
    # For a normal posterior the log-density has a standard deviation of sqrt(p / 2).
    tolerance = 0.5 * math.sqrt(target.coordinates.dim)
    level = torch.full((len(walkers.phi),), -math.inf, dtype=torch.float64)
    for _ in range(_MAX_BLOCKS):
        gains, positions, levels = _Gains(), [], []
        for sweep in range(_BLOCK):
            walkers = _sweep(target, walkers, 2 * sweep, gains, generator)
            positions.append(walkers.phi)
            levels.append(walkers.log_prob.mean(1))
        before, level = level, torch.stack(levels).mean(0)
        if (level - before <= tolerance).all():
            break
    return _State(walkers, _spread(torch.stack(positions), _ARCHIVE_SWEEPS), gains.mean())


def _sweep(
    target: Target, walkers: Walkers, turn: int, gains: _Gains, generator: Generator
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


def _run_chains(
    target: Target, state: _State, draws: int, thinning: int, generator: Generator
) -> _Run:
    """Run every walker as a chain of its own, with proposals from the archive."""
    kernel = Kernel(MOVES, Reference(state.archive))
    share = (state.gains / state.gains.max().clamp(min=1e-300)) ** 2 + _MOVE_FLOOR
    moves = torch.multinomial(share, draws * thinning, replacement=True, generator=generator)
    walkers, gains = state.walkers, _Gains()
    accepted = torch.zeros(walkers.log_prob.shape, dtype=torch.float64)
    kept = []
    for number, move in enumerate(moves.tolist(), start=1):
        step = kernel.step(move, walkers, target, generator)
        walkers = step.walkers
        accepted += step.accepted
        gains.add(move, step.gain)
        if number % thinning == 0:
            kept.append(walkers)
    return _Run(
        phi=torch.stack([state.phi for state in kept]),
        log_prob=torch.stack([state.log_prob for state in kept]),
        acceptance=accepted / len(moves),
        last=walkers,
        gains=gains.mean(),
    )


def _spread(positions: Tensor, sweeps: int) -> Tensor:
    """Take some of S sweeps, evenly spaced, as an archive: (S, D, W, p) -> (D, A, p)."""
    chosen = torch.linspace(0, len(positions) - 1, sweeps + 1)[1:].round().long()
    return positions[chosen].transpose(0, 1).flatten(1, 2)


def _record(target: Target, run: _Run, quality: Convergence, warm_up: int, thinning: int) -> Draws:
    """Turn the chains into parameters, in the shapes the caller asked for."""
    phi, log_prob = run.phi.permute(1, 2, 0, 3), run.log_prob.permute(1, 2, 0)
    theta = target.coordinates.theta(phi)
    density = log_prob - target.coordinates.log_jacobian(phi)
    acceptance = run.acceptance
    if target.data_sets is None:
        theta, density, acceptance, quality = theta[0], density[0], acceptance[0], quality[0]
    return Draws(
        theta=theta.contiguous(),
        log_prob=density,
        acceptance=acceptance,
        convergence=quality,
        warm_up=warm_up,
        evaluations=target.evaluations,
        thinning=thinning,
    )
