r"""Points whose dimension is asked for: cleaned, scaled, and in their principal axes.

A smooth change of coordinates leaves the dimension of a manifold as it is, and may make
the manifold simpler. What laws of physics say of quantities without a unit, such as
rapidities, they say through exponentials; of angles, through sines and cosines. Where
some observables have units and others have none, the points are therefore given a second
time with :math:`x \to (e^x, e^{-x})` for those without a unit, and
:math:`\varphi \to (\cos\varphi, \sin\varphi)` for angles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import DataError

__all__ = ["LEAST_POINTS", "Points", "prepare_points"]

Array = NDArray[np.float64]

LEAST_POINTS = 100
"""Fewer points say nothing of any dimension."""

_RANK_TOLERANCE = 1e-5  # spread of the last axis that counts, relative to the first
_FEW_VALUES = 50  # a column with fewer different values is discrete
_LARGEST_EXPONENT = 20.0  # beyond it, an exponential is all tail
_ANGLE = "rad"
_SEED = 577215


@dataclass(frozen=True)
class Points:
    """Points in their principal axes.

    Arguments:
        z: Points with unit variance in each observable, in the axes of their linear span,
            with shape (N, r).
        spectrum: Variances along all axes, largest first, with shape (d,).
        rounding: Relative accuracy of the points.
        lifts: The points in other coordinates, by the name of the change, each in their
            own axes; ``z`` is among them.
        data_dim: The number d of observables that were given.
        cautions: What was left out, each in one line.
    """

    z: Array
    spectrum: Array
    rounding: float
    lifts: Mapping[str, Array]
    data_dim: int
    cautions: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.z)

    @property
    def rank(self) -> int:
        """The linear rank r: an upper bound of the dimension."""
        return self.z.shape[1]


def prepare_points(
    x: ArrayLike, names: Sequence[str] | None = None, units: Sequence[str] | None = None
) -> Points:
    """Clean and scale points.

    Duplicates, constant columns and discrete ones are left out, with a word.

    Arguments:
        x: Events, with shape (N, d).
        names: Names of the observables, for messages.
        units: Their units, ``""`` for none; all the same by default.

    Raises:
        DataError: If there are fewer than 100 different points, values that are not
            finite, or no column that varies.
    """
    array = np.asarray(x)
    if array.ndim != 2 or not array.size:
        raise DataError("events with shape (N, d)", f"shape {array.shape}", "check the events")
    rounding = float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
    array = np.asarray(array, dtype=float)
    if not np.isfinite(array).all():
        raise DataError("finite events", "NaN or infinite values", "leave those events out")
    d = array.shape[1]
    names = list(names) if names is not None else [f"column {index}" for index in range(d)]
    array, duplicates = _without_duplicates(array)
    kept, columns = _continuous(array, names)
    array = array[:, kept]
    scaled, accuracy = _scaled(array, rounding)
    z, spectrum = _principal(scaled, accuracy)
    lifts = {"as they are": z}
    lifted = _lifted(array, [("" if units is None else units[index]) for index in kept])
    if lifted is not None:
        lifts["exponentials"] = _principal(_scaled(lifted, rounding)[0], accuracy)[0]
    return Points(z, spectrum, accuracy, lifts, d, (*duplicates, *columns))


def _without_duplicates(x: Array) -> tuple[Array, tuple[str, ...]]:
    """Leave out repeated points: their distance is zero at any dimension."""
    direction = np.random.default_rng(_SEED).standard_normal(x.shape[1])
    unique, first = np.unique(
        (x / np.abs(x).max(axis=0).clip(1e-300)) @ direction, return_index=True
    )
    if len(unique) < LEAST_POINTS:
        raise DataError(
            f"at least {LEAST_POINTS} different points to estimate a dimension",
            f"{len(unique)}",
            "simulate more events",
        )
    left_out = len(x) - len(unique)
    if not left_out:
        return x, ()
    words = f"{left_out:,} of {len(x):,} events are copies of others, and were left out"
    return x[np.sort(first)], (words,)


def _continuous(x: Array, names: Sequence[str]) -> tuple[list[int], list[str]]:
    """Return the columns that vary continuously, and words on the others."""
    kept, cautions = [], []
    for index, name in enumerate(names):
        values = len(np.unique(x[:, index]))
        if values == 1:
            cautions.append(f"{name} is constant, and was left out")
        elif values < min(_FEW_VALUES, len(x) // 2):
            cautions.append(
                f"{name} takes {values} values only, and was left out: n is the dimension at "
                "each of them"
            )
        else:
            kept.append(index)
    if not kept:
        raise DataError(
            "an observable that varies continuously", "none", "check the columns of the events"
        )
    return kept, cautions


def _scaled(x: Array, rounding: float) -> tuple[Array, float]:
    """Give every column unit variance; return the relative accuracy of the result, too."""
    mean, sd = x.mean(axis=0), x.std(axis=0)
    accuracy = rounding * float((np.abs(x).max(axis=0) / sd).max())
    return (x - mean) / sd, accuracy


def _principal(x: Array, accuracy: float) -> tuple[Array, Array]:
    """Turn points to the principal axes of their span: (N, d) -> (N, r) and variances (d,)."""
    variances, axes = np.linalg.eigh(x.T @ x / len(x))
    variances, axes = np.maximum(variances[::-1], 0.0), axes[:, ::-1]
    least = max(_RANK_TOLERANCE, 3.0 * accuracy) ** 2 * variances[0]
    return x @ axes[:, variances > least], variances


def _lifted(x: Array, units: Sequence[str]) -> Array | None:
    """Return points with exponentials of what has no unit, None where that is no help."""
    bare = [unit == "" for unit in units]
    angles = [unit == _ANGLE for unit in units]
    if all(bare) or not (any(bare) or any(angles)):
        return None
    columns = []
    for value, is_bare, is_angle in zip(x.T, bare, angles, strict=True):
        if is_angle:
            columns += [np.cos(value), np.sin(value)]
        elif is_bare and np.abs(value).max() < _LARGEST_EXPONENT:
            columns += [np.exp(value), np.exp(-value)]
        else:
            columns.append(value)
    return np.stack(columns, axis=1)
