"""The posterior by several surrogates at once, and how much they disagree.

The posterior is that of the mixture, see :mod:`lfi_mflow.inference.mixture`. Each member
has a posterior of its own as well; the spread of their means and widths shows what the
training left undetermined, which no single posterior knows of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import ModelMismatchError
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.grid import GridPosterior
from lfi_mflow.inference.likelihood import EventSetLikelihood
from lfi_mflow.inference.mcmc import Draws
from lfi_mflow.inference.methods import Method, choose_method, compute_posterior
from lfi_mflow.inference.mixture import MixtureLikelihood
from lfi_mflow.inference.observed import ObservedEvents, judge_events
from lfi_mflow.inference.posterior import Posterior
from lfi_mflow.inference.run import events_on, posterior_of, unknown_parameters
from lfi_mflow.simulation.priors import Prior

__all__ = ["check_members", "infer_by_ensemble"]


def infer_by_ensemble(
    models: Sequence[Model],
    x: NDArray[np.floating],
    *,
    prior: Prior,
    method: Method = "auto",
    seed: int = 0,
    known: Mapping[str, ArrayLike] | None = None,
) -> Posterior:
    """Infer the parameters that observed events share, by several models of one simulator.

    Arguments:
        models: Two or more trained models of the same parameters and observables.
        x: Observed events, with shape (N, d).
        prior: Prior of the parameters that are not known.
        method: See :func:`lfi_mflow.inference.infer_posterior`.
        seed: Seed of the draws.
        known: Parameters that are known for each event: name -> values with shape (N,).

    Returns:
        The posterior of the mixture. Its statistics have two more numbers for each
        parameter: ``mean_spread`` and ``sd_spread``, the standard deviations of mean and
        of width over the posteriors of the members. The off-manifold p-value is the
        smallest of the members times their number (Bonferroni).

    Raises:
        ModelMismatchError: If there are fewer than two models, or they do not belong
            together, or their manifolds depend on theta.
        InputError: See :func:`lfi_mflow.inference.infer_posterior`.
        DataError: If an event cannot be encoded (NaN or infinite).
    """
    start = time.perf_counter()
    check_members(models)
    names, columns = unknown_parameters(models[0], prior, known or {})
    members = [
        EventSetLikelihood(model.flow, events_on(model, x), known=columns) for model in models
    ]
    method = choose_method(method, prior.dim)
    generator = torch.Generator().manual_seed(seed)
    found = compute_posterior(MixtureLikelihood(members), prior, method, generator)
    single = [compute_posterior(member, prior, method, generator) for member in members]
    judged = [
        judge_events(model, np.asarray(x), member.encoded.distance.cpu().double().numpy())
        for model, member in zip(models, members, strict=True)
    ]
    posterior = posterior_of(names, found, _worst(judged), generator, start)
    return _with_spread(posterior, single)


def check_members(models: Sequence[Model]) -> None:
    """Fail unless several models can be members of one ensemble.

    Raises:
        ModelMismatchError: If there are fewer than two models; if parameters,
            observables or the measure of the density differ; or a chart is conditional.
    """
    if len(models) < 2:
        raise ModelMismatchError("at least two models", str(len(models)), "give more")
    first = _identity(models[0])
    for number, model in enumerate(models[1:], start=2):
        for what, wanted, found in zip(_WHAT, first, _identity(model), strict=True):
            if wanted != found:
                raise ModelMismatchError(
                    f"models of one ensemble with the same {what}: {wanted}",
                    f"{found} in model {number}",
                    "give models that were trained on events of the same kind",
                )
    for number, model in enumerate(models, start=1):
        if model.flow.conditional:
            raise ModelMismatchError(
                "models whose manifold does not depend on theta",
                f"a conditional chart in model {number}",
                "infer by each of them on its own",
            )


_WHAT = ("parameters", "observables", "manifold dimension", "measure of the density")


def _identity(model: Model) -> tuple[str, str, str, str]:
    """Return what the members of an ensemble have in common, in words."""
    events, flow = model.metadata.events, model.flow
    return (
        ", ".join(events.parameter_names),
        ", ".join(events.observable_names),
        str(flow.latent_dim),
        flow.reference,
    )


def _worst(judged: Sequence[ObservedEvents]) -> ObservedEvents:
    """Return the judgement of the member that finds the events furthest off."""
    tested = [data for data in judged if data.off_manifold_p_value is not None]
    if not tested:
        return judged[0]
    worst = min(tested, key=lambda data: data.off_manifold_p_value or 0.0)
    p_value = min(1.0, len(tested) * (worst.off_manifold_p_value or 0.0))
    return replace(worst, off_manifold_p_value=p_value)


def _with_spread(posterior: Posterior, members: Sequence[GridPosterior | Draws]) -> Posterior:
    """Add the spread of the members to the statistics of a posterior."""
    moments = np.array([_moments(member) for member in members])
    spread = moments.std(axis=0, ddof=1)
    statistics = {
        name: {
            **row,
            "mean_spread": float(spread[0, index]),
            "sd_spread": float(spread[1, index]),
        }
        for index, (name, row) in enumerate(posterior.statistics.items())
    }
    sampler = {**posterior.sampler, "members": len(members)}
    return replace(posterior, statistics=statistics, sampler=sampler)


def _moments(found: GridPosterior | Draws) -> NDArray[np.float64]:
    """Mean and standard deviation of each parameter, with shape (2, p)."""
    if isinstance(found, GridPosterior):
        return torch.stack([found.mean, found.sd]).numpy()
    flat = found.theta.flatten(0, 1)
    return torch.stack([flat.mean(0), flat.std(0)]).numpy()
