"""Writing event files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np

from lfi_mflow.data.columns import CHUNK_ROWS, create_column
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.schema import Digest, write_attributes
from lfi_mflow.data.sink import Sink, create_hdf5
from lfi_mflow.errors import DataError
from lfi_mflow.files import atomic_output, check_output
from lfi_mflow.simulation import Events

__all__ = ["write_events"]


def write_events(
    path: Path | str, metadata: EventMetadata, batches: Iterable[Events], *, force: bool
) -> int:
    """Write events to a file, whole or not at all, and return their number.

    The batches may have any sizes: the bytes of the datasets depend only on the
    values. The metadata is written after the last batch, so ``metadata.counts``
    may be filled while the batches are made.

    Arguments:
        path: The file to write.
        metadata: What the columns mean.
        batches: The events; all batches hold the same arrays.
        force: Replace a file that exists.

    Raises:
        DataError: If there are no events, or their shapes do not fit ``metadata``.
        InputError: If the file exists and ``force`` is false.
        StorageError: If the disk is full; an old file stays as it was.
    """
    path = check_output(Path(path), force=force)
    with atomic_output(path) as temporary, create_hdf5(temporary) as (file, sink):
        writer = _Writer(file, sink, metadata)
        for batch in batches:
            writer.append(batch)
        return writer.finish()


class _Writer:
    """Appends events to an open file in whole chunks.

    Whole chunks are compressed once, and always the same: their bytes do not
    depend on how the events were batched.
    """

    def __init__(self, file: h5py.File, sink: Sink, metadata: EventMetadata) -> None:
        self._file, self._sink, self._metadata = file, sink, metadata
        self._digest = Digest()
        self._datasets: dict[str, h5py.Dataset] = {}
        self._waiting: list[Events] = []
        self._written = 0

    def append(self, batch: Events) -> None:
        """Take a batch and write the chunks that are complete."""
        if not len(batch):
            return
        self._check(batch)
        for start in range(0, len(batch), CHUNK_ROWS):  # large copies would cost page faults
            self._waiting.append(batch[start : start + CHUNK_ROWS])
            waiting = sum(map(len, self._waiting))
            if waiting >= CHUNK_ROWS:
                events = Events.concatenate(self._waiting)
                self._write(events[:CHUNK_ROWS])
                self._waiting = [events[CHUNK_ROWS:]] if waiting > CHUNK_ROWS else []

    def finish(self) -> int:
        """Write what is left and the attributes; return the number of events."""
        if self._waiting:
            self._write(Events.concatenate(self._waiting))
        if not self._written:
            raise DataError("at least one event", "none", "check where the events come from")
        write_attributes(self._file, self._metadata, self._digest.hexdigest())
        return self._written

    def _check(self, batch: Events) -> None:
        """Compare a batch with the metadata and with the batches before."""
        widths = {"theta": len(self._metadata.parameters), "x": len(self._metadata.observables)}
        for name, width in widths.items():
            found = batch.columns()[name].shape[1]
            if found != width:
                raise DataError(f"{width} columns in {name}", f"{found}", "name every column")
        names = set(batch.columns())
        before = set(self._waiting[0].columns()) if self._waiting else set(self._datasets)
        if before and names != before:
            raise DataError(
                f"the arrays {', '.join(sorted(before))} in every batch of events",
                ", ".join(sorted(names)),
                "give all batches the same arrays",
            )

    def _write(self, events: Events) -> None:
        """Append rows to the datasets, which the first rows create."""
        stop = self._written + len(events)
        stored = {}
        for name, array in events.columns().items():
            if name not in self._datasets:
                # Features keep single precision, all else is double.
                dtype = "<f4" if name == "x" and array.dtype == np.float32 else "<f8"
                first = array[:CHUNK_ROWS]
                self._datasets[name] = create_column(self._file, name, first, dtype)
            dataset = self._datasets[name]
            stored[name] = np.ascontiguousarray(array, dtype=dataset.dtype)
            dataset.resize(stop, axis=0)
            if array.size:
                dataset[self._written : stop] = stored[name]
        self._sink.raise_error()
        self._digest.update(stored)
        self._written = stop
