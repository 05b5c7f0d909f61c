r"""Dimensions by the distances to nearest neighbours.

In n dimensions the number of points within a distance r grows as :math:`r^n`, and so
the ratios of distances to the nearest neighbours tell n, whatever the density is, as long
as it is constant as far as these neighbours are. In many dimensions it is not: points
are sparse, neighbours far, edges everywhere, and the estimates too small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry.dimension import Estimate, skewed_log_weights
from lfi_mflow.geometry.points import Points

__all__ = ["MaximumLikelihood", "TwoNearestNeighbours", "neighbour_distances"]

Array = NDArray[np.float64]

_QUERIES = 1000
_TOO_LARGE = 0.07  # relative systematic error where the estimate is too large, by judgement
_TOO_SMALL = 0.25  # where it is too small, for n = 10; it grows with n
_SPARSE = 8.0  # above it the estimates are known to be too small
_FIRST_SEED = 1729


def neighbour_distances(z: Array, k: int, queries: int) -> Array:
    """Distances of some points to their k nearest neighbours: (N, r) -> (Q, k), ascending."""
    rows = np.random.default_rng(_FIRST_SEED).permutation(len(z))[:queries]
    finder = NearestNeighbors(n_neighbors=k + 1).fit(z)
    distances, _ = finder.kneighbors(z[rows])
    found: Array = np.asarray(distances[:, 1:], dtype=float)
    return found


def _log_weights(points: Points, value: float, error: float) -> Array:
    """Likelihoods of n: sharp for n below the estimate, wide for n above it."""
    n = np.arange(1, points.rank + 1)
    below = np.hypot(error, np.maximum(_TOO_LARGE * n, 0.15))
    above = np.hypot(error, np.maximum(_TOO_SMALL * n * np.sqrt(n / 10.0), 0.15))
    return skewed_log_weights(points.rank, value, below, above)


def _cautions(name: str, value: float, points: Points) -> tuple[str, ...]:
    """Say where the estimate is known to be off, too small as a rule."""
    if value < _SPARSE:
        return ()
    return (
        f"{name} is off by up to a quarter, as a rule too small: {len(points):,} points are sparse "
        f"in {value:.0f} dimensions and more",
    )


@dataclass(frozen=True)
class TwoNearestNeighbours:
    r"""TwoNN: the ratio of the distances to the second and first neighbour.

    Its logarithm is exponential with rate n: :math:`P(r_2/r_1 > \mu) = \mu^{-n}`.
    The tenth with the largest ratios is cut off, as the authors do.

    References:
        | Estimating the intrinsic dimension of datasets by a minimal neighborhood
        | information (Facco et al., 2017), https://doi.org/10.1038/s41598-017-11873-y

    Arguments:
        queries: Number of points that are looked at.
    """

    queries: int = _QUERIES
    name: ClassVar[str] = "two-nn"

    def estimate(self, points: Points) -> Estimate:
        """Estimate the dimension."""
        distances = neighbour_distances(points.z, 2, self.queries)
        log_ratio = np.sort(np.log(distances[:, 1] / distances[:, 0]))
        kept = int(0.9 * len(log_ratio))
        # the censored exponential: those beyond the cut count with the cut
        total = log_ratio[:kept].sum() + (len(log_ratio) - kept) * log_ratio[kept - 1]
        value = float(kept / total)
        error = value / kept**0.5
        return Estimate(
            self.name,
            value,
            error,
            _log_weights(points, value, error),
            "ratio of the distances to two neighbours",
            cautions=_cautions(self.name, value, points),
        )


@dataclass(frozen=True)
class MaximumLikelihood:
    r"""The maximum-likelihood dimension of the distances to k neighbours.

    .. math:: 1/\hat n = \Bigl\langle \frac{1}{k-1} \sum_{j<k} \log \frac{r_k}{r_j} \Bigr\rangle

    The mean over points is of the inverse, as MacKay and Ghahramani correct it.

    References:
        | Maximum likelihood estimation of intrinsic dimension (Levina and Bickel, 2004)
        | Comments on the above (MacKay and Ghahramani, 2005)

    Arguments:
        k: Number of neighbours.
        queries: Number of points that are looked at.

    Raises:
        ConfigError: If k is less than 3.
    """

    k: int = 10
    queries: int = _QUERIES
    name: ClassVar[str] = "mle"

    def __post_init__(self) -> None:
        """Check the number of neighbours."""
        if self.k < 3:
            raise ConfigError("k >= 3 neighbours", str(self.k), "raise it")

    def estimate(self, points: Points) -> Estimate:
        """Estimate the dimension."""
        distances = neighbour_distances(points.z, self.k, self.queries)
        inverse = np.log(distances[:, -1:] / distances[:, :-1]).mean(axis=1)
        mean = inverse.mean()
        # (k-2)/(k-1) makes the estimate of a single point unbiased, that of many: one
        value = float(1.0 / mean)
        error = value * float(inverse.std() / mean) / len(inverse) ** 0.5
        return Estimate(
            self.name,
            value,
            error,
            _log_weights(points, value, error),
            f"distances to {self.k} neighbours",
            cautions=_cautions(self.name, value, points),
        )
