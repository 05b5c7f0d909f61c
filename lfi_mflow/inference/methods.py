"""How a posterior is computed: on a grid, by an ensemble, or guided by the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from lfi_mflow.inference.grid import GridPosterior, grid_posterior
from lfi_mflow.inference.hmc import sample_by_gradient
from lfi_mflow.inference.likelihood import EventSetLikelihood, LogPosterior, log_posterior
from lfi_mflow.inference.mcmc import Draws, McmcSettings, sample_posterior
from lfi_mflow.simulation.priors import Prior

__all__ = ["Method", "choose_method", "compute_posterior"]

Method = Literal["auto", "mcmc", "hmc", "grid"]

_GRID_DIM = 2
_ENSEMBLE_DIM = 10
"""On correlated Gaussians the ensemble needs 600 evaluations at p = 8, 1,900 at p = 12 and
2,500 of a larger ensemble at p = 20, HMC 1,200 at all three, each worth about three."""


def choose_method(method: Method, dim: int) -> Method:
    """Return the method that ``"auto"`` stands for.

    A grid for one or two parameters, where it is exact and takes a few calls instead of
    hundreds; Hamiltonian Monte Carlo for more than 10 parameters; an ensemble otherwise.

    Arguments:
        method: What was asked for; all but ``"auto"`` stay as they are.
        dim: Number p of parameters.
    """
    if method != "auto":
        return method
    if dim <= _GRID_DIM:
        return "grid"
    return "mcmc" if dim <= _ENSEMBLE_DIM else "hmc"


def compute_posterior(
    likelihood: LogPosterior, prior: Prior, method: Method, generator: torch.Generator
) -> GridPosterior | Draws:
    """Compute the posterior of one set of events by a method that is not ``"auto"``.

    Arguments:
        likelihood: Log-likelihood (..., p) -> (...).
        prior: The prior.
        method: The method.
        generator: Source of randomness, on the CPU.

    Raises:
        ConfigError: If a grid is asked for with more than two parameters.
        InputError: If the posterior is NaN or has no mass.
    """
    density = log_posterior(likelihood, prior)
    if method == "grid":
        previews = [log_posterior(part, prior) for part in _previews(likelihood)]
        return grid_posterior(density, prior, previews=previews)
    if method == "hmc":
        return sample_by_gradient(density, prior, generator=generator)
    # Many parameters need a larger ensemble; the number of draws stays the same.
    chains = max(McmcSettings.chains, 4 * (prior.dim + 1))
    return sample_posterior(
        density, prior, generator=generator, settings=McmcSettings(chains=chains)
    )


def _previews(likelihood: LogPosterior) -> Sequence[LogPosterior]:
    """Likelihoods of parts of the events, if the likelihood can be taken apart."""
    return likelihood.previews() if isinstance(likelihood, EventSetLikelihood) else ()
