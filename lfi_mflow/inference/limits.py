"""From an experiment and its data to confidence regions, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from lfi_mflow.inference.experiment import (
    CountingExperiment,
    DataSet,
    EventSource,
    LikelihoodFactory,
)
from lfi_mflow.inference.fisher import event_information, expected_information, scores_of
from lfi_mflow.inference.fit import Maximum, maximise
from lfi_mflow.inference.likelihood import log_posterior
from lfi_mflow.inference.limits_file import Limits, level_name
from lfi_mflow.inference.mcmc import McmcSettings, sample_posterior
from lfi_mflow.inference.neyman import Calibration, NeymanSettings, calibrate
from lfi_mflow.inference.regions import Scan, find_box, intervals, scan_likelihood, wilks
from lfi_mflow.simulation import Array, Prior, Uniform

__all__ = [
    "LEVELS",
    "Sensitivity",
    "Toys",
    "credible_intervals",
    "find_limits",
    "neyman_stride",
]

LEVELS = (0.68, 0.95)
"""Confidence levels of all regions."""

_NODES = {(1, 0): 101, (1, 1): 51, (1, 2): 26, (2, 0): 31, (2, 1): 21}
_STRIDE = {(1, 0): 10, (1, 1): 5, (1, 2): 5, (2, 0): 5, (2, 1): 5}
_INFORMATION_EVENTS = 10_000


@dataclass(frozen=True)
class Sensitivity:
    """Of what the Fisher information is taken.

    Arguments:
        source: Where the events come from.
        exact: The exact density of these events, None if nobody knows it; its information
            is given beside that of the model, on the same events.
        theta: The point, with shape (p,); None takes the best fit.
    """

    source: EventSource
    exact: LikelihoodFactory | None = None
    theta: Array | None = None


@dataclass(frozen=True)
class Toys:
    """What a Neyman construction throws.

    Arguments:
        source: Where the events come from.
        density: Their density up to a number of each event, None if nobody knows it.
        name: How the source is called in the record.
        settings: Sizes and seed.
    """

    source: EventSource
    density: LikelihoodFactory | None
    name: str = "surrogate"
    settings: NeymanSettings = field(default_factory=NeymanSettings)


def find_limits(
    experiment: CountingExperiment,
    data: DataSet,
    *,
    toys: Toys | None = None,
    sensitivity: Sensitivity | None = None,
    levels: Sequence[float] = LEVELS,
    seed: int = 0,
) -> Limits:
    """Find the best fit and the confidence regions of the parameters of interest.

    Arguments:
        experiment: The experiment.
        data: What was observed, or an Asimov data set.
        toys: How to calibrate the regions; None leaves the asymptotic ones alone.
        sensitivity: Where to take the Fisher information; None leaves it out.
        levels: Confidence levels.
        seed: Seed of the events for the information.

    Raises:
        ConfigError: If there are more parameters than toys can be thrown for.
        DataError: If events for toys are worth too few.
        InputError: If iminuit is missing, or the likelihood is zero everywhere.
    """
    density = experiment.log_likelihood(data)
    best = maximise(density, experiment.low, experiment.high)
    axes = _axes(experiment, find_box(experiment, density))
    scan = scan_likelihood(experiment, density, axes, best.log_likelihood)
    calibration = None if toys is None else _calibrate(experiment, data, axes, toys, levels)
    return Limits(
        parameters=_parameters(experiment, best, scan, calibration, levels),
        nuisances=_nuisances(experiment, best),
        region=_region(scan, calibration, levels) if len(axes) > 1 else {},
        data={
            "events": data.count,
            "effective_sample_size": data.size,
            "expected": experiment.expected(best.theta),
            "shape_only": experiment.rate is None,
            "fit_valid": best.valid,
        },
        information=_information(experiment, data, sensitivity, best.theta, seed),
        toys={} if toys is None or calibration is None else _toys_table(toys, calibration),
    )


def _calibrate(
    experiment: CountingExperiment,
    data: DataSet,
    axes: tuple[Array, ...],
    toys: Toys,
    levels: Sequence[float],
) -> Calibration:
    """Throw the toys."""
    return calibrate(
        experiment,
        data,
        axes,
        toys.source,
        source_density=toys.density,
        levels=levels,
        settings=toys.settings,
    )


def _parameters(
    experiment: CountingExperiment,
    best: Maximum,
    scan: Scan,
    calibration: Calibration | None,
    levels: Sequence[float],
) -> dict[str, dict[str, Any]]:
    """Return what there is to say of each parameter of interest."""
    return {
        experiment.names[column]: {
            **_fitted(best, column),
            "minos": {level_name(level): _minos(best, column, level) for level in levels},
            **_profile(scan, calibration, index, levels),
        }
        for index, column in enumerate(experiment.interest)
    }


def _nuisances(experiment: CountingExperiment, best: Maximum) -> dict[str, dict[str, Any]]:
    """Return what there is to say of each nuisance parameter."""
    return {
        experiment.names[row.parameter]: {
            **_fitted(best, row.parameter),
            "measured": row.measured,
            "width": row.width,
        }
        for row in experiment.constraints
    }


def credible_intervals(
    experiment: CountingExperiment, data: DataSet, prior: Prior, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Return intervals of the parameters of interest with the nuisances marginalised.

    Markov chains in all parameters, with the constraints as part of the likelihood; the
    intervals are central, and hold 68 % and 95 % of the posterior.

    Arguments:
        experiment: The experiment.
        data: What was observed.
        prior: Prior of the parameters of the model; that of a nuisance multiplies its
            constraint. Factors on rates are uniform within their range.
        seed: Seed of the chains.
    """
    first = len(experiment.names) - experiment.factors
    ends = zip(experiment.low[first:], experiment.high[first:], strict=True)
    prior = Prior((*prior.marginals, *(Uniform(float(low), float(high)) for low, high in ends)))
    density = log_posterior(experiment.log_likelihood(data), prior)
    settings = McmcSettings(chains=max(McmcSettings.chains, 4 * (prior.dim + 1)))
    generator = torch.Generator().manual_seed(seed)
    draws = sample_posterior(density, prior, generator=generator, settings=settings)
    theta = draws.theta.flatten(0, -2).numpy()
    found = {}
    for column in experiment.interest:
        values = theta[:, column]
        found[experiment.names[column]] = {
            "mean": float(values.mean()),
            "sd": float(values.std(ddof=1)),
            **{
                level_name(level): np.quantile(values, [0.5 - level / 2, 0.5 + level / 2]).tolist()
                for level in LEVELS
            },
            "r_hat": float(draws.convergence.r_hat[column]),
        }
    return found


