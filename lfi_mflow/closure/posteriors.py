"""Posteriors of many sets of events at once: draws, and marginal densities for figures.

One or two parameters: adaptive grids, which are exact. More parameters: Markov
chains, with densities estimated from the draws. Both batched over the sets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import gaussian_kde

from lfi_mflow.closure.published import Array
from lfi_mflow.inference.grid import GridSettings, grid_posterior
from lfi_mflow.inference.likelihood import LogPosterior, log_posterior
from lfi_mflow.inference.mcmc import McmcSettings, sample_posterior
from lfi_mflow.simulation import Prior

__all__ = ["PosteriorSets", "sample_posteriors"]

_CURVE_POINTS = 201
_CHAINS = 16
_TAIL = 1e-3
# Grids of two parameters cost the square of their nodes: a per cent is enough there.
_TOLERANCE = {1: 1e-3, 2: 1e-2}


@dataclass(frozen=True)
class PosteriorSets:
    """Posteriors of D sets of events.

    Arguments:
        draws: Draws, with shape (D, L, p).
        marginal: Marginal density of a parameter of a set at given points:
            ``marginal(row, column, theta)``, with ``theta`` of shape (K,).
        log_prob: Log-density, up to a constant of each set, at given parameters:
            (D, K, p) -> (D, K).
        prior: The prior.
    """

    draws: Array
    marginal: Callable[[int, int, Array], Array]
    log_prob: Callable[[Array], Array]
    prior: Prior

    def span(self, row: int, column: int, other: PosteriorSets) -> Array:
        """Points that cover the posterior of a parameter here and in ``other``, with shape (K,)."""
        values = np.concatenate([self.draws[row, :, column], other.draws[row, :, column]])
        low, high = np.quantile(values, [_TAIL, 1.0 - _TAIL])
        margin = 0.15 * (high - low)
        start = max(float(low - margin), float(self.prior.low[column]))
        end = min(float(high + margin), float(self.prior.high[column]))
        return np.linspace(start, end, _CURVE_POINTS)


def sample_posteriors(
    likelihood: Callable[[Array], LogPosterior], x: Array, prior: Prior, n_draws: int, seed: int
) -> PosteriorSets:
    """Draw from the posteriors of D sets of events.

    Arguments:
        likelihood: Returns log-likelihoods (D, T, p) -> (D, T) of D sets.
        x: The sets, with shape (D, N, d).
        prior: The prior.
        n_draws: Number L of draws from each posterior.
        seed: Seed of the draws.
    """
    generator = torch.Generator().manual_seed(seed)
    method = _by_grid if prior.dim in _TOLERANCE else _by_chains
    return method(likelihood, x, prior, n_draws, generator)


def _by_grid(
    likelihood: Callable[[Array], LogPosterior],
    x: Array,
    prior: Prior,
    n_draws: int,
    generator: torch.Generator,
) -> PosteriorSets:
    """One or two parameters: adaptive grids."""
    grid = grid_posterior(
        log_posterior(likelihood(x), prior),
        prior,
        data_sets=len(x),
        of_sets=lambda sets: log_posterior(likelihood(x[sets.numpy()]), prior),
        settings=GridSettings(tolerance=_TOLERANCE[prior.dim]),
    )
    marginals = [grid.marginal(column) for column in range(prior.dim)]

    def marginal(row: int, column: int, theta: Array) -> Array:
        nodes, values = (tensor[row].numpy() for tensor in marginals[column])
        return np.interp(theta, nodes, values, left=0.0, right=0.0)

    def log_prob(theta: Array) -> Array:
        points = torch.from_numpy(theta)
        ends = grid.axes[..., [0, -1]].unsqueeze(1)
        inside = ((points >= ends[..., 0]) & (points <= ends[..., 1])).all(dim=-1)
        return torch.where(inside, grid.log_prob(points), -math.inf).numpy()

    draws = grid.sample(n_draws, generator).numpy()
    return PosteriorSets(draws, marginal, log_prob, prior)


def _by_chains(
    likelihood: Callable[[Array], LogPosterior],
    x: Array,
    prior: Prior,
    n_draws: int,
    generator: torch.Generator,
) -> PosteriorSets:
    """More parameters: Markov chains."""
    density = log_posterior(likelihood(x), prior)
    chains = max(_CHAINS, 4 * (prior.dim + 1))
    settings = McmcSettings(
        chains=chains,
        draws=max(8, math.ceil(n_draws / chains)),
        r_hat=1.05,
        ess=min(400.0, 0.25 * n_draws),
    )
    run = sample_posterior(density, prior, generator=generator, data_sets=len(x), settings=settings)
    flat = run.theta.flatten(1, 2)
    # The chains in random order: what is cut off is then no chain in particular.
    order = torch.randperm(flat.shape[1], generator=generator)[:n_draws]
    draws = flat[:, order].numpy()

    def marginal(row: int, column: int, theta: Array) -> Array:
        return np.asarray(gaussian_kde(draws[row, :, column])(theta))

    def log_prob(theta: Array) -> Array:
        with torch.no_grad():
            return density(torch.from_numpy(theta)).numpy()

    return PosteriorSets(draws, marginal, log_prob, prior)
