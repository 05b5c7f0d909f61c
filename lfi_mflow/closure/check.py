"""What a check is, and what it can require of simulator and model.

A check has requirements: what the simulator must offer and what measure the
flow must use. Where they are not met the check is skipped, and says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lfi_mflow.closure.context import Study
from lfi_mflow.closure.published import Estimate
from lfi_mflow.flows.ratio import RatioEstimator
from lfi_mflow.inference.moving import has_likelihood_ratio
from lfi_mflow.simulation import HasClosure, HasJoint, HasLikelihood, HasLogRatio, HasManifold

__all__ = [
    "Check",
    "Outcome",
    "needs_closure",
    "needs_denominator",
    "needs_distance_reference",
    "needs_exact_density",
    "needs_likelihood",
    "needs_manifold",
    "needs_parameters",
    "needs_residual",
    "needs_samples",
]


@dataclass(frozen=True)
class Outcome:
    """What a check found: the number, and what figures need."""

    estimate: Estimate
    curves: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """How a metric is computed.

    Arguments:
        run: Computes it.
        stream: Number of its random stream; metrics of one computation share one.
        needs: Requirements; each returns what is in the way, or None.
    """

    run: Callable[[Study, np.random.Generator], Outcome]
    stream: int
    needs: tuple[Callable[[Study], str | None], ...] = ()

    def obstacle(self, study: Study) -> str | None:
        """Say why the check cannot be made, None if it can."""
        return next(filter(None, (need(study) for need in self.needs)), None)


def needs_likelihood(study: Study) -> str | None:
    """Require the exact likelihood, up to a factor that does not depend on theta."""
    known = isinstance(study.simulator, HasLikelihood | HasLogRatio)
    return None if known else f"the likelihood of {study.simulator.name!r} is not known"


def needs_closure(study: Study) -> str | None:
    """Require relations between the observables."""
    known = isinstance(study.simulator, HasClosure)
    return None if known else f"no relations between observables of {study.simulator.name!r}"


def needs_manifold(study: Study) -> str | None:
    """Require the true manifold."""
    known = isinstance(study.simulator, HasManifold)
    return None if known else f"the manifold of {study.simulator.name!r} is not known"


def needs_encoder(study: Study) -> str | None:
    """Require a way to project events."""
    return "the model has no encoder" if "encode" in study.model.flow.lacks else None


def needs_density(study: Study) -> str | None:
    """Require a density."""
    return "the model has no density" if "log_prob" in study.model.flow.lacks else None


def needs_samples(study: Study) -> str | None:
    """Require a generator of events."""
    return "the model generates no events" if "sample" in study.model.flow.lacks else None


def needs_denominator(study: Study) -> str | None:
    """Require a ratio estimator whose denominator can be simulated."""
    flow = study.model.flow
    if not isinstance(flow, RatioEstimator):
        return "the model is no ratio estimator"
    known = flow.denominator == "marginal" or isinstance(study.simulator, HasJoint)
    return None if known else f"{study.simulator.name!r} does not say what its ratios refer to"


def needs_parameters(study: Study) -> str | None:
    """Require something to infer."""
    return None if study.prior.dim else "the model has no parameters"


def needs_ratio(study: Study) -> str | None:
    """Require something to infer, and ratios of densities at different parameters."""
    flow = study.model.flow
    missing = needs_parameters(study)
    if missing is None and flow.reference != "ratio":
        missing = needs_density(study)
    if missing is None and not has_likelihood_ratio(flow):
        return "the model's manifold depends on theta, so that there is no likelihood ratio"
    return missing


def needs_exact_density(study: Study) -> str | None:
    """Require an exact density with respect to the measure of the model's."""
    if needs_density(study) is not None:
        return needs_density(study)
    reference = study.model.flow.reference
    full = study.simulator.manifold_dim == study.model.flow.data_dim
    if reference == "hausdorff" or (reference == "lebesgue" and full):
        known = isinstance(study.simulator, HasLikelihood)
        return None if known else f"the density of {study.simulator.name!r} is not known"
    return f"the model's density refers to the {reference} measure, the exact one to the manifold"


def needs_residual(study: Study) -> str | None:
    """Require directions off the manifold."""
    flow = study.model.flow
    return None if flow.latent_dim < flow.data_dim else "the model's manifold fills all of space"


def needs_distance_reference(study: Study) -> str | None:
    """Require the distances of the validation events, which a model file holds."""
    known = study.training.get("distance_quantiles") is not None
    return None if known else "the distances of the model's validation events are not known"
