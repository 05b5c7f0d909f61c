"""A posterior: draws, summaries, diagnostics and what was observed; its file.

The file is NetCDF in the layout of arviz (groups ``posterior``,
``sample_stats`` and ``observed_data``), so that ``arviz.from_netcdf`` opens it;
neither writing nor reading needs arviz. It holds the SHA-256 of all that it says.
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

from lfi_mflow.data.schema import open_hdf5
from lfi_mflow.errors import FileFormatError, InputError
from lfi_mflow.files import atomic_output
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
from lfi_mflow.inference.posterior_layout import (
    DIGEST,
    GROUPS,
    REMEDY,
    digest,
    read_arrays,
    write_group,
)
from lfi_mflow.provenance import provenance

__all__ = ["ObservedEvents", "Posterior", "load_posterior"]

Array = NDArray[np.float64]

SCHEMA_VERSION = 1
_KEY = "lfi_mflow"
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
            if name in GROUPS["posterior"] or "/" in name or not name:
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
    path = Path(path)
    with open_hdf5(path, "posterior", REMEDY) as file:
        try:
            text = str(file.attrs[_KEY]) if _KEY in file.attrs else "{}"
            header = json.loads(text)
            if header.get("schema_version") != SCHEMA_VERSION:
                raise _foreign(path, str(header.get("schema_version", "none")))
            arrays = read_arrays(file, path)
            found = digest(text, arrays)
            if file.attrs.get(DIGEST, found) != found:  # the first files knew none
                raise _foreign(path, "other values than its SHA-256 says")
            return _rebuild(header, arrays)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
            raise FileFormatError(f"a posterior in {path}", str(error), REMEDY) from error


def _foreign(path: Path, found: str) -> FileFormatError:
    """Return the error of a file that is no posterior of ours, or was changed."""
    return FileFormatError(
        f"a posterior of schema version {SCHEMA_VERSION} in {path}", found, REMEDY
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
    header = json.dumps(_header(posterior), allow_nan=False)
    stats: dict[str, NDArray[Any]] = {"lp": posterior.log_prob}
    if posterior.diverging is not None:
        stats["diverging"] = posterior.diverging.astype(np.int8)  # NetCDF has no booleans
    columns = zip(posterior.parameters, np.moveaxis(posterior.draws, -1, 0), strict=True)
    arrays = {
        "posterior": dict(columns),
        "sample_stats": stats,
        "observed_data": observed_variables(posterior.data),
    }
    file.attrs[_KEY] = header
    file.attrs[DIGEST] = digest(header, arrays)
    for name, variables in arrays.items():
        write_group(file, name, variables)


def _rebuild(header: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]) -> Posterior:
    """Rebuild a posterior from what :func:`_write` wrote."""
    group, stats = arrays["posterior"], arrays["sample_stats"]
    parameters = tuple(header["parameters"])
    diverging = stats.get("diverging")
    return Posterior(
        parameters=parameters,
        draws=np.stack([group[name] for name in parameters], axis=-1),
        log_prob=stats["lp"],
        method=header["method"],
        statistics={
            name: {key: np.nan if value is None else value for key, value in row.items()}
            for name, row in header["statistics"].items()
        },
        data=read_observed_events(arrays["observed_data"], header),
        sampler=dict(header["sampler"]),
        seconds=header["seconds"],
        provenance=dict(header["provenance"]),
        diverging=None if diverging is None else diverging != 0,
        removal=None if header.get("removal") is None else Removal(**header["removal"]),
    )


def _number(value: Any) -> Any:
    """Return None for a float that JSON cannot hold."""
    return None if isinstance(value, float) and not np.isfinite(value) else value