def _axes(experiment: CountingExperiment, box: Sequence[tuple[float, float]]) -> tuple[Array, ...]:
    """Return the nodes of the parameters of interest, few where toys have many dimensions."""
    kind = len(experiment.interest), len(experiment.constraints)
    nodes = _NODES.get(kind, _NODES[kind[0], 1])
    return tuple(np.linspace(low, high, nodes) for low, high in box)


def neyman_stride(experiment: CountingExperiment) -> int:
    """Return the nodes from one point with toys to the next."""
    kind = len(experiment.interest), len(experiment.constraints)
    return _STRIDE.get(kind, 1)


def _fitted(best: Maximum, column: int) -> dict[str, Any]:
    """Return best fit and error of a parameter."""
    variance = float(best.covariance[column, column])
    return {
        "best_fit": float(best.theta[column]),
        "error": float(np.sqrt(variance)) if variance > 0 else None,
        "at_limit": best.at_limit[column],
    }


def _minos(best: Maximum, column: int, level: float) -> list[float | None]:
    """Return the ends of a MINOS interval."""
    found = best.minos(column, level)
    return [found.low, found.high]


def _profile(
    scan: Scan, calibration: Calibration | None, index: int, levels: Sequence[float]
) -> dict[str, Any]:
    """Return profile and intervals of one parameter of interest."""
    axis, statistic = scan.axes[index], scan.single(index)
    asymptotic = {level_name(level): wilks(level, 1) for level in levels}
    table: dict[str, Any] = {
        "asymptotic": {name: intervals(axis, statistic, c) for name, c in asymptotic.items()},
        "values": axis,
        "statistic": statistic,
        "critical": {"asymptotic": asymptotic},
    }
    if calibration is not None:
        critical = {level_name(level): calibration.single[level][index] for level in levels}
        of_data = calibration.scan.single(index)
        table["neyman"] = {name: intervals(axis, of_data, c) for name, c in critical.items()}
        table["critical"]["neyman"] = critical
    return table


def _region(scan: Scan, calibration: Calibration | None, levels: Sequence[float]) -> dict[str, Any]:
    """Return the joint statistic and its critical values."""
    critical: dict[str, Mapping[str, Any]] = {
        "asymptotic": {level_name(level): wilks(level, len(scan.axes)) for level in levels}
    }
    if calibration is not None:
        critical["neyman"] = {level_name(level): calibration.joint[level] for level in levels}
    return {"statistic": scan.statistic, "critical": critical}


def _information(
    experiment: CountingExperiment,
    data: DataSet,
    sensitivity: Sensitivity | None,
    best: Array,
    seed: int,
) -> dict[str, Any]:
    """Return the Fisher information as a table."""
    if sensitivity is None:
        return {}
    theta = best if sensitivity.theta is None else sensitivity.theta
    x, weight = sensitivity.source(np.tile(theta, (_INFORMATION_EVENTS, 1)), seed + 1)
    found = expected_information(experiment, theta, x, weight, count=data.count)
    table = {
        "theta": theta,
        "events": found.events,
        "kinematics": found.kinematics,
        "rate": found.rate,
        "errors": dict(zip(experiment.names, found.errors.tolist(), strict=True)),
    }
    if sensitivity.exact is not None:
        table["exact_kinematics"] = event_information(
            scores_of(sensitivity.exact, x, theta), weight
        )
    return table


def _toys_table(toys: Toys, calibration: Calibration) -> dict[str, Any]:
    """Return what the toys were."""
    return {
        "number": toys.settings.toys,
        "seed": toys.settings.seed,
        "source": toys.name,
        "pool_effective_size": calibration.pool_size,
    }
