"""Which of several models makes events more likely?

The question has an answer only for densities of one kind. A density per volume of
the feature space and one per area of a manifold differ by units, and a bound is no
density. Models that learn manifolds of their own say how likely the *projections* of
the events are: a model that throws away more can look better, so the distances
between events and projections stand beside the densities.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.flows.flow import Flow

__all__ = ["DensityComparison", "compare_densities"]

_BATCH = 8192


@dataclass(frozen=True)
class DensityComparison:
    """How likely a model finds events.

    Arguments:
        log_prob: Mean log-density of the events, in the units of the observables.
        advantage: Mean log-density minus that of the first model.
        advantage_error: Standard error of the advantage, from the events in common.
        reconstruction_error: Mean distance of the events to their projections.
    """

    log_prob: float
    advantage: float
    advantage_error: float
    reconstruction_error: float


def compare_densities(
    flows: Mapping[str, Flow], x: Tensor, theta: Tensor
) -> dict[str, DensityComparison]:
    """Compare models by the mean log-density of the same events.

    Arguments:
        flows: Models by name; the first is what the others are compared with.
        x: Events, with shape (N, d), N >= 2.
        theta: Parameters, with shape (N, p).

    Raises:
        ModelMismatchError: If the densities refer to different measures, or are none.
        InputError: If there are fewer than two events, or no model.
    """
    if not flows or len(x) < 2:
        raise InputError(
            "a model and two events at least", f"{len(flows)} and {len(x)}", "give more"
        )
    _check_measures(flows)
    values = {name: _evaluate(flow, x, theta) for name, flow in flows.items()}
    first = next(iter(values.values()))[0]
    found = {}
    for name, (log_prob, distance) in values.items():
        advantage = log_prob - first
        found[name] = DensityComparison(
            log_prob=float(np.mean(log_prob)),
            advantage=float(np.mean(advantage)),
            advantage_error=float(np.std(advantage, ddof=1) / np.sqrt(len(advantage))),
            reconstruction_error=float(np.mean(distance)),
        )
    return found


def _check_measures(flows: Mapping[str, Flow]) -> None:
    """Fail unless all densities refer to one measure."""
    references = {name: flow.reference for name, flow in flows.items()}
    comparable = {"lebesgue", "hausdorff"}
    if len(set(references.values())) > 1 or not set(references.values()) <= comparable:
        said = ", ".join(f"{name} to {reference}" for name, reference in references.items())
        raise ModelMismatchError(
            "densities that refer to one measure, lebesgue or hausdorff",
            said,
            "compare posteriors or reconstruction errors instead",
        )


@torch.no_grad()
def _evaluate(flow: Flow, x: Tensor, theta: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Log-densities and distances of events, in float64."""
    parts = []
    for rows in zip(x.split(_BATCH), theta.split(_BATCH), strict=True):
        encoded = flow.encode_events(*rows)
        log_prob = encoded.log_constant + flow.log_prob_latent(encoded.u, rows[1])
        parts.append(torch.stack([log_prob, encoded.distance]))
    log_prob, distance = torch.cat(parts, dim=1).cpu().double().numpy()
    return log_prob, distance
