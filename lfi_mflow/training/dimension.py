"""The dimension of the manifold of an event file, by several estimators.

The manifold is taken to be the same for all parameters: events of all theta are looked
at together. Nor do weights matter to where events are: those of weight zero are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data import open_together
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.geometry import (
    Dimension,
    DimensionEstimator,
    LocalRelations,
    MaximumLikelihood,
    Points,
    PrincipalAxes,
    TwoNearestNeighbours,
    prepare_points,
    weigh,
)
from lfi_mflow.training.events import COLUMNS, check_events, finite_events
from lfi_mflow.training.noise_slope import NoiseSlope
from lfi_mflow.training.reconstruction_elbow import ReconstructionElbow

__all__ = ["DIMENSION_ESTIMATORS", "QUICK_ESTIMATORS", "estimate_dimension", "read_points"]

DIMENSION_ESTIMATORS: Mapping[str, Callable[[int], DimensionEstimator]] = {
    "pca": lambda seed: PrincipalAxes(),
    "two-nn": lambda seed: TwoNearestNeighbours(),
    "mle": lambda seed: MaximumLikelihood(),
    "relations": lambda seed: LocalRelations(),
    "lidl": lambda seed: NoiseSlope(seed=seed),
    "reconstruction": lambda seed: ReconstructionElbow(seed=seed),
}
"""Estimators by name, each made from the seed of what it trains."""

QUICK_ESTIMATORS = ("pca", "two-nn", "mle", "relations")
"""Those that train nothing."""


def read_points(
    path: Path | str | Sequence[Path | str],
    events: int = 50_000,
    *,
    drop_nonfinite: bool = False,
) -> Points:
    """Read evenly spaced events of a file as points.

    Arguments:
        path: The event file, or several.
        events: Largest number of events to look at.
        drop_nonfinite: Leave events with NaN or infinite values out.

    Raises:
        FileFormatError, DataError: If the file cannot be read, holds values that are not
            finite, or too few different events.
        ConfigError: If ``events`` is not positive.
    """
    if events < 1:
        raise ConfigError("a positive number of events", str(events), "raise it")
    with open_together(path) as file:
        check_events(file, drop_nonfinite=drop_nonfinite)
        step = -(-len(file) // events)
        parts, weightless, first = [], 0, 0
        for block in file.blocks(columns=COLUMNS):
            some = finite_events(block[np.arange(-first % step, len(block), step)])
            first += len(block)
            there = np.ones(len(some), bool) if some.weight is None else some.weight != 0
            weightless += int((~there).sum())
            parts.append(some.x[there])
        observables = file.metadata.observables
    x: NDArray[np.floating] = np.concatenate(parts)
    points = prepare_points(x, [one.name for one in observables], [o.unit for o in observables])
    if weightless:
        words = f"{weightless:,} events of weight zero were left out"
        points = dataclasses.replace(points, cautions=(*points.cautions, words))
    return points


def estimate_dimension(
    points: Points,
    names: Sequence[str] = QUICK_ESTIMATORS,
    *,
    seed: int = 0,
    started: Callable[[str], object] | None = None,
) -> Dimension:
    """Estimate the dimension of points by several estimators, and weigh them.

    Arguments:
        points: The points.
        names: Names of the estimators, keys of ``DIMENSION_ESTIMATORS``.
        seed: Seed of those that train something.
        started: Called with the name of each estimator when it starts.

    Raises:
        UnknownNameError: If there is no estimator of a name.
        DataError: If there is none at all.
    """
    for name in names:
        if name not in DIMENSION_ESTIMATORS:
            raise UnknownNameError("estimator of the dimension", name, DIMENSION_ESTIMATORS)
    estimates = []
    for name in dict.fromkeys(names):
        if started is not None:
            started(name)
        estimates.append(DIMENSION_ESTIMATORS[name](seed).estimate(points))
    return weigh(points, estimates)
