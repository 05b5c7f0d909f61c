"""Sample files of MadMiner: HDF5 with weights for several parameter points at once.

A sample holds observations and, per event, one weight for each benchmark (a parameter
point that was simulated or reweighted to; in pb, their sum is the cross section). Its
columns here are the observables by their names, and ``weight.NAME`` for each benchmark.

======================================  ==============================================
``parameters/names``, ``/val_ranges``   p names; their ranges, in older files ``/ranges``
``benchmarks/names``, ``/values``       B names and points, with shape (B, p)
``benchmarks/is_nuisance``              B flags: systematics, which have no point
``morphing/components``                 the powers of theta in each component, (C, p)
``morphing/morphing_matrix``            from components to benchmarks without systematics
``observables/names``                   d names
``samples/observations``, ``/weights``  the events, (N, d) and (N, B)
``samples/sampling_benchmarks``         whose phase space an event was drawn from
``sample_summary/signal_events``        the number of events drawn per benchmark
======================================  ==============================================

Where a sample joins events drawn at several benchmarks, each was weighted as if it were
alone: as MadMiner does when it reads them, the weights are scaled by the part that the
benchmark has in all events drawn; those of backgrounds (number -1) are not.

References:
    | MadMiner: Machine learning-based inference for particle physics (Brehmer et al., 2019)
    | https://arxiv.org/abs/1907.10621, https://github.com/madminer-tool/madminer
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.damage import explained_file, explained_rows
from lfi_mflow.data.layout import COPY, Layout
from lfi_mflow.data.schema import FORMAT, open_hdf5
from lfi_mflow.errors import DataError, FileFormatError, UnknownNameError
from lfi_mflow.simulation import Parameter

__all__ = ["MadMinerTable", "open_madminer"]

_WEIGHT = "weight."
_DRAWN = "samples/sampling_benchmarks"


class MadMinerTable:
    """A sample of MadMiner that is open for reading.

    Arguments:
        file: The HDF5 file.
        path: Its name, for the error messages.

    Attributes:
        parameters: The p parameters with their ranges.
        observables: The names of the d observables.
        benchmarks: The names of the benchmarks that have a parameter point.
        points: These points, with shape (B, p).
        powers: Powers of the parameters in each of C components, with shape (C, p);
            None without morphing.
        columns: The names of all columns.

    Raises:
        FileFormatError: If a dataset is missing or of another shape.
    """

    powers: NDArray[np.int64] | None

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._path, self._layout = path, Layout(file, path)
        names = self._layout.names("parameters/names")
        self.parameters = tuple(
            Parameter(name, float(low), float(high))
            for name, (low, high) in zip(names, self._ranges(len(names)), strict=True)
        )
        self._all_benchmarks = self._layout.names("benchmarks/names")
        values = self._layout.array("benchmarks/values", (len(self._all_benchmarks), len(names)))
        nuisance = np.zeros(len(values), dtype=bool)
        if self._layout.has("benchmarks/is_nuisance"):
            nuisance = self._layout.array("benchmarks/is_nuisance", (len(values),)).astype(bool)
        self._physical = np.flatnonzero(~nuisance)
        self.points = values[self._physical]
        self.benchmarks = tuple(self._all_benchmarks[i] for i in self._physical)
        self.observables = self._layout.names("observables/names")
        self._observations = self._layout.dataset("samples/observations", len(self.observables))
        # MadMiner appends weights that belong to no benchmark.
        self._weights = self._layout.dataset("samples/weights", len(values), wider=True)
        if len(self._weights) != len(self._observations):
            raise FileFormatError(
                f"{len(self._observations)} rows in samples/weights of {path}, as in observations",
                f"{len(self._weights)}",
                COPY,
            )
        self.columns = (*self.observables, *(_WEIGHT + name for name in self._all_benchmarks))
        self.powers, self._matrix = self._morphing()
        self._factors = self._sampling_factors()

    def __len__(self) -> int:
        """Return the number of events."""
        return int(self._observations.shape[0])

    def benchmark(self, name: str) -> NDArray[np.float64]:
        """Return the parameter point of a benchmark, with shape (p,).

        Raises:
            UnknownNameError: If there is none of that name; the nearest are offered.
        """
        if name not in self.benchmarks:
            raise UnknownNameError(f"benchmark of {self._path}", name, self.benchmarks)
        return self.points[self.benchmarks.index(name)]

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return arrays of the rows of some columns, each with shape (rows,).

        Raises:
            UnknownNameError: If there is no such column; the nearest are offered.
            DataError: If the rows are damaged.
        """
        for name in names:
            if name not in self.columns:
                raise UnknownNameError(f"column of {self._path}", name, self.columns)
        columns: dict[str, Any] = {}
        if any(name in self.observables for name in names):
            x = self._rows(self._observations, start, stop)
            columns.update(zip(self.observables, x.T, strict=True))
        if any(name not in self.observables for name in names):
            weights = self._scaled_weights(start, stop)
            columns.update(zip(self.columns[len(self.observables) :], weights.T, strict=False))
        return {name: columns[name] for name in names}

    def components(self, start: int, stop: int) -> NDArray[np.float64] | None:
        """Return the component weights of rows, with shape (rows, C), None without morphing.

        The weight at any theta is ``components @ prod(theta**powers, axis=1)``: with the
        matrix M of shape (C, B), MadMiner morphs benchmark weights by ``M.T @ prod(...)``.
        """
        if self._matrix is None:
            return None
        weights: NDArray[np.float64] = self._scaled_weights(start, stop)[:, self._physical]
        return weights @ self._matrix.T

    def _scaled_weights(self, start: int, stop: int) -> NDArray[np.float64]:
        """Return the weights of rows, scaled by the part of their sampling benchmark."""
        weights = self._rows(self._weights, start, stop)
        if self._factors is None:
            return weights
        drawn = self._rows(self._layout.find(_DRAWN), start, stop).astype(int)
        if drawn.min() < -1 or drawn.max() >= len(self._factors) - 1:
            raise DataError(
                f"samples/sampling_benchmarks from -1 to {len(self._factors) - 2} in {self._path}",
                f"{drawn.min()} to {drawn.max()} in rows {start} to {stop}",
                COPY,
            )
        return weights * self._factors[drawn][:, None]  # -1 takes the last factor

    def _rows(self, dataset: h5py.Dataset, start: int, stop: int) -> NDArray[np.float64]:
        """Read rows of a dataset."""
        with explained_rows(self._path, f"rows {start} to {stop} of {dataset.name}"):
            return np.asarray(dataset[start:stop], dtype=np.float64)

    def _sampling_factors(self) -> NDArray[np.float64] | None:
        """Return a factor per sampling benchmark and, last, that of backgrounds."""
        summary, drawn = "sample_summary/signal_events", _DRAWN
        if not self._layout.has(summary) or not self._layout.has(drawn):
            return None
        counts = np.atleast_1d(self._layout.array(summary))
        if counts.ndim != 1 or not counts.sum() > 0:
            return None  # backgrounds only
        shape = self._layout.find(drawn).shape
        if shape != (len(self),):
            raise FileFormatError(
                f"{len(self)} rows in {drawn} of {self._path}", f"shape {shape}", COPY
            )
        return np.append(counts / counts.sum(), 1.0)

    def _morphing(self) -> tuple[NDArray[np.int64] | None, NDArray[np.float64] | None]:
        """Return the powers of the components and the matrix, None without morphing."""
        if not self._layout.has("morphing/components") or not self._layout.has(
            "morphing/morphing_matrix"
        ):
            return None, None
        powers = self._layout.array("morphing/components", (None, len(self.parameters)))
        shape = (len(powers), len(self.benchmarks))
        return powers.astype(np.int64), self._layout.array("morphing/morphing_matrix", shape)

    def _ranges(self, count: int) -> NDArray[np.float64]:
        """Return the ranges of the parameters, with shape (p, 2)."""
        new = self._layout.has("parameters/val_ranges")
        return self._layout.array(f"parameters/{'val_' if new else ''}ranges", (count, 2))


@contextmanager
def open_madminer(path: Path) -> Iterator[MadMinerTable]:
    """Open a sample of MadMiner.

    Raises:
        FileFormatError: If the file is missing, truncated, not HDF5, or no such sample.
    """
    with open_hdf5(path, "MadMiner", COPY) as file:
        with explained_file(path, "a MadMiner sample"):
            ours = file.attrs.get("format") == FORMAT
        if ours:
            raise FileFormatError(
                f"a sample of MadMiner at {path}",
                "an event file of lfi-mflow",
                "use it as it is: it needs no import",
            )
        yield MadMinerTable(file, path)
