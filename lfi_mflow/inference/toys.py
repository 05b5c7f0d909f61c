r"""Toy experiments from a table of log-densities.

The expensive part of a toy is the likelihood of its events at all points of a grid. A
pool of events is evaluated once, as a table ln p(x_i | theta_g); a toy is a draw of rows
of it, and its log-likelihood on the grid the sum of these rows.

The pool holds events of all truths together. It follows the mixture
q(x) = sum_t p(x | theta_t) / T, and for the truth theta_t its rows are drawn with
probabilities proportional to p(x_i | theta_t) / q(x_i), which never exceed T / M.

What that approximates: toys of N events share a pool of M. The rows' own fluctuation
shifts all toys of a truth by about sqrt(N / M_t) of the error of the parameters, with M_t
the effective size of the pool at that truth, and so raises the critical values by a
fraction N / M_t: take M_t well above 20 N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.inference.blocks import slices
from lfi_mflow.inference.experiment import CountingExperiment, EventSource, LikelihoodFactory
from lfi_mflow.simulation import Array, effective_sample_size

__all__ = ["EventPool", "ToyTable", "draw_pool", "make_table"]

Integers = NDArray[np.int64]

_ROWS = 512
_FLOOR = -1e4  # for densities of zero, so that sums stay numbers
_LEAST_SIZE = 50.0
_DENSE = 20  # toys with more than a 20th of the pool are cheaper as a matrix product


@dataclass(frozen=True)
class EventPool:
    """Events that toys are drawn from.

    Arguments:
        x: The M events, with shape (M, d).
        probability: Chance of each row in toys of each truth, with shape (T, M).
    """

    x: Array
    probability: Array

    @property
    def size(self) -> float:
        """Effective number of events at the truth that has fewest."""
        return min(effective_sample_size(row) for row in self.probability)


@dataclass(frozen=True)
class ToyTable:
    """Log-densities of a pool of events at G points, and what else a toy's likelihood needs.

    Arguments:
        terms: ln p(x_i | theta_g) less a number of each event, with shape (M, G), float32.
        theta: The points, with shape (G, p).
        experiment: The experiment.
        count: Number of events of each toy, if there is no rate.
    """

    terms: Tensor
    theta: Tensor
    experiment: CountingExperiment
    count: int

    def log_likelihoods(
        self, truth: int, probability: Array, toys: int, rng: np.random.Generator
    ) -> Array:
        """Log-likelihoods of toys at the points: (toys, G).

        Arguments:
            truth: Index of the point that the toys are thrown at.
            probability: Chance of each row of the pool there, with shape (M,).
            toys: Number of toys.
            rng: Source of randomness.
        """
        numbers, rate_terms = self._numbers(truth, toys, rng)
        total = self._sum_rows(probability, numbers, rng).double() + rate_terms
        for row in self.experiment.constraints:
            nuisance = self.theta[:, row.parameter]
            measured = nuisance[truth].item() + row.width * rng.standard_normal((toys, 1))
            total -= 0.5 * ((nuisance - torch.as_tensor(measured)) / row.width).square()
        return total.numpy()

    def _numbers(
        self, truth: int, toys: int, rng: np.random.Generator
    ) -> tuple[Integers, Tensor | float]:
        """Numbers of events of toys, and the terms of the likelihood that belong to them."""
        if self.experiment.rate is None:
            return np.full(toys, self.count), 0.0
        expected = self.experiment.rate(self.theta).clamp_min(1e-300)
        numbers = rng.poisson(expected[truth].item(), toys)
        return numbers, torch.as_tensor(numbers[:, None]) * expected.log() - expected

    def _sum_rows(self, probability: Array, numbers: Integers, rng: np.random.Generator) -> Tensor:
        """Sum as many random rows as each toy has events: (toys, G)."""
        edges = np.cumsum(probability)
        drawn = np.searchsorted(edges, edges[-1] * rng.random(int(numbers.sum())), side="right")
        drawn = np.minimum(drawn, len(probability) - 1)
        if _DENSE * numbers.mean() > len(probability):
            toy = np.repeat(np.arange(len(numbers)), numbers)
            counts = torch.zeros(len(numbers), len(probability))
            counts.index_put_(
                (torch.as_tensor(toy), torch.as_tensor(drawn)), torch.ones(()), accumulate=True
            )
            return counts @ self.terms
        starts = torch.as_tensor(np.concatenate([[0], np.cumsum(numbers)[:-1]]), dtype=torch.long)
        return torch.nn.functional.embedding_bag(
            torch.as_tensor(drawn, dtype=torch.long), self.terms, starts, mode="sum"
        )


def draw_pool(
    source: EventSource,
    density: LikelihoodFactory | None,
    truths: Array,
    *,
    size: int,
    seed: int,
) -> EventPool:
    """Draw events for toys at several truths.

    Arguments:
        source: Where the events come from.
        density: The density that they follow, up to a number of each event. None if
            nobody knows it: then toys of a truth are made of the events drawn at it.
        truths: The points, with shape (T, p).
        size: Number M of events, or of each truth where the density is not known.
        seed: Seed of the events.

    Raises:
        DataError: If the events of a truth are worth fewer than 50, or a weight is negative.
    """
    each = size if density is None else -(-size // len(truths))
    x, weight = source(np.repeat(truths, each, axis=0), seed)
    chance = np.ones(len(x)) if weight is None else np.asarray(weight, dtype=float)
    if np.any(chance < 0.0):
        raise DataError("weights >= 0 of events for toys", "negative ones", "throw other toys")
    if density is None:
        shares = np.kron(np.eye(len(truths)), np.ones(each))
    else:
        terms = _terms(density, x, torch.as_tensor(truths)).double()
        log_ratio = terms - terms.logsumexp(dim=1, keepdim=True)
        shares = log_ratio.exp().T.numpy()
    probability = shares * chance
    pool = EventPool(x, probability / probability.sum(axis=1, keepdims=True))
    if pool.size < _LEAST_SIZE:
        raise DataError(
            f"a pool of events for toys worth at least {_LEAST_SIZE:g} at every point",
            f"{pool.size:.3g} of {len(x)}",
            "raise pool",
        )
    return pool


def make_table(
    experiment: CountingExperiment, pool: EventPool, theta: Tensor, count: float
) -> ToyTable:
    """Evaluate the events of a pool at all points.

    Arguments:
        experiment: The experiment.
        pool: The events.
        theta: The G points, with shape (G, p).
        count: Number of observed events, for toys without a rate.

    Raises:
        ConfigError: If the table would not fit into 4 GiB.
    """
    if len(pool.x) * len(theta) > 2**30:
        raise ConfigError(
            "a table of toys of at most 2^30 numbers",
            f"{len(pool.x)} events at {len(theta)} points",
            "lower pool, or fix a nuisance parameter",
        )
    if not experiment.beyond_shape:
        terms = _terms(experiment.likelihood, pool.x, theta)
        return ToyTable(terms, theta, experiment, max(1, round(count)))
    # Points that differ in what the shape does not depend on share a column of terms.
    shape = theta.clone()
    shape[:, -experiment.beyond_shape :] = 1.0
    points, column = shape.unique(dim=0, return_inverse=True)
    terms = _terms(experiment.likelihood, pool.x, points)[:, column]
    return ToyTable(terms, theta, experiment, max(1, round(count)))


def _terms(likelihood: LikelihoodFactory, x: Array, theta: Tensor) -> Tensor:
    """Log-densities of events at points, less those at the middle one: (M, G), float32."""
    parts = []
    with torch.no_grad():
        for rows in slices(len(x), _ROWS):
            events = torch.as_tensor(x[rows]).unsqueeze(1)
            values = likelihood(events)(theta.expand(len(events), *theta.shape)).cpu()
            centred = values - values[:, [theta.shape[0] // 2]].clamp_min(_FLOOR)
            parts.append(torch.nan_to_num(centred, nan=_FLOOR).clamp_min(_FLOOR).float())
    return torch.cat(parts)
