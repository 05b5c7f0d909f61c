r"""The likelihood of a counting experiment, for any data set.

.. math:: \ln L(\theta, \nu) = -\mu(\theta) + \sum_i w_i \ln[\mu(\theta) p(x_i | \theta)]
          - \tfrac12 \sum_k (\nu_k - a_k)^2 / s_k^2

with mu = Lumi sigma(theta) eps the expected number of events, and a_k the auxiliary
measurement of the nuisance parameter nu_k with the width s_k. Nuisance parameters are
parameters of the model like the others: they are those that nobody asks about. Without
a rate the number of events is left out (shape only).

Observed events have the weight one. In an Asimov data set, a sample at a known theta
whose weights add up to the expected number of events, a maximum of the likelihood
stands for the median of many experiments.

References:
    | Asymptotic formulae for likelihood-based tests of new physics (Cowan, Cranmer,
      Gross and Vitells, 2011), https://arxiv.org/abs/1007.1727
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError, DataError, InputError
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.rates import Rate
from lfi_mflow.simulation import Array, Prior, Uniform, effective_sample_size

__all__ = [
    "Constraint",
    "CountingExperiment",
    "DataSet",
    "LikelihoodFactory",
    "asimov_data",
    "domain_of",
]

LikelihoodFactory = Callable[[Tensor], LogPosterior]
"""Makes the log-likelihood of the shape of N events (N, d), or of D sets (D, N, d)."""

EventSource = Callable[[Array, int], tuple[Array, Array | None]]
"""Draws an event per row of theta with a seed: (B, p) -> (B, d), and weights (B,) or None."""

_LEAST_SIZE = 50.0
_NORMAL_WIDTHS = 4.0


@dataclass(frozen=True)
class Constraint:
    """An auxiliary measurement of a nuisance parameter.

    Arguments:
        parameter: Index of the nuisance parameter.
        measured: The measured value a.
        width: Its standard deviation.

    Raises:
        ConfigError: If the width is not positive or the value not finite.
    """

    parameter: int
    measured: float
    width: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (0.0 < self.width < math.inf and math.isfinite(self.measured)):
            raise ConfigError(
                "a finite auxiliary measurement with a positive width",
                f"{self.measured:g} ± {self.width:g}",
                "correct the table of the nuisance parameter",
            )


@dataclass(frozen=True)
class DataSet:
    """Events that were observed, or an Asimov data set.

    Arguments:
        x: Events, with shape (N, d).
        weight: Weights, with shape (N,); None counts every event once.

    Raises:
        DataError: If weights are negative or the events are worth fewer than 50.
    """

    x: Array
    weight: Array | None = None

    def __post_init__(self) -> None:
        """Check the weights."""
        if self.weight is None:
            return
        if np.any(self.weight < 0.0) or not np.isfinite(self.weight).all():
            raise DataError(
                "weights >= 0 of a data set", "negative ones or NaN", "resample the events"
            )
        if self.size < _LEAST_SIZE:
            raise DataError(
                f"an effective sample size of at least {_LEAST_SIZE:g} of weighted events",
                f"{self.size:.3g} of {len(self.x)} events",
                "take more events, or a sample at a nearer theta",
            )

    @property
    def count(self) -> float:
        """Number of events that they stand for: the sum of the weights."""
        return float(len(self.x) if self.weight is None else self.weight.sum())

    @property
    def size(self) -> float:
        """Effective sample size (sum w)^2 / sum w^2."""
        return float(len(self.x)) if self.weight is None else effective_sample_size(self.weight)


@dataclass(frozen=True)
class CountingExperiment:
    """What turns a data set into a likelihood.

    Arguments:
        names: Names of the p parameters.
        low: Lower ends of the parameters, with shape (p,).
        high: Upper ends, with shape (p,).
        likelihood: Makes the likelihood of the shape of events.
        rate: Expected number of events; None leaves their number out.
        constraints: Auxiliary measurements; their parameters are the nuisances.
        interest: Indices of the parameters of interest, one or two.
        factors: How many parameters, the last ones, are factors on rates and not
            parameters of a model.
        beyond_shape: How many of these, the last ones, the shape does not depend on: that of
            the luminosity.

    Raises:
        ConfigError: If there are no parameters of interest, more than two, or a parameter
            is neither of interest nor constrained.
    """

    names: tuple[str, ...]
    low: Array
    high: Array
    likelihood: LikelihoodFactory
    rate: Rate | None
    constraints: tuple[Constraint, ...] = ()
    interest: tuple[int, ...] = ()
    factors: int = 0
    beyond_shape: int = 0

    def __post_init__(self) -> None:
        """Check that every parameter has a role."""
        nuisances = self.nuisances
        if not self.interest:
            chosen = tuple(k for k in range(len(self.names)) if k not in nuisances)
            object.__setattr__(self, "interest", chosen)
        named = ", ".join(self.names[k] for k in self.interest)
        if not 1 <= len(self.interest) <= 2:
            raise ConfigError(
                "one or two parameters of interest",
                f"{len(self.interest)}: {named or 'none'}",
                "name them with --interest, and constrain the others in --config",
            )
        roles = sorted((*self.interest, *nuisances))
        if roles != list(range(len(self.names))):
            twice = next((self.names[k] for k in self.interest if k in nuisances), None)
            rest = ", ".join(name for k, name in enumerate(self.names) if k not in roles)
            raise ConfigError(
                "every parameter to be of interest or a constrained nuisance",
                f"{twice} as both" if twice else f"neither for {rest}",
                "correct --interest, or the tables [nuisances.NAME] of --config",
            )

    @property
    def nuisances(self) -> tuple[int, ...]:
        """Indices of the nuisance parameters."""
        return tuple(constraint.parameter for constraint in self.constraints)

    def expected(self, theta: Sequence[float] | Array) -> float | None:
        """Return the expected number of events at a point (p,); None without a rate."""
        if self.rate is None:
            return None
        with torch.no_grad():
            return self.rate(torch.as_tensor(np.asarray(theta, dtype=float))).item()

    def complete(self, theta: Sequence[float] | Array) -> Array:
        """Return a point of the model's parameters with the factors on rates as measured."""
        point = np.asarray(theta, dtype=float)
        first = len(self.names) - self.factors
        if len(point) != first:
            return point  # all of them, or a fault for require_inside to report
        rest = [row.measured for row in self.constraints if row.parameter >= first]
        return np.concatenate([point, rest])

    def require_inside(self, theta: Sequence[float] | Array, what: str) -> Array:
        """Return a point (p,) as an array, if the parameters may have these values.

        Raises:
            InputError: If there are more or fewer, or one is out of range.
        """
        point = np.asarray(theta, dtype=float)
        if point.shape != (len(self.names),):
            names = ", ".join(self.names)
            raise InputError(f"{what} with a value for {names}", f"{point.size} values", "add them")
        for name, value, low, high in zip(self.names, point, self.low, self.high, strict=True):
            if not low <= value <= high:
                raise InputError(
                    f"{what} with {name} in [{low:g}, {high:g}], where the model was trained",
                    f"{value:g}",
                    "choose a point inside",
                )
        return point

    def log_likelihood(self, data: DataSet) -> LogPosterior:
        """Return ln L of a data set as a function of all parameters: (..., p) -> (...)."""
        x = torch.as_tensor(data.x)
        shape = self.likelihood(x) if data.weight is None else self._weighted(x, data.weight)
        count = data.count

        def density(theta: Tensor) -> Tensor:
            return shape(theta) + self.rate_term(theta, count) + self.constraint_term(theta)

        return density

    def rate_term(self, theta: Tensor, count: float | Tensor) -> Tensor:
        """Log of the Poisson probability of a number of events, up to a constant."""
        if self.rate is None:
            return theta.new_zeros(theta.shape[:-1], dtype=torch.float64).cpu()
        expected = self.rate(theta)
        return count * expected.clamp_min(1e-300).log() - expected

    def constraint_term(self, theta: Tensor) -> Tensor:
        """Log of the probability of the auxiliary measurements, up to a constant."""
        total = theta.new_zeros(theta.shape[:-1], dtype=torch.float64).cpu()
        for row in self.constraints:
            pull = (theta[..., row.parameter].cpu().double() - row.measured) / row.width
            total = total - 0.5 * pull.square()
        return total

    def event_terms(self, x: Array) -> LogPosterior:
        """Return ln p(x_i | theta) of each of M events: (M, ..., p) -> (M, ...)."""
        return self.likelihood(torch.as_tensor(x).unsqueeze(1))

    def _weighted(self, x: Tensor, weight: Array) -> LogPosterior:
        """Sum of w_i ln p(x_i | theta): M data sets of one event each, and their weights."""
        terms, weights = self.event_terms(x.numpy()), torch.as_tensor(weight).double()

        def density(theta: Tensor) -> Tensor:
            flat = theta.reshape(-1, theta.shape[-1])
            total = weights @ terms(flat.expand(len(weights), *flat.shape))
            return total.reshape(theta.shape[:-1])

        return density


