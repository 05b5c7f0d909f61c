"""Events in an HDF5 file, read and written block by block.

A file holds one dataset per array of :class:`lfi_mflow.simulation.Events`,
``/theta`` (N, p), ``/x`` (N, d) and whichever of the optional ones there are,
chunked by rows, compressed where that is worth its time (:mod:`lfi_mflow.data.columns`) and
guarded by a Fletcher-32 checksum per chunk. The attributes of the root say what the columns
mean and where the events come from, each as JSON, and hold the SHA-256 of all
values. Nothing here ever holds a whole file in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.schema import (
    ANEW,
    Digest,
    find_datasets,
    open_hdf5,
    read_attributes,
)
from lfi_mflow.data.shuffle import cut_batches, shuffled_rows
from lfi_mflow.data.writer import write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import Events

__all__ = ["EventFile", "EventMetadata", "open_events", "write_events"]


class EventFile:
    """An event file that is open for reading.

    Use it as a context manager, or call :meth:`close`.

    Arguments:
        path: The file.

    Attributes:
        path: The file.
        metadata: What the columns mean and where the events come from.
        digest: SHA-256 of all values, as noted when the file was written.

    Raises:
        FileFormatError: If the file is missing, truncated, not an event file,
            of another schema version, or its arrays do not fit together.
    """

    metadata: EventMetadata
    digest: str

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path)
        try:
            self.metadata, self.digest = read_attributes(self._file, self.path)
            self._datasets = find_datasets(self._file, self.metadata, self.path)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> EventFile:
        """Return the file itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Return the number of events."""
        return int(self._datasets["x"].shape[0])

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays the file holds, such as ``theta`` and ``x``."""
        return tuple(self._datasets)

    def read(self, rows: slice | None = None, columns: Collection[str] | None = None) -> Events:
        """Return the events of contiguous rows, or all of them.

        Arguments:
            rows: Which rows.
            columns: The arrays to read of those there are, ``theta`` and ``x`` among
                them; all by default.

        Raises:
            DataError: If the rows are damaged.
            InputError: If the slice has a step.
        """
        start, stop = self._bounds(rows)
        with self._damage(slice(start, stop)):
            arrays = {
                name: dataset[start:stop]
                for name, dataset in self._datasets.items()
                if columns is None or name in columns
            }
        return Events(**arrays)

    def blocks(
        self, size: int = 4 * CHUNK_ROWS, columns: Collection[str] | None = None
    ) -> Iterator[Events]:
        """Yield all events in order, ``size`` at a time; the last block may be smaller."""
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size), columns)

    def column_blocks(
        self, name: str, size: int = 64 * CHUNK_ROWS
    ) -> Iterator[NDArray[np.floating]]:
        """Yield one array of the file in order, ``size`` rows at a time; no other is read.

        Raises:
            DataError: If the file has no such array, or its rows are damaged.
        """
        if name not in self._datasets:
            raise DataError(f"an array {name!r} in {self.path}", "none", ANEW)
        for start in range(0, len(self), size):
            rows = slice(start, min(start + size, len(self)))
            with self._damage(rows):
                block = self._datasets[name][rows]
            yield block

    def shuffled_batches(
        self,
        batch_size: int,
        rng: np.random.Generator,
        rows: slice | None = None,
        buffer_rows: int | None = None,
    ) -> Iterator[Events]:
        """Yield every event once, in random order, as batches.

        See :func:`lfi_mflow.data.shuffle.shuffled_chunks` for the order.

        Arguments:
            batch_size: Events per batch; the last batch may be smaller.
            rng: Source of the order.
            rows: The rows to take part, all by default.
            buffer_rows: Events to hold in memory and mix, by default as many as
                fill 32 MiB.
        """
        start, stop = self._bounds(rows)
        chunks = shuffled_rows(self.read, slice(start, stop), batch_size, rng, buffer_rows)
        return cut_batches(chunks, batch_size)

    def nonfinite(self) -> dict[str, int]:
        """Count NaN and infinite values of each column that has some, by its name."""
        names = {name: self._names(name) for name in self._datasets}
        total: dict[str, int] = {}
        for block in self.blocks():
            for name, array in block.columns().items():
                bad = (~np.isfinite(array.reshape(len(array), -1))).sum(axis=0)
                for label, count in zip(names[name], bad, strict=True):
                    if count:
                        total[label] = total.get(label, 0) + int(count)
        return total

    def verify(self) -> None:
        """Read the whole file and check all checksums.

        Raises:
            DataError: If a value is not what was written.
        """
        digest = Digest()
        for block in self.blocks():
            digest.update(block.columns())
        if digest.hexdigest() != self.digest:
            raise DataError(
                f"values with SHA-256 {self.digest[:12]}… in {self.path}",
                f"{digest.hexdigest()[:12]}…",
                f"the file was changed: restore it from a copy, or {ANEW}",
            )

    @contextmanager
    def _damage(self, rows: slice) -> Iterator[None]:
        """Say which rows cannot be read."""
        try:
            yield
        except OSError as error:
            raise DataError(
                f"intact events in rows {rows.start} to {rows.stop} of {self.path}",
                f"damaged ones ({str(error).splitlines()[0]})",
                f"restore the file from a copy, or {ANEW}",
            ) from error

    def _bounds(self, rows: slice | None) -> tuple[int, int]:
        """Return the first row and the row after the last of a slice."""
        start, stop, step = (rows or slice(None)).indices(len(self))
        if step != 1:
            raise InputError("contiguous rows", f"a step of {step}", "read them and select")
        return start, max(start, stop)

    def _names(self, column: str) -> tuple[str, ...]:
        """Name the columns of an array."""
        if column == "theta":
            return self.metadata.parameter_names
        if column == "x":
            return self.metadata.observable_names
        shape = self._datasets[column].shape
        return (column,) if len(shape) == 1 else tuple(f"{column}{i}" for i in range(shape[1]))


def open_events(path: Path | str) -> EventFile:
    """Open an event file for reading, see :class:`EventFile`."""
    return EventFile(path)
