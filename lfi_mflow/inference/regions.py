"""Confidence regions from a likelihood on a grid of the parameters of interest.

The test statistic of a point is t = -2 ln [L(point, best nuisances) / L(best fit)]. A
region holds the points whose t is at most a critical value: by the theorem of Wilks a
quantile of the chi-square distribution, or by toys a value for every point, see
:mod:`lfi_mflow.inference.neyman`. Regions may be in several pieces, which MINOS and the
covariance matrix do not know.

References:
    | The large-sample distribution of the likelihood ratio for testing composite
      hypotheses (Wilks, 1938)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import chi2
from torch import Tensor

from lfi_mflow.inference.experiment import CountingExperiment
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.profile import profile
from lfi_mflow.simulation import Array

__all__ = ["Scan", "find_box", "intervals", "mesh", "scan_likelihood", "wilks"]

_DEPTH = 30.0  # of t: toys of every point of interest have their maximum inside
_ZOOM_NODES = {1: 65, 2: 17}
_MAX_ZOOMS = 30
_ENOUGH = 0.7


@dataclass(frozen=True)
class Scan:
    """The test statistic on a grid of the q = 1 or 2 parameters of interest.

    Arguments:
        axes: Nodes along each of them, with shapes (M1,) and (M2,).
        statistic: t at the nodes, with shape (M1,) or (M1, M2).
    """

    axes: tuple[Array, ...]
    statistic: Array

    def single(self, parameter: int) -> Array:
        """Return t of one of the parameters, the other profiled: its (M,)."""
        other = tuple(k for k in range(len(self.axes)) if k != parameter)
        return np.asarray(self.statistic.min(axis=other))

    def along(self, parameter: int, values: Array) -> Array:
        """Take values on the grid where :meth:`single` found its minimum: (M1, M2) -> (M,)."""
        if len(self.axes) == 1:
            return values
        other = 1 - parameter
        index = np.expand_dims(self.statistic.argmin(axis=other), other)
        return np.asarray(np.take_along_axis(values, index, axis=other).squeeze(other))


def wilks(level: float, parameters: int) -> float:
    """Return the critical value of t at a confidence level for jointly tested parameters."""
    return float(chi2.ppf(level, parameters))


def mesh(experiment: CountingExperiment, axes: tuple[Array, ...]) -> Tensor:
    """Return the nodes of a grid with the nuisances as measured: (M1, M2, p)."""
    theta = np.zeros((*(len(axis) for axis in axes), len(experiment.names)))
    for row in experiment.constraints:
        low, high = experiment.low[row.parameter], experiment.high[row.parameter]
        theta[..., row.parameter] = np.clip(row.measured, low, high)
    for column, nodes in zip(experiment.interest, np.meshgrid(*axes, indexing="ij"), strict=True):
        theta[..., column] = nodes
    return torch.as_tensor(theta)


def profiled(
    experiment: CountingExperiment, density: LogPosterior, axes: tuple[Array, ...]
) -> tuple[Tensor, Array]:
    """Return the nodes with the best nuisances (M1, M2, p), and the log-likelihood there."""
    nodes = mesh(experiment, axes)
    theta, value = profile(
        density,
        nodes.reshape(-1, nodes.shape[-1]),
        experiment.nuisances,
        np.array([row.width for row in experiment.constraints]),
        (experiment.low, experiment.high),
    )
    values = np.nan_to_num(value.cpu().numpy(), nan=-np.inf, posinf=-np.inf)
    return theta.reshape(nodes.shape), values.reshape(nodes.shape[:-1])


def find_box(experiment: CountingExperiment, density: LogPosterior) -> list[tuple[float, float]]:
    """Return the smallest box of the parameters of interest beyond which t is above 30.

    A coarse grid over the range shrinks to the nodes that matter, as often as it helps.
    """
    columns = list(experiment.interest)
    low, high = experiment.low[columns], experiment.high[columns]
    for _ in range(_MAX_ZOOMS):
        axes = tuple(
            np.linspace(*ends, _ZOOM_NODES[len(columns)]) for ends in zip(low, high, strict=True)
        )
        value = profiled(experiment, density, axes)[1]
        kept = np.argwhere(2.0 * (value.max() - value) < _DEPTH)
        first, last = kept.min(axis=0) - 1, kept.max(axis=0) + 1
        new_low = np.array([axis[max(k, 0)] for axis, k in zip(axes, first, strict=True)])
        new_high = np.array(
            [axis[min(k, len(axis) - 1)] for axis, k in zip(axes, last, strict=True)]
        )
        done = np.all(new_high - new_low > _ENOUGH * (high - low))
        low, high = new_low, new_high
        if done:
            break
    return list(zip(low.tolist(), high.tolist(), strict=True))


def scan_likelihood(
    experiment: CountingExperiment,
    density: LogPosterior,
    axes: tuple[Array, ...],
    best: float = -np.inf,
) -> Scan:
    """Evaluate t on a grid, the nuisances profiled at every node.

    Arguments:
        experiment: Which parameters are of interest, and which are nuisances.
        density: Log-likelihood: (..., p) -> (...).
        axes: Nodes along each parameter of interest.
        best: The largest log-likelihood found elsewhere.
    """
    value = profiled(experiment, density, axes)[1]
    return Scan(axes, 2.0 * (max(best, float(value.max())) - value))


def intervals(axis: Array, statistic: Array, critical: float | Array) -> list[tuple[float, float]]:
    """Return the pieces of the axis where a statistic is at most its critical value.

    An end between two nodes is where the difference of the two, linear in between,
    crosses zero; a piece that reaches the end of the axis ends there.

    Arguments:
        axis: Nodes, with shape (M,).
        statistic: Its value, with shape (M,).
        critical: The critical value, one for all nodes or (M,).
    """
    above = np.asarray(statistic - np.broadcast_to(critical, axis.shape), dtype=float)
    above = np.clip(above, -1e6, 1e6)
    inside = above <= 0.0
    pieces: list[tuple[float, float]] = []
    padded = np.concatenate([[False], inside, [False]]).astype(int)
    starts, stops = (np.flatnonzero(np.diff(padded) == sign) for sign in (1, -1))
    for first, stop in zip(starts.tolist(), (stops - 1).tolist(), strict=True):
        low = axis[first] if first == 0 else _crossing(axis, above, first - 1)
        high = axis[stop] if stop == len(axis) - 1 else _crossing(axis, above, stop)
        pieces.append((float(low), float(high)))
    return pieces


def _crossing(axis: Array, above: Array, k: int) -> float:
    """Return where a difference crosses zero between the nodes k and k + 1."""
    share = above[k] / (above[k] - above[k + 1])
    return float(axis[k] + share * (axis[k + 1] - axis[k]))