def domain_of(prior: Prior) -> tuple[Array, Array]:
    """Return the ends of the parameters, each (p,): the support, or four standard deviations."""
    ends = [
        (row.low, row.high)
        if isinstance(row, Uniform)
        else (row.mean - _NORMAL_WIDTHS * row.sd, row.mean + _NORMAL_WIDTHS * row.sd)
        for row in prior.marginals
    ]
    low, high = np.asarray(ends, dtype=float).T
    return low, high


def asimov_data(
    experiment: CountingExperiment,
    source: EventSource,
    theta: Sequence[float] | Array,
    *,
    sample: int,
    count: float | None = None,
    seed: int = 0,
) -> DataSet:
    """Make the Asimov data set of a point.

    Arguments:
        experiment: The experiment.
        source: Where the events come from.
        theta: The point, with shape (p,).
        sample: Number of events drawn to stand for the expected ones. The maximum of
            the likelihood is off the point by about sqrt(count / sample) errors.
        count: Number of events it stands for; the expected number by default.
        seed: Seed of the events.

    Raises:
        InputError: If the point is outside the parameters' range.
        ConfigError: If there is neither a rate nor a count.
        DataError: If the sample is worth fewer than 50 events.
    """
    point = experiment.require_inside(theta, "an Asimov point")
    wanted = experiment.expected(point) if count is None else count
    if wanted is None:
        raise ConfigError(
            "a number of events for a shape-only Asimov data set", "none", "give --events K"
        )
    x, weight = source(np.tile(point, (sample, 1)), seed)
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=float)
    return DataSet(x, weight * (wanted / weight.sum()))


def with_measured(experiment: CountingExperiment, theta: Array) -> CountingExperiment:
    """Return the experiment whose auxiliary measurements found the values of a point (p,)."""
    constraints = tuple(
        dataclasses.replace(row, measured=float(theta[row.parameter]))
        for row in experiment.constraints
    )
    return dataclasses.replace(experiment, constraints=constraints)
