"""Do events that the model generates at the posterior look like the observed ones?

For each of S draws of theta the model generates as many events as were observed.
Their histograms make a band for each observable, and a discrepancy of the observed
events is ranked among those of the generated sets: the posterior-predictive p-value.
The discrepancy is the Anderson-Darling distance to all generated events together,
which is sensitive in the tails too.

The observed events are used twice, for the posterior and for the check, so that the
p-value is not uniform but larger, as a rule: a small one means more than it says, a
large one proves nothing. Generated events are on the manifold; whether the observed
ones are is a question for :mod:`lfi_mflow.inference.off_manifold`.

References:
    | Bayesianly justifiable and relevant frequency calculations for the applied
      statistician (Rubin, 1984)
    | Asymptotic theory of certain goodness of fit criteria based on stochastic
      processes (Anderson & Darling, 1952)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.posterior import Posterior

__all__ = ["BAND_LEVELS", "PredictiveCheck", "generates_events", "predictive_check"]

Array = NDArray[np.float64]

BAND_LEVELS = (0.025, 0.16, 0.5, 0.84, 0.975)
"""Levels of the bands: 95 %, 68 % and the median of the generated sets."""

_BATCH = 2**15
_MIN_SETS = 20


@dataclass(frozen=True)
class PredictiveCheck:
    """Observed events against sets of events that the model generates at the posterior.

    Arguments:
        observables: Names of the d observables.
        edges: Edges of the bins of each observable, with shape (d, B + 1).
        observed: Observed events in each bin, with shape (d, B).
        bands: Quantiles of the generated sets at ``BAND_LEVELS``, with shape (d, 5, B).
        p_values: Share of generated sets that differ as much as the observed one from
            all generated events, with shape (d,).
        n_events: Number of events in each set.
        n_sets: Number S of generated sets.
        n_observed: Number of observed events, of which ``n_events`` were compared.
    """

    observables: tuple[str, ...]
    edges: Array
    observed: NDArray[np.intp]
    bands: Array
    p_values: Array
    n_events: int
    n_sets: int
    n_observed: int

    @property
    def p_value(self) -> float:
        """The smallest p-value, times the number of observables: at most 1."""
        return float(min(1.0, self.p_values.min() * len(self.p_values)))


def generates_events(model: Model, posterior: Posterior) -> bool:
    """Say whether the model generates events at draws of a posterior.

    A ratio estimator generates none, and where a parameter is known for each event the
    draws do not say what the event was simulated at.
    """
    complete = posterior.parameters == tuple(model.metadata.events.parameter_names)
    return complete and "sample" not in model.flow.lacks


def predictive_check(
    model: Model,
    posterior: Posterior,
    *,
    sets: int = 400,
    max_events: int = 500,
    bins: int = 30,
    seed: int = 0,
) -> PredictiveCheck:
    """Compare the observed events with what the model generates at the posterior.

    Arguments:
        model: The model of the posterior.
        posterior: The posterior; the events that it uses are compared.
        sets: Number of generated sets.
        max_events: Events in each set at most; of more observed events, so many are
            taken at random.
        bins: Bins of the histograms, between the extremes of 99.8 % of generated events.
        seed: Seed of the generated events.

    Raises:
        InputError: If there are fewer than 20 sets.
        ModelMismatchError: If the posterior is of events with other observables, or the
            model does not generate events at its draws, see :func:`generates_events`.
    """
    if not generates_events(model, posterior):
        raise ModelMismatchError(
            "a model that generates events at all parameters of the posterior",
            f"{model.metadata.preset} and a posterior of {', '.join(posterior.parameters)}",
            "leave the predictive check out, or choose another model",
        )
    names = tuple(model.metadata.events.observable_names)
    if posterior.data.observables != names:
        raise ModelMismatchError(
            f"a posterior of events with the model's observables {', '.join(names)}",
            ", ".join(posterior.data.observables),
            "give the posterior of this model",
        )
    if sets < _MIN_SETS:
        raise InputError(f"at least {_MIN_SETS} generated sets", str(sets), "generate more")
    rng = np.random.default_rng(seed)
    observed = np.asarray(posterior.observed, dtype=np.float64)
    n_observed = len(observed)
    if n_observed > max_events:
        observed = observed[np.sort(rng.choice(n_observed, max_events, replace=False))]
    draws = posterior.draws.reshape(-1, posterior.draws.shape[-1])
    theta = draws[rng.choice(len(draws), sets, replace=len(draws) < sets)]
    generated = _generate(model, np.repeat(theta, len(observed), axis=0), seed)
    generated = generated.reshape(sets, *observed.shape)
    columns = [_compare(observed[:, k], generated[:, :, k], bins) for k in range(observed.shape[1])]
    edges, counts, bands, p_values = map(np.stack, zip(*columns, strict=True))
    return PredictiveCheck(
        observables=posterior.data.observables,
        edges=edges,
        observed=counts,
        bands=bands,
        p_values=p_values,
        n_events=len(observed),
        n_sets=sets,
        n_observed=n_observed,
    )


@torch.no_grad()
def _generate(model: Model, theta: Array, seed: int) -> Array:
    """Generate one event per row of theta: (S, p) -> (S, d)."""
    like = next(model.flow.parameters())
    generator = torch.Generator(device=like.device).manual_seed(seed)
    parts = [
        model.flow.sample(torch.as_tensor(theta[start : start + _BATCH]).to(like), generator)
        for start in range(0, len(theta), _BATCH)
    ]
    return np.asarray(torch.cat(parts).cpu().double().numpy())


def _compare(
    observed: Array, generated: Array, bins: int
) -> tuple[Array, NDArray[np.intp], Array, Array]:
    """Compare one observable: (N,), (S, N) -> edges, counts, bands and p-value."""
    pool = np.sort(generated, axis=None)
    low, high = pool[int(0.001 * len(pool))], pool[int(0.999 * (len(pool) - 1))]
    # Observed events outside stand in the outermost bins: they are not to be overlooked.
    margin = 0.02 * (high - low) or 1e-9
    edges = np.linspace(low - margin, high + margin, bins + 1)
    counts = np.stack([_histogram(values, edges) for values in generated])
    bands = np.quantile(counts, BAND_LEVELS, axis=0)
    distances = _anderson_darling(np.vstack([observed[None], generated]), pool)
    larger = np.count_nonzero(distances[1:] >= distances[0])
    p_value = (1 + larger) / (1 + len(generated))
    return edges, _histogram(observed, edges), bands, np.asarray(p_value)


def _histogram(values: Array, edges: Array) -> NDArray[np.intp]:
    """Count values in bins; those outside are counted in the outermost: (N,) -> (B,)."""
    inside = np.clip(values, edges[0], edges[-1])
    return np.asarray(np.histogram(inside, edges)[0], dtype=np.intp)


def _anderson_darling(samples: Array, pool: Array) -> Array:
    """Anderson-Darling distance of samples to a sorted pool: (S, N), (M,) -> (S,)."""
    n = samples.shape[1]
    ordered = np.sort(samples, axis=1)
    below = np.searchsorted(pool, ordered, "left") + np.searchsorted(pool, ordered, "right")
    u = (0.5 * below + 0.5) / (len(pool) + 1.0)
    odd = 2.0 * np.arange(1, n + 1) - 1.0
    return np.asarray(-n - (odd * (np.log(u) + np.log1p(-u[:, ::-1]))).mean(axis=1))
