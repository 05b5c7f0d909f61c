"""Events in an HDF5 file, read and written block by block.

A file holds one dataset per array of :class:`lfi_mflow.simulation.Events`,
``/theta`` (N, p), ``/x`` (N, d) and whichever of the optional ones there are,
chunked by rows, compressed where that is worth its time (:mod:`lfi_mflow.data.columns`) and
guarded by a Fletcher-32 checksum per chunk. The attributes of the root say what the columns
mean and where the events come from, each as JSON, and hold the SHA-256 of all
values. Nothing here ever holds a whole file in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.schema import (
    ANEW,
    CACHE_BYTES,
    Digest,
    find_datasets,
    open_hdf5,
    read_attributes,
)
from lfi_mflow.data.shuffle import row_blocks
from lfi_mflow.data.source import EventSource
from lfi_mflow.data.writer import write_events
from lfi_mflow.errors import DataError

__all__ = ["EventFile", "EventMetadata", "open_events", "write_events"]


class EventFile(EventSource):
    """An event file that is open for reading.

    Arguments:
        path: The file.
        cache_bytes: Memory for the chunks of each array that were read last.

    Attributes:
        path: The file.
        digest: SHA-256 of all values, as noted when the file was written.

    Raises:
        FileFormatError: If the file is missing, truncated, not an event file,
            of another schema version, or its arrays do not fit together.
    """

    def __init__(self, path: Path | str, cache_bytes: int = CACHE_BYTES) -> None:
        self.path, self.name = Path(path), str(path)
        self._file = open_hdf5(self.path, cache_bytes=cache_bytes)
        try:
            self.metadata, self.digest = read_attributes(self._file, self.path)
            self._datasets = find_datasets(self._file, self.metadata, self.path)
        except BaseException:
            self._file.close()
            raise

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

    def arrays(self, rows: slice, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return some of the arrays in contiguous rows."""
        with self._damage(rows):
            return {name: self._datasets[name][rows] for name in names}

    def stored_together(self, rows: slice) -> list[slice]:
        """Cut rows into chunks of the file."""
        return row_blocks(rows)

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


def open_events(path: Path | str) -> EventFile:
    """Open an event file for reading, see :class:`EventFile`."""
    return EventFile(path)
