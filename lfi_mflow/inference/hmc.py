r"""Hamiltonian Monte Carlo: many chains, many data sets, guided by the gradient.

An ensemble of walkers has to guess where to go, and in many dimensions it guesses
badly. The gradient of the log-posterior knows: every chain moves like a particle in the
potential :math:`-\log p`, and goes far in a few steps. All chains of all data sets move
in one batch, in coordinates where the prior is a standard normal.

1. The chains start from the better ones of many draws from the prior.
2. **Warm-up** in windows. Within a window the step size of each data set is tuned to an
   acceptance of 0.9 by dual averaging; after it the mass matrix is set to the inverse
   covariance of the positions of all chains of the data set: dense where they suffice
   for that, diagonal elsewhere. It ends when the mean log-density stops rising.
3. **Sampling** with step size and mass matrix fixed: every chain is an ordinary Markov
   chain of its own. Trajectories have a random length around a quarter of the period of
   a normal posterior.
4. When R-hat or the effective sample size fall short, the chains run on, thinned by two;
   when far short, what was drawn gives a new mass matrix, and they begin anew.

A trajectory whose energy is off by more than 1,000 **diverges**: the posterior has a
corner that the step size does not resolve. Draws near it are missing, and a count above
zero is a warning.

References:
    | MCMC using Hamiltonian dynamics (Neal, 2011), arXiv:1206.1901
    | The No-U-Turn sampler (Hoffman & Gelman, 2014), arXiv:1111.4246, for dual averaging
    | An adaptive-MCMC scheme for setting trajectory lengths in Hamiltonian Monte Carlo
      (Hoffman, Radul & Sountsov, 2021), for what many chains can share
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from lfi_mflow.inference.convergence import Convergence, convergence
from lfi_mflow.inference.dual_averaging import DualAveraging
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.mcmc import Draws, McmcSettings, check_settings, record_draws
from lfi_mflow.inference.walkers import Target
from lfi_mflow.inference.warm_up import start
from lfi_mflow.simulation.priors import Prior

__all__ = ["sample_by_gradient"]

_LEAST_CHAINS = 4
_WINDOW = 25  # steps between two estimates of the mass matrix
_LEAST_WINDOWS, _MOST_WINDOWS = 3, 12
_DENSE = 10  # positions per parameter that a dense mass matrix takes
_QUARTER = math.pi / 2  # of a period of the normal distribution with unit covariance
_MAX_LEAPS, _MAX_EARLY_LEAPS = 64, 12  # of a trajectory; early means in the warm-up
_DIVERGED = 1_000.0
_NEAR_R_HAT, _NEAR_ESS = 1.05, 0.25  # a little short: R-hat, share of the wanted ESS


@dataclass(frozen=True)
class _State:
    """Where the chains are: phi and gradient with shape (D, C, p), log_prob with (D, C)."""

    phi: Tensor
    log_prob: Tensor
    gradient: Tensor

    @classmethod
    def at(cls, target: Target, phi: Tensor) -> _State:
        """Evaluate at positions."""
        return cls(phi, *target.with_gradient(phi))

    def where(self, condition: Tensor, other: _State) -> _State:
        """Keep the chains for which the condition (D, C) holds, and take those of ``other``."""
        wide = condition.unsqueeze(-1)
        return _State(
            torch.where(wide, self.phi, other.phi),
            torch.where(condition, self.log_prob, other.log_prob),
            torch.where(wide, self.gradient, other.gradient),
        )


@dataclass(frozen=True)
class _Step:
    """The chains after a trajectory; acceptance and diverging with shape (D, C)."""

    state: _State
    acceptance: Tensor
    diverging: Tensor


def sample_by_gradient(
    log_posterior: LogPosterior,
    prior: Prior,
    *,
    generator: Generator,
    data_sets: int | None = None,
    settings: McmcSettings | None = None,
) -> Draws:
    """Draw from a posterior, or from D posteriors at once, by Hamiltonian Monte Carlo.

    Arguments:
        log_posterior: Differentiable; (W, p) -> (W,), or (D, W, p) -> (D, W) with
            ``data_sets`` = D.
        prior: The prior that is part of ``log_posterior``.
        generator: Source of all randomness, on the CPU.
        data_sets: Number of data sets; None for one without a leading dimension.
        settings: How long to sample; an evaluation is one of density and gradient.

    Returns:
        The draws, with the diverging ones marked.

    Raises:
        ConfigError: If there are fewer than four chains, or an odd number.
        InputError: If the log-posterior is NaN somewhere, has no support, or no gradient.
    """
    settings = settings or McmcSettings()
    check_settings(settings, _LEAST_CHAINS, prior.dim)
    target = Target(log_posterior, prior, data_sets)
    chains = _warm_up(target, settings.chains, generator)
    chains.run(settings.draws)
    while True:
        quality = chains.diagnose()
        cost = (target.evaluations - chains.warm_up) / settings.draws
        if quality.within(settings.r_hat, settings.ess):
            break
        if target.evaluations + 2 * cost * settings.draws > settings.max_evaluations:
            break
        if quality.within(max(_NEAR_R_HAT, settings.r_hat), _NEAR_ESS * settings.ess):
            chains.thin()
        else:
            chains = chains.begin_anew()
        chains.run(settings.draws - chains.kept)
    draws = record_draws(target, chains, quality)
    diverging = chains.diverging().permute(1, 2, 0)
    return replace(draws, diverging=diverging[0] if data_sets is None else diverging)


class _Chains:
    """One Markov chain per row of the second dimension of the state.

    Arguments:
        target: The density of D data sets.
        state: Where they are.
        scale_tril: Cholesky factor of the inverse mass matrix, with shape (D, p, p).
        step_size: Step size in units of it, with shape (D,).
        generator: Source of randomness, on the CPU.
    """

    def __init__(
        self,
        target: Target,
        state: _State,
        scale_tril: Tensor,
        step_size: Tensor,
        generator: Generator,
    ) -> None:
        self.thinning = 1
        self.warm_up = target.evaluations
        self.state, self.scale_tril, self.step_size = state, scale_tril, step_size
        self._target = target
        self._generator = generator
        self._history: list[_Step] = []

    @property
    def kept(self) -> int:
        """Number of kept states."""
        return len(self._history)

    def run(self, draws: int) -> None:
        """Go on until ``draws`` more states are kept."""
        for _ in range(draws):
            steps = [self._step() for _ in range(self.thinning)]
            self._history.append(_summed(steps))

    def adapt(self) -> None:
        """Run for a window, tuning the step size."""
        tuner = DualAveraging(self.step_size)
        for _ in range(_WINDOW):
            self.step_size = tuner.step_size
            step = self._step(_MAX_EARLY_LEAPS)
            self._history.append(step)
            tuner.update(step.acceptance.mean(1))
        self.step_size = tuner.mean_step_size

    def thin(self) -> None:
        """Keep every second state, of the past and of the future."""
        pairs = zip(self._history[::2], self._history[1::2], strict=True)
        self._history = [_summed(list(pair)) for pair in pairs]
        self.thinning *= 2

    def begin_anew(self) -> _Chains:
        """Return chains that start here, with what these taught, and half as dense."""
        scale_tril = _scale_tril(self.phi())
        chains = _Chains(self._target, self.state, scale_tril, self.step_size, self._generator)
        chains.adapt()
        rested = _Chains(self._target, chains.state, scale_tril, chains.step_size, self._generator)
        rested.thinning = 2 * self.thinning
        return rested

    def phi(self) -> Tensor:
        """Kept positions, with shape (draws, D, C, p)."""
        return torch.stack([step.state.phi for step in self._history])

    def log_prob(self) -> Tensor:
        """Log-density with respect to d phi at the kept positions, (draws, D, C)."""
        return torch.stack([step.state.log_prob for step in self._history])

    def acceptance(self) -> Tensor:
        """Mean probability of acceptance, with shape (D, C)."""
        return torch.stack([step.acceptance for step in self._history]).mean(0)

    def diverging(self) -> Tensor:
        """Whether a trajectory since the draw before diverged, (draws, D, C)."""
        return torch.stack([step.diverging for step in self._history])

    def diagnose(self) -> Convergence:
        """R-hat and effective sample sizes, with shape (D, p)."""
        return convergence(self.phi().permute(1, 3, 2, 0).numpy())

    def _step(self, most: int = _MAX_LEAPS) -> _Step:
        """Follow one trajectory per chain, and accept or refuse its end."""
        shape, dtype = self.state.phi.shape, torch.float64
        momentum = torch.randn(shape, generator=self._generator, dtype=dtype)
        chance = torch.rand(shape[:2], generator=self._generator, dtype=dtype)
        length = _QUARTER * (0.5 + float(torch.rand((), generator=self._generator)))
        end, momentum_end = self._leap(momentum, length, most)
        energy = -self.state.log_prob + 0.5 * momentum.square().sum(-1)
        change = -end.log_prob + 0.5 * momentum_end.square().sum(-1) - energy
        change = change.nan_to_num(nan=torch.inf)
        probability = (-change).clamp(max=0.0).exp()
        state = end.where(chance < probability, self.state)
        self.state = state
        return _Step(state, probability, change > _DIVERGED)

    def _leap(self, momentum: Tensor, length: float, most: int) -> tuple[_State, Tensor]:
        """Leapfrog for a length in units of the covariance, in as many steps for all."""
        shortest = float(self.step_size.min())
        leaps = min(most, max(1, math.ceil(length / shortest)))
        epsilon = self.step_size.clamp(max=length / leaps)[:, None, None]
        state = self.state
        momentum = momentum + 0.5 * epsilon * (state.gradient @ self.scale_tril)
        for leap in range(leaps):
            phi = state.phi + epsilon * (momentum @ self.scale_tril.mT)
            state = _State.at(self._target, phi)
            half = 0.5 if leap == leaps - 1 else 1.0
            momentum = momentum + half * epsilon * (state.gradient @ self.scale_tril)
        return state, momentum


def _warm_up(target: Target, count: int, generator: Generator) -> _Chains:
    """Start the chains, and run them in windows until their mean log-density stops rising."""
    # For a normal posterior the log-density has a standard deviation of sqrt(p / 2).
    tolerance = 0.5 * math.sqrt(target.coordinates.dim)
    state = _State.at(target, start(target, count, generator).phi)
    sets, _, p = state.phi.shape
    scale_tril = torch.eye(p, dtype=torch.float64).expand(sets, p, p)
    step_size = torch.full((sets,), 0.5 / p**0.25, dtype=torch.float64)
    level = torch.full((sets,), -math.inf, dtype=torch.float64)
    for window in range(_MOST_WINDOWS):
        chains = _Chains(target, state, scale_tril, step_size, generator)
        chains.adapt()
        state, step_size = chains.state, chains.step_size
        late = chains.log_prob()[_WINDOW // 2 :].mean((0, 2))
        before, level = level, late
        if window + 1 >= _LEAST_WINDOWS and (level - before <= tolerance).all():
            break
        scale_tril = _scale_tril(chains.phi()[_WINDOW // 2 :])
        # In units of the covariance the best step hardly depends on the posterior.
        step_size = torch.full((sets,), 1.0 / p**0.25, dtype=torch.float64)
    return _Chains(target, state, scale_tril, step_size, generator)


def _scale_tril(positions: Tensor) -> Tensor:
    """Cholesky factor of the covariance of positions: (S, D, C, p) -> (D, p, p).

    Only the diagonal where there are too few of them. A little of the prior is mixed in,
    so that chains that stay at one place do not freeze.
    """
    points = positions.transpose(0, 1).flatten(1, 2)
    size, p = points.shape[1:]
    centred = points - points.mean(1, keepdim=True)
    covariance = centred.mT @ centred / (size - 1)
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    if size < _DENSE * p:
        covariance = torch.diag_embed(variance)
    share = 5.0 / (size + 5.0)
    ridge = torch.diag_embed(share * variance.clamp(min=1e-8) + 1e-12)
    return torch.linalg.cholesky((1.0 - share) * covariance + ridge)


def _summed(steps: list[_Step]) -> _Step:
    """Return several steps as one: the last state, and what happened on the way."""
    return _Step(
        steps[-1].state,
        torch.stack([step.acceptance for step in steps]).mean(0),
        torch.stack([step.diverging for step in steps]).any(0),
    )
