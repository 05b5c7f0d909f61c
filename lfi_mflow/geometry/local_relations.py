r"""The dimension by the relations that hold between neighbouring points.

A manifold of dimension n in R^r is cut out, near any of its points, by r - n relations
:math:`h(x) = 0` with independent gradients. We look for them among all polynomials of
second degree. For a direction v at a point :math:`x_0`, the relation that confines the
neighbours of :math:`x_0` most narrowly along v leaves them the width

.. math:: w(v) = \min_h \frac{\sqrt{\mathrm{Var}\, h(x)}}{|v \cdot \nabla h(x_0)|},
          \qquad w^{-2}(v) = v^T G A^{-1} G^T v

with A the covariance of the monomials over the neighbours and G their gradients at
:math:`x_0`. The eigenvalues of :math:`G A^{-1} G^T` are the widths in all directions: those
along the manifold are as wide as the neighbourhood, those across are as narrow as the
relations are well met. n is where the widths drop.

First degree alone is local PCA, whose widths across the manifold are those of its
curvature. In ten dimensions no neighbourhood of 10^5 points is small, curvature is as large
as the neighbourhood, and local PCA fails as nearest neighbours do. The second degree takes
curvature into account, and relations such as :math:`E^2 = p^2 + m^2` are met exactly.

The number of neighbours has to be twice that of monomials, q(q+3)/2 in q local principal
axes. Different numbers of neighbours are tried, and for each the axes that they allow; for
each change of coordinates in ``Points.lifts``; what counts is the attempt with the
clearest drop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from sklearn.neighbors import NearestNeighbors

from lfi_mflow.geometry.dimension import Estimate
from lfi_mflow.geometry.points import Points

__all__ = ["LocalRelations", "relation_widths"]

Array = NDArray[np.float64]

_LEAST_WIDTH = 1e-8  # relative to the widest direction; narrower is zero
_RIDGE = 1e-10  # least standard deviation of a relation
_PER_MONOMIAL = 2.0  # neighbours for each monomial
_NEIGHBOURS = (32, 128, 512, 1500, 4000)
_LARGEST_SHARE = 0.25  # of all points that may be neighbours
_KNOWN_GAP = 2.0  # what first degree sees of a drop counts up to this factor
_CLEAR = 10.0  # a drop by this factor that all points agree on needs no further attempts
_LIKE = 0.6  # of the logarithm of the largest drop, for a drop of a like size
_VAGUE = 2.0  # a smaller drop is not to be relied upon
_FILLS = 2.5  # without a larger drop, the manifold fills its linear span
_SEED = 271828


@dataclass(frozen=True)
class _Attempt:
    """What one neighbourhood size in one set of coordinates found.

    Arguments:
        lift: Name of the coordinates.
        k: Number of neighbours.
        cut: Whether there are more local principal axes than entered.
        votes: The n of each point, with shape (M,).
        gap: Typical factor by which the widths drop after the favourite n.
        widths: Typical widths of all directions, with shape (q,).
    """

    lift: str
    k: int
    cut: bool
    votes: NDArray[np.int64]
    gap: float
    widths: Array

    @property
    def favourite(self) -> int:
        """The n with most votes."""
        return int(np.bincount(self.votes).argmax())

    @property
    def share(self) -> float:
        """The share of its votes."""
        return float((self.votes == self.favourite).mean())

    @property
    def merit(self) -> float:
        """How clear the drop is: agreement of the points times the logarithm of the drop."""
        return self.share * float(np.log(self.gap))

    @property
    def clear(self) -> bool:
        """Whether there is nothing to add."""
        return self.share >= 0.8 and self.gap > _CLEAR


@dataclass(frozen=True)
class LocalRelations:
    """The dimension by polynomial relations of second degree between neighbours.

    Warning:
        Noise is a dimension: the widths of directions across the manifold are then those of
        the noise, and n is what is wider.

    Arguments:
        places: Number of points around which relations are looked for.
        largest: Largest number of neighbours.
    """

    places: int = 12
    largest: int = _NEIGHBOURS[-1]
    name: ClassVar[str] = "relations"

    def estimate(self, points: Points) -> Estimate:
        """Estimate the dimension."""
        best = _best(self._attempts(points))
        error = _error(best)
        return Estimate(
            self.name,
            float(best.favourite),
            error,
            _log_weights(best, points.rank),
            f"relations between {best.k} neighbours, met to 1/{best.gap:.2g} ({best.lift})",
            {"widths": best.widths.tolist(), "votes": best.votes.tolist(), "k": best.k},
            _cautions(best, points),
        )

    def _attempts(self, points: Points) -> list[_Attempt]:
        """Look for relations at all scales in all coordinates."""
        most = min(self.largest, int(_LARGEST_SHARE * len(points)))
        attempts = []
        for lift, z in points.lifts.items():
            rows = np.random.default_rng(_SEED).permutation(len(z))[: self.places]
            finder = NearestNeighbors(n_neighbors=most).fit(z)
            neighbours = finder.kneighbors(z[rows], return_distance=False)
            for k in _sizes(z.shape[1], most):
                clouds = [z[row[:k]] for row in neighbours]
                attempts.append(_attempt(lift, clouds, points))
                if attempts[-1].clear and not attempts[-1].cut:
                    break
        return attempts


def _best(attempts: list[_Attempt]) -> _Attempt:
    """Choose an attempt: the clear one with most relations, else the one with the clearest drop.

    Relations that are met exactly exist; that others were not found proves nothing. Where
    axes were cut off, thin directions of the manifold may be lost with them.
    """
    clear = [attempt for attempt in attempts if attempt.clear and not attempt.cut]
    if clear:
        return min(clear, key=lambda attempt: (attempt.favourite, -attempt.merit))
    return max(attempts, key=lambda attempt: attempt.merit)


def _sizes(rank: int, most: int) -> list[int]:
    """Return the numbers of neighbours that are tried, up to somewhat more than all axes need."""
    needed = int(_PER_MONOMIAL * rank * (rank + 3) / 2) + 1
    sizes = {min(k, most) for k in (*_NEIGHBOURS, needed) if k <= 3 * needed}
    return sorted(sizes)


def relation_widths(x: Array, degree: int, axes: int, accuracy: float) -> Array:
    """Widths that polynomial relations leave points in each direction: (k, r) -> (q,).

    Arguments:
        x: Neighbouring points, with shape (k, r).
        degree: 1 or 2.
        axes: Largest number of local principal axes that may enter.
        accuracy: Relative accuracy of the points; directions that are narrower count as
            this narrow.

    Returns:
        Widths, largest first: of all r directions, or of as many as may enter.
    """
    x = x - x.mean(axis=0)
    k, r = x.shape
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    s = s / k**0.5
    least = max(_LEAST_WIDTH, 3.0 * accuracy) * s[0]
    wide = int((s > least).sum())
    q = min(wide, axes)
    y = u[:, :q] * k**0.5
    centre = y[np.argmin(np.square(y).sum(axis=1))]  # on the manifold, unlike the mean
    features, gradients = _monomials(y, centre, degree)
    features -= features.mean(axis=0)
    p = features.shape[1]
    ridge = _RIDGE * k**0.5 * np.eye(p)
    (triangle,) = qr(np.concatenate([features, ridge]), mode="r", overwrite_a=True)
    inner = solve_triangular(triangle[:p], gradients.T, trans="T", lower=False)
    precision = np.linalg.svd(inner / s[:q], compute_uv=False) * max(k - p - 1, 1) ** 0.5
    widths = np.full(r if wide <= axes else q, least)
    widths[:q] = np.maximum(1.0 / precision[::-1], least)
    return widths


def _monomials(y: Array, centre: Array, degree: int) -> tuple[Array, Array]:
    """Monomials up to a degree: values (k, p) and gradients (q, p) at the centre (q,)."""
    q = y.shape[1]
    if degree == 1:
        return y.copy(), np.eye(q)
    i, j = np.triu_indices(q)
    gradients = np.zeros((q, len(i)))
    columns = np.arange(len(i))
    np.add.at(gradients, (i, columns), centre[j])
    np.add.at(gradients, (j, columns), centre[i])
    return np.concatenate([y, y[:, i] * y[:, j]], axis=1), np.hstack([np.eye(q), gradients])


def _axes(k: int) -> int:
    """Return the largest number q of axes whose q(q+3)/2 monomials k neighbours determine."""
    return max(1, int((-3.0 + (9.0 + 8.0 * k / _PER_MONOMIAL) ** 0.5) / 2.0))


def _attempt(lift: str, clouds: list[Array], points: Points) -> _Attempt:
    """Look for the drop of the widths around each place."""
    k, axes = len(clouds[0]), _axes(len(clouds[0]))
    widths, drops = [], []
    for cloud in clouds:
        first, second = (relation_widths(cloud, one, axes, points.rounding) for one in (1, 2))
        widths.append(second)
        drops.append(_drops(first, second, cloud.shape[1])[: points.rank])
    votes = np.array([_vote(row) for row in drops])
    favourite = int(np.bincount(votes).argmax())
    gap = float(np.exp(np.median([row[favourite - 1] for row in drops if len(row) >= favourite])))
    shown = min(map(len, widths))
    typical = np.exp(np.median([np.log(row[:shown]) for row in widths], axis=0))
    cut = shown < clouds[0].shape[1]
    return _Attempt(lift, k, cut, votes, max(gap, 1.0), typical)


def _drops(first: Array, second: Array, r: int) -> Array:
    """Logarithms of the factors by which widths of second degree drop after n = 1 ...

    A drop that first degree sees as well may be one of curvature, and counts less. Where
    all directions are known and none is much narrower than the others, they may all be
    along the manifold: it is taken to be so if the widths drop nowhere by ``_FILLS``.
    """
    seen = np.clip(-np.diff(np.log(first)), 0.0, np.log(_KNOWN_GAP))
    drops = -np.diff(np.log(second)) - seen
    fills = len(second) == r and second[0] < _CLEAR * second[-1]
    return np.append(drops, np.log(_FILLS)) if fills else drops


def _vote(drops: Array) -> int:
    """Return the n after which the widths drop.

    Of several clear drops of a like size it is the last: thin directions are directions,
    if others are met by relations as much more exactly.
    """
    like = np.flatnonzero(drops >= max(_LIKE * drops.max(), np.log(_CLEAR)))
    return int(like[-1] if len(like) else np.argmax(drops)) + 1


def _log_weights(attempt: _Attempt, rank: int) -> Array:
    """Log-shares of the votes, with one vote among all n: sharper where the drop is clear."""
    counts = np.bincount(attempt.votes, minlength=rank + 1)[1 : rank + 1].astype(float)
    shares = (counts + 1.0 / rank) / (counts.sum() + 1.0)
    sharpness = min(len(attempt.votes), 1.0 + np.log(attempt.gap))
    return np.asarray(sharpness * np.log(shares))


def _error(attempt: _Attempt) -> float:
    """Standard deviation of the favourite when places are drawn anew."""
    rng = np.random.default_rng(_SEED)
    votes = attempt.votes
    drawn = [np.bincount(rng.choice(votes, len(votes))).argmax() for _ in range(200)]
    return float(np.sqrt(np.mean((np.array(drawn) - attempt.favourite) ** 2)))


def _cautions(attempt: _Attempt, points: Points) -> tuple[str, ...]:
    """Say when the relations are not to be relied upon, and what would help."""
    if attempt.gap >= _VAGUE and attempt.share >= 0.5:
        return ()
    needed = int(_PER_MONOMIAL * points.rank * (points.rank + 3) / 2 / _LARGEST_SHARE)
    advice = f"{needed:,} events would" if needed > len(points) else "more events may"
    return (
        f"no clear relations between neighbouring events (they are met to 1/{attempt.gap:.2g}, "
        f"{attempt.share:.0%} of places agree): {advice} show them",
    )
