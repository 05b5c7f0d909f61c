"""From a trained model and observed events to a posterior, in one call."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.grid import GridPosterior
from lfi_mflow.inference.likelihood import EventSetLikelihood, LogPosterior
from lfi_mflow.inference.mcmc import Draws
from lfi_mflow.inference.methods import Method, choose_method, compute_posterior
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.inference.observed import ObservedEvents, judge_events
from lfi_mflow.inference.posterior import Posterior
from lfi_mflow.simulation.priors import Prior

__all__ = ["events_on", "infer_posterior", "posterior_of", "unknown_parameters"]


def infer_posterior(
    model: Model,
    x: NDArray[np.floating],
    *,
    prior: Prior,
    method: Method = "auto",
    seed: int = 0,
    moving_manifold: bool = False,
    known: Mapping[str, ArrayLike] | None = None,
) -> Posterior:
    """Infer the parameters that observed events share.

    Arguments:
        model: A trained model.
        x: Observed events, with shape (N, d), in the units of the training events.
        prior: Prior of the parameters that are not known.
        method: Markov chains of an ensemble (``"mcmc"``) or guided by the gradient
            (``"hmc"``), an adaptive grid for one or two parameters, or ``"auto"``.
        seed: Seed of the draws.
        moving_manifold: Compare densities on different manifolds, if the chart depends
            on theta; see :mod:`lfi_mflow.inference.moving`.
        known: Parameters that differ from event to event and are known for each: name ->
            values with shape (N,).

    Raises:
        ModelMismatchError: If the prior has another number of parameters, there are
            none to infer, the model has neither a density nor ratios, or its manifold
            depends on theta.
        ConfigError: If a grid is asked for with more than two parameters.
        InputError: If ``x`` has another number of columns, or the posterior has no mass.
        DataError: If an event cannot be encoded (NaN or infinite).
    """
    start = time.perf_counter()
    names, columns = unknown_parameters(model, prior, known or {})
    events = events_on(model, x)
    likelihood = likelihood_of(model.flow, events, known=columns, moving_manifold=moving_manifold)
    generator = torch.Generator().manual_seed(seed)
    method = choose_method(method, prior.dim)
    found = compute_posterior(likelihood, prior, method, generator)
    mean = found.mean if isinstance(found, GridPosterior) else found.theta.mean((0, 1))
    data = _judged(model, np.asarray(x), likelihood, mean)
    return posterior_of(names, found, data, generator, start)


def unknown_parameters(
    model: Model, prior: Prior, known: Mapping[str, ArrayLike]
) -> tuple[tuple[str, ...], dict[int, Tensor]]:
    """Return the names of the parameters to infer, and the columns of the known ones.

    Raises:
        ModelMismatchError: If a known parameter is none of the model's, or there is
            nothing to infer, or the prior has another number of parameters.
    """
    names = model.metadata.events.parameter_names
    missing = [name for name in known if name not in names]
    if missing:
        raise ModelMismatchError(
            f"conditions among the model's parameters {', '.join(names)}",
            ", ".join(missing),
            "train a model with them as parameters",
        )
    wanted = tuple(name for name in names if name not in known)
    if not wanted:
        raise ModelMismatchError(
            "a model with parameters to infer",
            "one without" if not names else "one whose parameters are all known",
            "see with lfi-mflow score how likely the events are and how far from the manifold",
        )
    if prior.dim != len(wanted):
        raise ModelMismatchError(
            f"a prior of the {len(wanted)} parameter(s) {', '.join(wanted)}",
            f"one of {prior.dim}",
            "give the prior that belongs to this model",
        )
    columns = {names.index(name): torch.as_tensor(np.asarray(known[name])) for name in known}
    return wanted, columns


def events_on(model: Model, x: NDArray[np.floating]) -> Tensor:
    """Return events in the precision and on the device of a model."""
    weight = next(model.flow.parameters())
    return torch.as_tensor(np.asarray(x)).to(weight.device, weight.dtype)


def posterior_of(
    names: tuple[str, ...],
    found: GridPosterior | Draws,
    data: ObservedEvents,
    generator: torch.Generator,
    start: float,
) -> Posterior:
    """Make the record of what was found; ``start`` is when the work began."""
    if isinstance(found, GridPosterior):
        seconds = time.perf_counter() - start
        return Posterior.from_grid(names, found, data, generator=generator, seconds=seconds)
    return Posterior.from_draws(names, found, data, seconds=time.perf_counter() - start)


def _judged(
    model: Model, x: NDArray[np.floating], likelihood: LogPosterior, theta: Tensor
) -> ObservedEvents:
    """Judge events (N, d) by their distances to the manifold, at theta if it depends on it."""
    if "encode" in model.flow.lacks:  # there is no manifold to be off
        return ObservedEvents(x, model.metadata.events.observable_names)
    point = theta if model.flow.conditional else None
    if isinstance(likelihood, EventSetLikelihood):
        distance = likelihood.encoded.distance
    else:
        events = events_on(model, x)
        with torch.no_grad():
            given = theta.to(events).expand(len(events), -1)
            distance = model.flow.reconstruction_error(events, given)
    return judge_events(model, x, distance.cpu().double().numpy(), point)
