r"""Positive weights from signed ones, and events of equal weight from weighted ones.

Cell resampling makes signed weights positive without a change of what they predict
for anything that is coarser than a cell. Around each event of negative weight a
cell grows, nearest neighbour by nearest neighbour, until the sum of its weights is
no longer negative; then the sum is shared out in proportion to the absolute values,

.. math:: w_i \to |w_i| \, \sum_j w_j / \sum_j |w_j| .

Systematic resampling draws events in proportion to positive weights: the number of
copies of an event is its expected number, rounded up or down.

References:
    | Unbiased elimination of negative weights in Monte Carlo samples
    | (Andersen and Maier, 2021), https://arxiv.org/abs/2109.07851
    | Monte Carlo filter and smoother for non-Gaussian nonlinear state space models
    | (Kitagawa, 1996), for systematic resampling
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError

__all__ = ["ResampledCells", "resample_cells", "systematic_counts"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_SEEDS = 256  # whose neighbours are looked up at a time
_NEIGHBOURS = 64  # of each; a cell that needs more looks again


@dataclass(frozen=True)
class ResampledCells:
    """Weights after cell resampling, and how far they were carried.

    Arguments:
        weight: Weights >= 0, with shape (N,); their sum is that of before.
        radius: Distance of each cell's seed to its farthest member, with shape (C,),
            in standard deviations of the features.
        size: Number of events in each cell, with shape (C,).
    """

    weight: Array
    radius: Array
    size: Integers


def resample_cells(x: NDArray[np.floating], weight: NDArray[np.floating]) -> ResampledCells:
    """Make signed weights positive, within cells of neighbours in feature space.

    Cells start at the most negative weights. Distances are Euclidean, with every
    feature in units of its standard deviation; a constant one does not count.

    Arguments:
        x: What neighbours are to be near in, with shape (N, k): the features, and the
            parameters where they differ between events.
        weight: Weights of either sign, with shape (N,).

    Raises:
        DataError: If values are not finite, or the weights have no positive sum.
    """
    points, signed = _standardised(x), np.array(weight, dtype=float)
    if not (np.isfinite(points).all() and np.isfinite(signed).all()):
        raise DataError("finite features and weights", "others", "leave those events out")
    if not signed.sum() > 0.0:
        raise DataError(
            "weights with a positive sum", f"{signed.sum():.4g}", "no positive weights keep it"
        )
    radius, size = [], []
    for seed, finder in _seeds(points, signed):
        if signed[seed] >= 0.0:
            continue  # an earlier cell took it in
        cell, reach = finder.cell(seed, signed)
        share = np.abs(signed[cell])
        signed[cell] = share * (max(signed[cell].sum(), 0.0) / share.sum())
        radius.append(reach)
        size.append(len(cell))
    return ResampledCells(signed, np.array(radius), np.array(size, dtype=np.int64))


def systematic_counts(
    weight: NDArray[np.floating], n: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """How often each event is drawn when n are drawn in proportion to their weights.

    Arguments:
        weight: Weights >= 0 with a positive sum, with shape (N,).
        n: Number of draws. None is repeated while n <= sum of weights / largest weight.
        rng: Source of the one random number that it takes.

    Returns:
        Counts with sum n, with shape (N,).
    """
    edges = np.cumsum(np.asarray(weight, dtype=float))
    below = np.ceil(edges * (n / edges[-1]) - rng.random()).clip(0, n).astype(np.int64)
    below[-1] = n
    # Rounding of the last edge must not hand a draw to an event without weight.
    last = int(np.flatnonzero(np.asarray(weight) > 0.0)[-1])
    below[last:] = n
    return np.diff(below, prepend=0)


class _Neighbours:
    """Neighbours of some events, the nearest first, and more of them on demand."""

    def __init__(self, search: Any, points: Array, seeds: Integers) -> None:
        self._search, self._points = search, points
        self._row = {int(seed): row for row, seed in enumerate(seeds)}
        known = min(_NEIGHBOURS, len(points))
        self._distance, self._index = search.kneighbors(points[seeds], n_neighbors=known)

    def cell(self, seed: int, weight: Array) -> tuple[Integers, float]:
        """Grow the cell of a seed until its weights have no negative sum; its radius."""
        row = self._row[seed]
        distance, index = self._distance[row], self._index[row]
        while True:
            # Of events at the same place any may come first: the seed has to be in.
            others = index != seed
            members = np.concatenate([[seed], index[others]])
            enough = np.flatnonzero(np.cumsum(weight[members]) >= 0.0)
            if len(enough) or len(index) == len(weight):
                count = int(enough[0]) + 1 if len(enough) else len(members)
                reach = np.concatenate([[0.0], distance[others]])[count - 1]
                return members[:count], float(reach)
            more = min(4 * len(index), len(weight))
            found = self._search.kneighbors(self._points[[seed]], n_neighbors=more)
            distance, index = (values[0] for values in found)


def _seeds(points: Array, weight: Array) -> Iterator[tuple[int, _Neighbours]]:
    """Yield events of negative weight, the most negative first, with their neighbours."""
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415 - simulating needs none of it

    order = np.argsort(weight, kind="stable")[: np.count_nonzero(weight < 0.0)]
    if not len(order):
        return
    search = NearestNeighbors().fit(points)
    for start in range(0, len(order), _SEEDS):
        chosen = order[start : start + _SEEDS]
        finder = _Neighbours(search, points, chosen)
        yield from ((int(seed), finder) for seed in chosen)


def _standardised(x: NDArray[np.floating]) -> Array:
    """Bring the columns that vary to a standard deviation of one: (N, k) -> (N, k')."""
    values = np.asarray(x, dtype=float)
    spread = values.std(axis=0)
    varies = ~(spread <= 1e-9 * np.abs(values).max(axis=0, initial=0.0))
    return np.asarray((values[:, varies] - values[:, varies].mean(axis=0)) / spread[varies])
