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

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference.convergence import Convergence, convergence
from lfi_mflow.inference.coordinates import PriorCoordinates
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.moves import (
    DifferentialEvolution,
    KernelDensity,
    Move,
    Reference,
    Stretch,
)
from lfi_mflow.simulation.priors import Prior

__all__ = ["Draws", "McmcSettings", "sample_posterior"]

MOVES: tuple[Move, ...] = (KernelDensity(), DifferentialEvolution(), Stretch())
_BLOCK = 8  # sweeps of the ensemble between two looks at the warm-up
_MAX_BLOCKS = 25
_CANDIDATES = 8  # prior draws per walker
_ARCHIVE_SWEEPS = 4  # sweeps of the last warm-up block that become the archive
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
    target = _Target(log_posterior, prior, data_sets)
    ensemble = _start(target, settings.chains, generator)
    archive, gains = _warm_up(target, ensemble, generator)
    thinning = 1
    while True:
        warm_up = target.evaluations
        run = _run_chains(target, ensemble, _Kernel(archive, gains), settings.draws, thinning, generator)
        quality = convergence(run.theta.movedim(-1, 1).numpy())
        next_round = target.evaluations + 2 * thinning * settings.draws
        if quality.within(settings.r_hat, settings.ess) or next_round > settings.max_evaluations:
            break
        archive, thinning = _thin(run.phi, len(ensemble.log_prob[0])), 2 * thinning
    return _record(run, quality, warm_up, target, thinning)
