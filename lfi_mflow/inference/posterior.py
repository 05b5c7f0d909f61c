"""A posterior: draws, summaries, diagnostics and what was observed; its file.

The file is NetCDF in the layout of arviz (groups ``posterior``,
``sample_stats`` and ``observed_data``), so that ``arviz.from_netcdf`` opens it;
neither writing nor reading needs arviz.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
from numpy.typing import NDArray
from torch import Generator

from lfi_mflow.errors import FileFormatError, InputError
from lfi_mflow.files import atomic_output, require_file
from lfi_mflow.inference.convergence import Convergence, convergence
from lfi_mflow.inference.grid import GridPosterior
from lfi_mflow.inference.mcmc import Draws
from lfi_mflow.inference.observed import (
    ObservedEvents,
    Removal,
    observed_header,
    observed_variables,
    read_observed_events,
)
from lfi_mflow.provenance import provenance

__all__ = ["ObservedEvents", "Posterior", "load_posterior"]

Array = NDArray[np.float64]

SCHEMA_VERSION = 1
_KEY = "lfi_mflow"
_DIMENSIONS = ("chain", "draw")
_QUANTILES = {"q16": 0.16, "q50": 0.5, "q84": 0.84}


@dataclass(frozen=True)
class Posterior:
    """A posterior of p parameters, given N events.

    Arguments:
        parameters: Names of the p parameters.
        draws: Draws, with shape (chains, draws, p).
        log_prob: Log-posterior at the draws up to a constant, with shape (chains, draws).
        method: How they were made: ``"mcmc"``, ``"hmc"`` or ``"grid"``.
        statistics: For each parameter ``mean``, ``sd``, ``q16``, ``q50``, ``q84``,
            ``r_hat``, ``ess`` (the smaller of bulk and tail), ``ess_bulk`` and
            ``ess_tail``; by the grid the first five are exact.
        data: The observed events.
        sampler: What the sampler says of itself: acceptance, evaluations, evidence.
        seconds: Wall-clock time it took.
        provenance: Versions, command and time.
        diverging: Which draws came after a trajectory that diverged, with shape
            (chains, draws); None for a method without trajectories.
        removal: What the removal of events costs and changes; None if all were used.
    """

    parameters: tuple[str, ...]
    draws: Array
    log_prob: Array
    method: str
    statistics: Mapping[str, Mapping[str, float]]
    data: ObservedEvents
    sampler: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    provenance: Mapping[str, Any] = field(default_factory=provenance)
    diverging: NDArray[np.bool_] | None = None
    removal: Removal | None = None

    def __post_init__(self) -> None:
        """Check the shapes and the names."""
        p = len(self.parameters)
        if self.draws.shape != (*self.log_prob.shape, p) or self.log_prob.ndim != 2:
            raise InputError(
                f"draws of shape (chains, draws, {p}) and log_prob of shape (chains, draws)",
                f"{self.draws.shape} and {self.log_prob.shape}",
                "give one name per parameter",
            )
        for name in self.parameters:
            if name in _DIMENSIONS or "/" in name or not name:
                raise InputError(
                    "parameter names other than 'chain' and 'draw', and without '/'",
                    repr(name),
                    "rename the parameter: posterior files use these for themselves",
                )

    @classmethod
    def from_draws(
        cls,
        parameters: Sequence[str],
        draws: Draws,
        data: ObservedEvents,
        *,
        seconds: float = 0.0,
    ) -> Posterior:
        """Make a posterior of the draws of Markov chains, for one data set."""
        theta = draws.theta.numpy()
        quantiles = np.quantile(theta, list(_QUANTILES.values()), axis=(0, 1))
        moments = {
            "mean": theta.mean((0, 1)),
            "sd": theta.std((0, 1), ddof=1),
            **dict(zip(_QUANTILES, quantiles, strict=True)),
        }
        sampler = {
            "acceptance": float(draws.acceptance.mean()),
            "evaluations": draws.evaluations,
            "warm_up": draws.warm_up,
            "thinning": draws.thinning,
        }
        diverging = None if draws.diverging is None else draws.diverging.numpy()
        if diverging is not None:
            sampler |= {"divergences": int(diverging.sum()), "draws": diverging.size}
        return cls(
            parameters=tuple(parameters),
            draws=theta,
            log_prob=draws.log_prob.numpy(),
            method="mcmc" if diverging is None else "hmc",
            diverging=diverging,
            statistics=_statistics(parameters, moments, draws.convergence),
            data=data,
            sampler=sampler,
            seconds=seconds,
        )

    @classmethod
    def from_grid(
        cls,
        parameters: Sequence[str],
        grid: GridPosterior,
        data: ObservedEvents,
        *,
        generator: Generator,
        draws: int = 5_000,
        seconds: float = 0.0,
    ) -> Posterior:
        """Make a posterior of a grid, for one data set, with independent draws from it."""
        theta = grid.sample(draws, generator)
        moments = {
            "mean": grid.mean.numpy(),
            "sd": grid.sd.numpy(),
            **{name: grid.quantile(level).numpy() for name, level in _QUANTILES.items()},
        }
        chains = theta.numpy()[None]
        sampler = {
            "log_evidence": float(grid.log_evidence),
            "error": float(grid.error),
            "shape_error": float(grid.shape_error),
            "interpolation_error": float(grid.interpolation_error),
            "nodes": int(grid.axes.shape[-1]),
        }
        return cls(
            parameters=tuple(parameters),
            draws=chains,
            log_prob=(grid.log_prob(theta) + grid.log_evidence).numpy()[None],
            method="grid",
            statistics=_statistics(parameters, moments, convergence(np.moveaxis(chains, -1, 0))),
            data=data,
            sampler=sampler,
            seconds=seconds,
        )

    @property
    def observed(self) -> NDArray[np.floating]:
        """The observed events that were used, with shape (N, d)."""
        return self.data.kept

    @property
    def off_manifold_p_value(self) -> float | None:
        """Whether the observed events are on the manifold; None if not tested."""
        return self.data.off_manifold_p_value

    def summary(self) -> dict[str, Any]:
        """Return the numbers that ``lfi-mflow infer --json`` prints; None for NaN."""
        data, removal = self.data, self.removal
        summary = {
            "parameters": {
                name: {key: _number(value) for key, value in row.items()}
                for name, row in self.statistics.items()
            },
            "off_manifold_p_value": _number(data.off_manifold_p_value),
            "off_manifold_events": len(np.setdiff1d(data.off_manifold_events, data.removed)),
            "distance_ratio": _number(data.distance_ratio),
            "method": self.method,
            "sampler": {key: _number(value) for key, value in self.sampler.items()},
            "seconds": self.seconds,
        }
        if removal is not None:
            summary |= {"removed_events": len(data.removed), "expected_loss": removal.loss}
            summary["with_outliers"] = dict(removal.with_outliers)
        return summary

    def save(self, path: Path | str) -> None:
        """Write a posterior file; the old one stays until the new one is complete.

        Raises:
            StorageError: If the disk is full or cannot be written.
        """
        buffer = io.BytesIO()  # in memory first: HDF5 cannot close a file on a full disk
        with h5netcdf.File(buffer, "w") as file:
            _write(file, self)
        with atomic_output(Path(path)) as temporary:
            temporary.write_bytes(buffer.getbuffer())


def load_posterior(path: Path | str) -> Posterior:
    """Read a posterior file.

    Raises:
        FileFormatError: If the file is missing, damaged, or not a posterior of lfi-mflow.
    """
    path = require_file(Path(path), "a posterior")
    remedy = "make it again with lfi-mflow infer"
    try:
        with h5netcdf.File(path, "r") as file:
            header = json.loads(file.attrs[_KEY]) if _KEY in file.attrs else {}
            version = header.get("schema_version")
            if version == SCHEMA_VERSION:
                return _read(file, header)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"a posterior in {path}", str(error), remedy) from error
    found = "none" if version is None else str(version)
    raise FileFormatError(
        f"a posterior of schema version {SCHEMA_VERSION} in {path}", found, remedy
    )


def _statistics(
    parameters: Sequence[str], moments: Mapping[str, Array], quality: Convergence
) -> dict[str, dict[str, float]]:
    """Collect the numbers of each parameter."""
    columns = {
        **moments,
        "r_hat": quality.r_hat,
        "ess": quality.ess,
        "ess_bulk": quality.ess_bulk,
        "ess_tail": quality.ess_tail,
    }
    return {
        name: {key: float(values[index]) for key, values in columns.items()}
        for index, name in enumerate(parameters)
    }


def _header(posterior: Posterior) -> dict[str, Any]:
    """Return what has no place in the groups of arviz, as plain values."""
    return {
        "schema_version": SCHEMA_VERSION,
        "parameters": list(posterior.parameters),
        "method": posterior.method,
        "statistics": posterior.summary()["parameters"],
        **{name: _number(value) for name, value in observed_header(posterior.data).items()},
        "removal": None if posterior.removal is None else dataclasses.asdict(posterior.removal),
        "sampler": {key: _number(value) for key, value in posterior.sampler.items()},
        "seconds": posterior.seconds,
        "provenance": dict(posterior.provenance),
    }


def _write(file: h5netcdf.File, posterior: Posterior) -> None:
    """Write the groups of arviz, and the rest as JSON."""
    file.attrs[_KEY] = json.dumps(_header(posterior), allow_nan=False)
    variables = zip(posterior.parameters, np.moveaxis(posterior.draws, -1, 0), strict=True)
    _write_group(file, "posterior", _DIMENSIONS, dict(variables))
    stats: dict[str, NDArray[Any]] = {"lp": posterior.log_prob}
    if posterior.diverging is not None:
        stats["diverging"] = posterior.diverging.astype(np.int8)  # NetCDF has no booleans
    _write_group(file, "sample_stats", _DIMENSIONS, stats)
    _write_group(file, "observed_data", ("event", "observable"), observed_variables(posterior.data))


def _write_group(
    file: h5netcdf.File,
    name: str,
    dimensions: Sequence[str],
    variables: Mapping[str, NDArray[Any]],
) -> None:
    """Write variables over the leading ones of some dimensions."""
    group = file.create_group(name)
    group.attrs["inference_library"] = "lfi-mflow"
    shape = max((values.shape for values in variables.values()), key=len)
    for dimension, size in zip(dimensions, shape, strict=True):
        group.dimensions[dimension] = size
        group.create_variable(dimension, (dimension,), data=np.arange(size))
    for variable, values in variables.items():
        data = np.ascontiguousarray(values)
        group.create_variable(variable, tuple(dimensions[: values.ndim]), data=data)


def _read(file: h5netcdf.File, header: Mapping[str, Any]) -> Posterior:
    """Read what :func:`_write` wrote."""
    group, observed = file["posterior"], file["observed_data"]
    parameters = tuple(header["parameters"])
    return Posterior(
        parameters=parameters,
        draws=np.stack([np.asarray(group[name][...]) for name in parameters], axis=-1),
        log_prob=np.asarray(file["sample_stats"]["lp"][...]),
        method=header["method"],
        statistics={
            name: {key: np.nan if value is None else value for key, value in row.items()}
            for name, row in header["statistics"].items()
        },
        data=read_observed_events(observed, header),
        sampler=header["sampler"],
        seconds=header["seconds"],
        provenance=header["provenance"],
        diverging=_diverging(file["sample_stats"]),
        removal=None if header.get("removal") is None else Removal(**header["removal"]),
    )


def _diverging(group: Any) -> NDArray[np.bool_] | None:
    """Read which draws diverged, if the method knows of such."""
    return np.asarray(group["diverging"][...]) != 0 if "diverging" in group.variables else None


def _number(value: Any) -> Any:
    """Return None for a float that JSON cannot hold."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
