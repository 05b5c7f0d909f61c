r"""Expected sensitivity: the Fisher information of kinematics and rate.

Each event tells about theta as much as its score t = grad ln p(x | theta) says,

.. math:: I_{ij} = E[t_i t_j], \qquad
          I^{total}_{ij} = \mu I_{ij} + \frac{\partial_i \mu \, \partial_j \mu}{\mu}
          + \delta_{ij} / s_i^2

for mu expected events and constraints of width s. Its inverse is the covariance matrix
that no unbiased estimator beats. It knows the neighbourhood of one point only: where a
likelihood has two maxima, limits are wider.

References:
    | Better Higgs-CP tests through information geometry (Brehmer, Kling, Plehn and Tait,
      2017), https://arxiv.org/abs/1712.02350
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lfi_mflow.errors import DataError
from lfi_mflow.inference.experiment import CountingExperiment, LikelihoodFactory
from lfi_mflow.inference.rates import Rate
from lfi_mflow.simulation import Array, effective_sample_size

__all__ = [
    "FisherInformation",
    "event_information",
    "expected_information",
    "rate_information",
    "scores_of",
]

_BATCH = 4096
_STEP = 1e-6  # scores of single events may be in the thousands
_LEAST_SIZE = 50.0


@dataclass(frozen=True)
class FisherInformation:
    """The information of an experiment at one point.

    Arguments:
        events: Expected number of events mu.
        kinematics: Information per event, with shape (p, p).
        rate: Information of the number of events per expected event, with shape (p, p);
            zero if it is left out.
        constraints: Information of the auxiliary measurements, with shape (p, p).
    """

    events: float
    kinematics: Array
    rate: Array
    constraints: Array

    @property
    def total(self) -> Array:
        """Information of the experiment, with shape (p, p)."""
        return self.events * (self.kinematics + self.rate) + self.constraints

    @property
    def errors(self) -> Array:
        """Smallest expected errors, with shape (p,); infinite where nothing is known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            try:
                variance = np.diagonal(np.linalg.inv(self.total))
            except np.linalg.LinAlgError:
                return np.full(len(self.total), np.inf)
            return np.sqrt(np.where(variance > 0, variance, np.inf))


def scores_of(likelihood: LikelihoodFactory, x: Array, theta: Array) -> Array:
    """Return the score of each event, with shape (M, p).

    By autograd where the likelihood has a gradient, by central differences otherwise.

    Arguments:
        likelihood: Makes likelihoods of events.
        x: Events, with shape (M, d).
        theta: The point, with shape (p,).
    """
    parts = []
    for start in range(0, len(x), _BATCH):
        events = torch.as_tensor(x[start : start + _BATCH]).unsqueeze(1)
        density = likelihood(events)
        point = torch.as_tensor(np.tile(theta, (len(events), 1))).requires_grad_()
        with torch.enable_grad():
            value = density(point)
        if value.requires_grad:
            parts.append(torch.autograd.grad(value.sum(), point)[0].double().numpy())
            continue
        shifts = _STEP * torch.eye(len(theta), dtype=torch.float64)
        with torch.no_grad():
            sides = [density(point + shift) - density(point - shift) for shift in shifts]
        parts.append((torch.stack(sides, dim=1) / (2.0 * _STEP)).numpy())
    return np.concatenate(parts)


def event_information(scores: Array, weight: Array | None = None) -> Array:
    """Return the mean outer product of scores: (M, p) -> (p, p).

    Arguments:
        scores: Scores, with shape (M, p).
        weight: Weights, with shape (M,).

    Raises:
        DataError: If the events are worth fewer than 50, or a score is not finite.
    """
    weight = np.ones(len(scores)) if weight is None else np.asarray(weight, dtype=float)
    if effective_sample_size(weight) < _LEAST_SIZE:
        raise DataError(
            f"events worth at least {_LEAST_SIZE:g} for the information",
            f"{effective_sample_size(weight):.3g} of {len(weight)}",
            "take more events",
        )
    if not np.isfinite(scores).all():
        raise DataError("finite scores", "NaN or infinite ones", "leave these events out")
    return np.asarray(np.einsum("n,ni,nj->ij", weight, scores, scores) / weight.sum())


def rate_information(rate: Rate, theta: Array) -> Array:
    """Return grad(mu) grad(mu)^T / mu^2, the information of the rate per expected event."""
    point = torch.as_tensor(np.asarray(theta, dtype=float)).requires_grad_()
    with torch.enable_grad():
        expected = rate(point)
        (slope,) = torch.autograd.grad(expected.log(), point)
    return np.asarray(torch.outer(slope, slope).numpy())


def expected_information(
    experiment: CountingExperiment,
    theta: Array,
    x: Array,
    weight: Array | None = None,
    *,
    count: float | None = None,
) -> FisherInformation:
    """Return the information of an experiment at a point.

    Arguments:
        experiment: The experiment.
        theta: The point, with shape (p,).
        x: Events at the point, with shape (M, d).
        weight: Their weights, with shape (M,).
        count: Number of events, if the experiment has no rate.
    """
    p, rate = len(theta), experiment.rate
    constraints = np.zeros((p, p))
    for row in experiment.constraints:
        constraints[row.parameter, row.parameter] = row.width**-2
    expected = experiment.expected(theta)
    return FisherInformation(
        events=float(count or 1.0) if expected is None else expected,
        kinematics=event_information(scores_of(experiment.likelihood, x, theta), weight),
        rate=np.zeros((p, p)) if rate is None else rate_information(rate, theta),
        constraints=constraints,
    )
