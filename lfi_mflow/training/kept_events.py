"""What a phase has prepared of events, kept in a temporary file."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.files import explain_storage_errors
from lfi_mflow.simulation import Events

__all__ = ["KeptEvents"]


class KeptEvents:
    """Events without name and compression in a file that vanishes with this object.

    It lies where the system keeps such files: the environment variable TMPDIR moves it.

    Arguments:
        blocks: The events; all blocks hold the same arrays.
        dtype: The precision to keep them in.

    Raises:
        StorageError: If the disk is full.
    """

    def __init__(self, blocks: Iterable[Events], dtype: np.dtype[np.floating]) -> None:
        self._dtype, self._rows = dtype, 0
        self._columns: dict[str, tuple[int, ...]] = {}
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        weakref.finalize(self, self._file.close)
        with explain_storage_errors(Path(tempfile.gettempdir()) / "prepared events"):
            for events in blocks:
                self._append(events)
            self._file.flush()

    def __len__(self) -> int:
        """Return the number of events."""
        return self._rows

    def read(self, rows: slice) -> Events:
        """Return the events of contiguous rows."""
        start, stop, _ = rows.indices(self._rows)
        width = sum(map(_width, self._columns.values()))
        self._file.seek(start * width * self._dtype.itemsize)
        values = np.fromfile(self._file, self._dtype, max(0, stop - start) * width)
        values = values.reshape(-1, width)
        arrays, first = {}, 0
        for name, shape in self._columns.items():
            last = first + _width(shape)
            arrays[name] = values[:, first:last].reshape(len(values), *shape)
            first = last
        return Events(**arrays)

    def _append(self, events: Events) -> None:
        """Write events row by row."""
        arrays = events.columns()
        self._columns = {name: array.shape[1:] for name, array in arrays.items()}
        flat: list[NDArray[np.floating]] = [
            array.reshape(len(array), _width(array.shape[1:])) for array in arrays.values()
        ]
        self._file.write(np.concatenate(flat, axis=1, dtype=self._dtype).tobytes())
        self._rows += len(events)


def _width(shape: tuple[int, ...]) -> int:
    """Number of values of a row of an array."""
    return int(np.prod(shape, dtype=int))
