r"""The dimension n of the manifold of events: what estimates are, and how they are weighed.

Every estimator looks at the same points and returns an :class:`Estimate`: a value, its
standard error, and how well each integer agrees with it. Those agreements are
likelihoods of n; their product is the weight of each n, and the answer its mode:

.. math:: w(n) \propto \prod_i L_i(n), \qquad 1 \le n \le r,

with r the linear rank of the points, which no manifold in their span can exceed. What
an estimator gets wrong beyond its standard error is part of its :math:`L_i`: nearest
neighbours see too few dimensions where points are sparse, and so say little against a
larger n.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError
from lfi_mflow.geometry.points import Points

__all__ = ["Dimension", "DimensionEstimator", "Estimate", "skewed_log_weights", "weigh"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """What one estimator found.

    Arguments:
        name: Name of the estimator.
        value: The dimension; it need not be an integer.
        uncertainty: Its standard error, None if there is none to be had.
        log_weights: Logarithms of the likelihoods of n = 1 ... r, up to a constant, with
            shape (r,).
        meaning: What the value is, in a few words.
        curve: What a figure is drawn from, by name.
        cautions: What there is to beware of, each in one line.
    """

    name: str
    value: float
    uncertainty: float | None
    log_weights: Array
    meaning: str = ""
    curve: Mapping[str, Any] = field(default_factory=dict)
    cautions: tuple[str, ...] = ()


class DimensionEstimator(Protocol):
    """Something that estimates the dimension of points."""

    @property
    def name(self) -> str:
        """Its name on the command line."""

    def estimate(self, points: Points) -> Estimate:
        """Estimate the dimension."""


@dataclass(frozen=True)
class Dimension:
    """The answer of all estimators together.

    Arguments:
        value: The most probable n.
        uncertainty: Root-mean-square distance of n to it, by the weights.
        weights: The weights of n = 1 ... r, with shape (r,).
        rank: The linear rank r.
        data_dim: The number of observables.
        n_points: The number of points that were looked at.
        estimates: What each estimator found.
        cautions: What there is to beware of, each in one line.
    """

    value: int
    uncertainty: float
    weights: Array
    rank: int
    data_dim: int
    n_points: int
    estimates: tuple[Estimate, ...]
    cautions: tuple[str, ...] = ()

    @property
    def probability(self) -> float:
        """The weight of the answer among all n."""
        return float(self.weights[self.value - 1])

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "latent_dim": self.value,
            "uncertainty": self.uncertainty,
            "probability": self.probability,
            "weights": self.weights.tolist(),
            "rank": self.rank,
            "data_dim": self.data_dim,
            "n_points": self.n_points,
            "estimates": {
                estimate.name: {
                    "value": estimate.value,
                    "uncertainty": estimate.uncertainty,
                    "meaning": estimate.meaning,
                    "curve": dict(estimate.curve),
                }
                for estimate in self.estimates
            },
            "cautions": list(self.cautions),
        }


def weigh(points: Points, estimates: Sequence[Estimate]) -> Dimension:
    """Weigh estimates into one answer.

    Raises:
        DataError: If there is no estimate.
    """
    if not estimates:
        raise DataError("at least one estimate of the dimension", "none", "name an estimator")
    total = np.sum([estimate.log_weights for estimate in estimates], axis=0)
    weights = np.exp(total - total.max())
    weights /= weights.sum()
    n = np.arange(1, points.rank + 1)
    value = int(n[np.argmax(weights)])
    spread = float(np.sqrt(weights @ (n - value) ** 2))
    cautions = [*points.cautions, *(words for one in estimates for words in one.cautions)]
    if weights[value - 1] < 0.9:
        rival = int(n[np.argsort(weights)[-2]])
        cautions.append(f"n = {rival} is nearly as probable as n = {value}")
    return Dimension(
        value=value,
        uncertainty=spread,
        weights=weights,
        rank=points.rank,
        data_dim=points.data_dim,
        n_points=len(points),
        estimates=tuple(estimates),
        cautions=tuple(cautions),
    )


def skewed_log_weights(rank: int, value: float, below: Array, above: Array) -> Array:
    """Log-likelihoods of n = 1 ... r for a value with different errors to the two sides.

    Arguments:
        rank: The linear rank r.
        value: The estimate.
        below: Standard deviation of the estimate where it is too large, n < value, for
            each n, with shape (r,).
        above: Standard deviation where it is too small, n > value, with shape (r,).
    """
    n = np.arange(1, rank + 1)
    sd = np.where(n < value, below, above)
    return np.asarray(-0.5 * ((value - n) / sd) ** 2)
