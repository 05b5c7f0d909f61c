r"""The Neyman construction: critical values from toys.

At each point theta of a lattice, toy experiments are thrown, and the critical value
c(theta) is the quantile of their statistic t(theta). A region of the points with
t(theta) <= c(theta) then covers the truth as often as it says, whatever the distribution
of t. That of Wilks needs many events: with few, its "68 %" regions of two parameters of an
effective field theory cover 85 %.

The statistic of toys and data alike is the ratio to the largest likelihood *on the
grid*, which makes the construction exact for this statistic and costs power only where
the grid is coarse. Nuisance parameters are on the grid too; their truth is where the
data put it, given the parameters of interest (the profile construction), and every toy
has its own auxiliary measurements.

References:
    | Outline of a theory of statistical estimation based on the classical theory of
      probability (Neyman, 1937)
    | Unified approach to the classical statistical analysis of small signals (Feldman
      and Cousins, 1998), https://arxiv.org/abs/physics/9711021
    | On the unified method with nuisance parameters (Sen, Walker and Woodroofe, 2009):
      the profile construction
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.experiment import (
    CountingExperiment,
    DataSet,
    EventSource,
    LikelihoodFactory,
)
from lfi_mflow.inference.regions import Scan, mesh
from lfi_mflow.inference.toys import draw_pool, make_table
from lfi_mflow.simulation import Array

__all__ = ["Calibration", "NeymanSettings", "calibrate", "critical_values", "ratio_statistics"]

_SPAN = 4.0  # of a nuisance parameter, in widths of its constraint
_PARAMETERS = 3


@dataclass(frozen=True)
class NeymanSettings:
    """Sizes of a Neyman construction.

    Arguments:
        toys: Toy experiments at each point.
        pool: Number of events that the toys are drawn from; None takes 5,000, or 50
            times the observed ones.
        seed: Seed of the events and the toys.
        stride: Nodes of the grid from one point with toys to the next.
        nuisance_nodes: Nodes of a nuisance parameter.

    Raises:
        ConfigError: If there are fewer than 50 toys or 1,000 events.
    """

    toys: int = 300
    pool: int | None = None
    seed: int = 0
    stride: int = 5
    nuisance_nodes: int = 17

    def __post_init__(self) -> None:
        """Check the sizes."""
        least = {"toys": 50, "pool": 1_000, "stride": 1, "nuisance_nodes": 5}
        for name, lower in least.items():
            value = getattr(self, name)
            if value is not None and value < lower:
                raise ConfigError(f"{name} >= {lower}", str(value), "raise it")


@dataclass(frozen=True)
class Calibration:
    """Critical values of a grid.

    Arguments:
        scan: The statistic of the data, with the maximum on the grid.
        joint: Critical values by confidence level, each with the shape of the grid.
        single: The same for each parameter of interest with the other profiled, (M,).
        pool_size: Effective number of events that toys were drawn from, at the point
            that had fewest.
    """

    scan: Scan
    joint: dict[float, Array]
    single: dict[float, tuple[Array, ...]]
    pool_size: float


def calibrate(
    experiment: CountingExperiment,
    data: DataSet,
    axes: tuple[Array, ...],
    source: EventSource,
    *,
    source_density: LikelihoodFactory | None,
    levels: Sequence[float],
    settings: NeymanSettings,
) -> Calibration:
    """Throw toys and find the critical values of a grid.

    Arguments:
        experiment: The experiment.
        data: What was observed.
        axes: Nodes along each parameter of interest; their numbers less one are
            multiples of the stride.
        source: Where the events of toys come from.
        source_density: The density of these events, None if nobody knows it.
        levels: Confidence levels.
        settings: Sizes.

    Raises:
        ConfigError: If there are more than three parameters with the nuisances.
        DataError: If the pool has too few events at some point.
    """
    grid = _nodes(experiment, axes, settings.nuisance_nodes)
    flat = grid.reshape(-1, grid.shape[-1])
    with torch.no_grad():
        value = experiment.log_likelihood(data)(flat).cpu().numpy()
    value = value.reshape(*(len(axis) for axis in axes), -1)
    scan = Scan(axes, 2.0 * (value.max() - value.max(axis=-1)))
    lattice = [np.arange(0, len(axis), settings.stride) for axis in axes]
    places = np.stack(np.meshgrid(*lattice, indexing="ij"), axis=-1).reshape(-1, len(axes))
    nuisance = value.argmax(axis=-1)[tuple(places.T)]
    truths = np.ravel_multi_index((*places.T, nuisance), value.shape)
    size = settings.pool or max(5_000, 50 * round(data.count))
    pool = draw_pool(source, source_density, flat[truths].numpy(), size=size, seed=settings.seed)
    table = make_table(experiment, pool, flat, data.count)
    rng = np.random.default_rng([settings.seed, 1])
    quantiles = np.empty((len(levels), 1 + len(axes), len(truths)))
    for row, (truth, place) in enumerate(zip(truths, places, strict=True)):
        toys = table.log_likelihoods(int(truth), pool.probability[row], settings.toys, rng)
        statistic = ratio_statistics(toys.reshape(-1, *value.shape), tuple(place))
        quantiles[..., row] = critical_values(statistic, levels)
    shape = (*quantiles.shape[:2], *(len(nodes) for nodes in lattice))
    maps = _interpolate(quantiles.reshape(shape), axes, lattice)
    return _calibration(scan, maps, levels, pool.size)


def _calibration(scan: Scan, maps: Array, levels: Sequence[float], pool_size: float) -> Calibration:
    """Sort critical values (levels, 1 + q, M1, M2) by level and by what is tested."""
    joint, single = {}, {}
    for level, (jointly, *alone) in zip(levels, maps, strict=True):
        joint[level] = jointly
        single[level] = tuple(scan.along(j, values) for j, values in enumerate(alone))
    return Calibration(scan, joint, single, pool_size)


def ratio_statistics(log_likelihood: Array, place: tuple[int, ...]) -> Array:
    """Return t of data sets at a node: jointly, and of each parameter with the other profiled.

    Arguments:
        log_likelihood: On the grid, with shape (D, M1, H) or (D, M1, M2, H), H nuisance nodes.
        place: Index of the node along the parameters of interest.

    Returns:
        t, with shape (D, 1 + q).
    """
    profiled = log_likelihood.max(axis=-1)
    best = profiled.reshape(len(profiled), -1).max(axis=1)
    found = [profiled[(slice(None), *place)]]
    for parameter, index in enumerate(place):
        line = np.take(profiled, index, axis=1 + parameter)
        found.append(line.reshape(len(line), -1).max(axis=1))
    return np.asarray(2.0 * (best[:, None] - np.stack(found, axis=1)))


def _nodes(experiment: CountingExperiment, axes: tuple[Array, ...], nodes: int) -> Tensor:
    """Return the grid of the parameters of interest, and then of the nuisances: (.., p)."""
    if len(experiment.names) > _PARAMETERS:
        raise ConfigError(
            f"at most {_PARAMETERS} parameters for toys, nuisances included",
            f"{len(experiment.names)}: {', '.join(experiment.names)}",
            "use --method asymptotic, or a model with fewer parameters",
        )
    theta = mesh(experiment, axes)
    for row in experiment.constraints:
        k = row.parameter
        low = max(experiment.low[k], row.measured - _SPAN * row.width)
        high = min(experiment.high[k], row.measured + _SPAN * row.width)
        values = torch.linspace(low, high, nodes, dtype=torch.float64)
        theta = theta.unsqueeze(-2).repeat(*[1] * (theta.ndim - 1), nodes, 1)
        theta[..., k] = values
    return theta


def critical_values(statistic: Array, levels: Sequence[float]) -> Array:
    """Return the order statistics that cover at least a level on average.

    Arguments:
        statistic: Of toys, with shape (D, columns).
        levels: Confidence levels.

    Returns:
        Critical values, with shape (levels, columns).
    """
    ordered = np.sort(statistic, axis=0)
    ranks = [min(len(ordered), int(np.ceil((len(ordered) + 1) * level))) for level in levels]
    return np.asarray(ordered[np.array(ranks) - 1])


def _interpolate(
    values: Array, axes: tuple[Array, ...], lattice: Sequence[NDArray[np.integer]]
) -> Array:
    """Carry values from the lattice to the grid, linearly: (.., L1, L2) -> (.., M1, M2)."""
    q = len(axes)
    points = tuple(axis[nodes] for axis, nodes in zip(axes, lattice, strict=True))
    moved = np.moveaxis(values, range(-q, 0), range(q))
    targets = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    found = RegularGridInterpolator(points, moved)(targets)
    return np.moveaxis(found, range(q), range(-q, 0))
