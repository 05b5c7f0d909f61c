"""From a trained model and observed events to a posterior, in one call."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.grid import grid_posterior
from lfi_mflow.inference.likelihood import EventSetLikelihood, log_posterior
from lfi_mflow.inference.mcmc import McmcSettings, sample_posterior
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.inference.observed import ObservedEvents, judge_events
from lfi_mflow.inference.posterior import Posterior
from lfi_mflow.simulation.priors import Prior

__all__ = ["infer_posterior"]


def infer_posterior(
    model: Model,
    x: NDArray[np.floating],
    *,
    prior: Prior,
    method: Literal["mcmc", "grid"] = "mcmc",
    seed: int = 0,
    moving_manifold: bool = False,
) -> Posterior:
    """Infer the parameters that observed events share.

    Arguments:
        model: A trained model.
        x: Observed events, with shape (N, d), in the units of the training events.
        prior: Prior of the parameters.
        method: Markov chains, or an adaptive grid for one or two parameters.
        seed: Seed of the draws.
        moving_manifold: Compare densities on different manifolds, if the chart depends
            on theta; see :mod:`lfi_mflow.inference.moving`.

    Raises:
        ModelMismatchError: If the prior has another number of parameters, there are
            none to infer, the model has no density, or its manifold depends on theta.
        ConfigError: If a grid is asked for with more than two parameters.
        InputError: If ``x`` has another number of columns, or the posterior has no mass.
        DataError: If an event cannot be encoded (NaN or infinite).
    """
    start = time.perf_counter()
    names = model.metadata.events.parameter_names
    if not names:
        raise ModelMismatchError(
            "a model with parameters to infer",
            "one without",
            "see with lfi-mflow score how likely the events are and how far from the manifold",
        )
    if prior.dim != len(names):
        raise ModelMismatchError(
            f"a prior of the {len(names)} parameter(s) {', '.join(names)}",
            f"one of {prior.dim}",
            "give the prior that belongs to this model",
        )
    generator = torch.Generator().manual_seed(seed)
    weight = next(model.flow.parameters())
    events = torch.as_tensor(np.asarray(x)).to(weight.device, weight.dtype)
    likelihood = likelihood_of(model.flow, events, moving_manifold=moving_manifold)
    density = log_posterior(likelihood, prior)

    def judged(theta: Tensor) -> ObservedEvents:
        if isinstance(likelihood, EventSetLikelihood):
            distance = likelihood.encoded.distance
        else:
            with torch.no_grad():
                distance = model.flow.reconstruction_error(
                    events, theta.to(events).expand(len(events), -1)
                )
        point = theta if model.flow.conditional else None
        return judge_events(model, np.asarray(x), distance.cpu().double().numpy(), point)

    if method == "grid":
        grid = grid_posterior(density, prior)
        data = judged(grid.mean)
        seconds = time.perf_counter() - start
        return Posterior.from_grid(names, grid, data, generator=generator, seconds=seconds)
    # Many parameters need a larger ensemble; the number of draws stays the same.
    chains = max(McmcSettings.chains, 4 * (prior.dim + 1))
    draws = sample_posterior(
        density, prior, generator=generator, settings=McmcSettings(chains=chains)
    )
    data = judged(draws.theta.flatten(0, -2).mean(dim=0))
    return Posterior.from_draws(names, draws, data, seconds=time.perf_counter() - start)
