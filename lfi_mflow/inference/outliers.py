"""The posterior without the events that are off the manifold.

Background and broken events enter the likelihood by their projections, as if they
were signal. Leaving them out mends that, at a price: a cut on the distance also takes
the signal events that happen to be far away, and if those tell of theta something
else than the others, the posterior is biased. The cut is therefore set where hardly
any event of the simulator lies, and the share of those beyond it is stated, from the
distances of validation events. Background on the manifold cannot be found this way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError, ModelMismatchError
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.observed import Removal
from lfi_mflow.inference.off_manifold import reference_size, tail_probabilities
from lfi_mflow.inference.posterior import Posterior

__all__ = ["posterior_shifts", "require_distances", "without_outliers"]


def require_distances(model: Model) -> None:
    """Check that events off the manifold of a model can be found.

    Raises:
        ModelMismatchError: If it has no manifold, or does not know how far validation
            events are from it.
    """
    preset = model.metadata.preset
    if model.flow.chart is None:
        raise ModelMismatchError(
            "a model with a manifold, to find events that are off it",
            f"{preset}, which fills the whole space of observables: no event is off",
            "use all events, or train a model such as m-flow",
        )
    if model.metadata.training.get("distance_quantiles") is None:
        raise ModelMismatchError(
            "a model that knows how far validation events are from its manifold",
            f"{preset} without these distances",
            "use all events, or train the model again",
        )


def without_outliers(
    model: Model, everything: Posterior, infer: Callable[[NDArray[np.bool_]], Posterior]
) -> Posterior:
    """Infer again without the events that are off the manifold.

    Arguments:
        model: The model.
        everything: The posterior of all events, which says which of them are off.
        infer: From which of the events are used, with shape (N,), to their posterior.

    Returns:
        The posterior of the others, with all events in its ``data`` and what became of
        them; ``everything`` with a removal of nothing if no event is off.

    Raises:
        ModelMismatchError: If the model cannot tell which events are off.
        DataError: If no event would be left.
    """
    require_distances(model)
    data = everything.data
    off = data.off_manifold_events
    used = np.ones(len(data.x), dtype=bool)
    used[off] = False
    if not used.any():
        raise DataError(
            "some observed events on the manifold",
            f"none of {len(used)}",
            "check the columns and their units, or use all events",
        )
    if not len(off):
        nothing = Removal(0.0, everything.summary())
        return dataclasses.replace(
            everything, data=dataclasses.replace(data, used=used), removal=nothing
        )
    kept = infer(used)
    found = kept.data
    return dataclasses.replace(
        kept,
        data=dataclasses.replace(
            data,
            used=used,
            off_manifold_p_value=found.off_manifold_p_value,
            distance_ratio=found.distance_ratio,
        ),
        seconds=everything.seconds + kept.seconds,
        removal=Removal(_loss(model, everything), everything.summary()),
    )


def _loss(model: Model, everything: Posterior) -> float:
    """Share of the simulator's own events that are as far as the nearest that is off.

    It is not taken smaller than validation events can show.
    """
    training, data = model.metadata.training, everything.data
    nearest = np.asarray(data.distance)[data.off_manifold_events].min()
    quantiles = training["distance_quantiles"]
    share = float(tail_probabilities([nearest], quantiles)[0])
    return max(share, 1.0 / (1 + (reference_size(training) or len(quantiles))))


def posterior_shifts(posterior: Posterior) -> dict[str, float]:
    """Return how far the means moved by the removal, in standard deviations without outliers.

    Arguments:
        posterior: A posterior with a removal; any other has not moved.
    """
    if posterior.removal is None:
        return dict.fromkeys(posterior.parameters, 0.0)
    before = posterior.removal.with_outliers["parameters"]
    return {
        name: (row["mean"] - before[name]["mean"]) / row["sd"]
        for name, row in posterior.statistics.items()
    }
