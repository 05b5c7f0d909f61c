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
   kind of move is made follows from how far it got before. A short pilot run
   gives a better archive, the next run is kept.
4. When R-hat or the effective sample size fall a little short, the chains run on
   for as long again, thinned by two. When they fall far short, what was drawn
   becomes the next archive, a longer one, and the next run is twice as long.

**What a chain is.** Walkers of an ensemble move by each other's positions, are
not independent, and R-hat over them would promise too much. Here the archive is
fixed before the first draw is kept: from then on each walker is an ordinary
Markov chain of its own with the same fixed kernel, which is what R-hat and ESS
assume. A chain is one walker.

References:
    | Differential evolution Markov chain with snooker updater and fewer chains
      (ter Braak & Vrugt, 2008), an archive
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.convergence import Convergence, convergence
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moves import Reference
from lfi_mflow.inference.walkers import Kernel, Target, Walkers
from lfi_mflow.inference.warm_up import MOVES, Gains, Learnt, spread, warm_up
from lfi_mflow.simulation.priors import Prior

__all__ = ["Chains", "Draws", "McmcSettings", "check_settings", "record_draws", "sample_posterior"]

_PILOT = 32  # steps of the pilot run
_MOVE_FLOOR = 0.05  # every kind of move keeps at least about this share
_NEAR_R_HAT, _NEAR_ESS = 1.05, 0.25  # a little short: R-hat, share of the wanted ESS


@dataclass(frozen=True)
class McmcSettings:
    """How long to sample.

    Arguments:
        chains: Number of walkers per data set; even, at least 4 (p + 1) in an ensemble.
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
        diverging: At which draws the trajectory had come off its course, with the shape
            of ``log_prob``; None for a sampler without trajectories.
    """

    theta: Tensor
    log_prob: Tensor
    acceptance: Tensor
    convergence: Convergence
    warm_up: int
    evaluations: int
    thinning: int
    diverging: Tensor | None = None


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
    check_settings(settings, 4 * (prior.dim + 1), prior.dim)
    target = Target(log_posterior, prior, data_sets)
    learnt = warm_up(target, settings.chains, generator)
    pilot = _Chains(target, learnt, generator)
    pilot.run(_PILOT)
    chains = _Chains(target, pilot.learnt(), generator)
    chains.run(settings.draws)
    while True:
        quality = chains.diagnose()
        more = chains.thinning * settings.draws
        if quality.within(settings.r_hat, settings.ess):
            break
        if target.evaluations + 2 * more > settings.max_evaluations:
            break
        if quality.within(max(_NEAR_R_HAT, settings.r_hat), _NEAR_ESS * settings.ess):
            chains.thin()
        else:
            learnt = chains.learnt(longer=True)
            chains = _Chains(target, learnt, generator, thinning=2 * chains.thinning)
        chains.run(settings.draws - chains.kept)
    return record_draws(target, chains, quality)


class _Chains:
    """One Markov chain per walker, with proposals from an archive that stays as it is.

    Arguments:
        target: The density of D data sets.
        learnt: Starting points, archive and gains of the moves.
        generator: Source of randomness, on the CPU.
        thinning: Steps between two kept states.
    """

    def __init__(
        self, target: Target, learnt: Learnt, generator: Generator, thinning: int = 1
    ) -> None:
        self.thinning = thinning
        self.warm_up = target.evaluations
        self._target = target
        self._generator = generator
        self._walkers = learnt.walkers
        self._kernel = Kernel(MOVES, Reference(learnt.archive))
        self._share = (learnt.gains / learnt.gains.max().clamp(min=1e-300)) ** 2 + _MOVE_FLOOR
        self._gains = Gains()
        self._accepted = torch.zeros(learnt.walkers.log_prob.shape, dtype=torch.float64)
        self._history: list[Walkers] = []

    @property
    def kept(self) -> int:
        """Number of kept states."""
        return len(self._history)

    def run(self, draws: int) -> None:
        """Go on until ``draws`` more states are kept."""
        for _ in range(draws):
            moves = torch.multinomial(
                self._share, self.thinning, replacement=True, generator=self._generator
            )
            for move in moves.tolist():
                step = self._kernel.step(move, self._walkers, self._target, self._generator)
                self._walkers = step.walkers
                self._accepted += step.accepted
                self._gains.add(move, step.gain)
            self._history.append(self._walkers)

    def thin(self) -> None:
        """Keep every second state, of the past and of the future."""
        self._history = self._history[1::2]
        self.thinning *= 2

    def phi(self) -> Tensor:
        """Kept positions, with shape (draws, D, W, p)."""
        return torch.stack([walkers.phi for walkers in self._history])

    def log_prob(self) -> Tensor:
        """Log-density with respect to d phi at the kept positions, (draws, D, W)."""
        return torch.stack([walkers.log_prob for walkers in self._history])

    def acceptance(self) -> Tensor:
        """Share of accepted proposals, with shape (D, W)."""
        return self._accepted / (self._target.evaluations - self.warm_up)

    def learnt(self, *, longer: bool = False) -> Learnt:
        """What the next chains can learn from these, with a longer archive if they need one."""
        archive = spread(self.phi(), longer=longer)
        return Learnt(self._walkers, archive, self._gains.mean())

    def diagnose(self) -> Convergence:
        """R-hat and effective sample sizes, with shape (D, p).

        They depend on ranks only, so phi serves as well as theta.
        """
        return convergence(self.phi().permute(1, 3, 2, 0).numpy())


def check_settings(settings: McmcSettings, least: int, p: int) -> None:
    """Fail if there are fewer than ``least`` chains for p parameters, or they are too short."""
    if settings.chains % 2 or settings.chains < least:
        raise ConfigError(
            f"an even number of at least {least} chains for {p} parameters",
            str(settings.chains),
            "change the number of chains",
        )
    if settings.draws < 4:
        raise ConfigError("at least 4 draws per chain", str(settings.draws), "draw more")


class Chains(Protocol):
    """What :func:`record_draws` wants to know of Markov chains; shapes (draws, D, W, ...)."""

    thinning: int
    warm_up: int

    def phi(self) -> Tensor:
        """Kept positions."""

    def log_prob(self) -> Tensor:
        """Log-density with respect to d phi at the kept positions."""

    def acceptance(self) -> Tensor:
        """Share of accepted proposals, with shape (D, W)."""


def record_draws(target: Target, chains: Chains, quality: Convergence) -> Draws:
    """Turn chains into parameters, in the shapes the caller asked for."""
    phi, log_prob = chains.phi().permute(1, 2, 0, 3), chains.log_prob().permute(1, 2, 0)
    theta = target.coordinates.theta(phi).contiguous()
    density = (log_prob - target.coordinates.log_jacobian(phi)).contiguous()
    acceptance = chains.acceptance()
    if target.data_sets is None:
        theta, density, acceptance, quality = theta[0], density[0], acceptance[0], quality[0]
    return Draws(
        theta=theta,
        log_prob=density,
        acceptance=acceptance,
        convergence=quality,
        warm_up=chains.warm_up,
        evaluations=target.evaluations,
        thinning=chains.thinning,
    )
