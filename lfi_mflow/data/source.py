"""Events that are read row by row, wherever they stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.schema import ANEW
from lfi_mflow.data.shuffle import cut_batches, shuffled_rows
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import Events

__all__ = ["EventSource"]


class EventSource(ABC):
    """Events of one kind, which need not fit in memory.

    Use it as a context manager, or call :meth:`close`.

    Attributes:
        name: Where the events stand, for messages.
        metadata: What the columns mean and where the events come from.
        digest: SHA-256 that tells these events from others.
    """

    name: str
    metadata: EventMetadata
    digest: str

    def __enter__(self) -> Self:
        """Return the source itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close it."""
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of events."""

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays there are, such as ``theta`` and ``x``."""

    @abstractmethod
    def arrays(self, rows: slice, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return some of the arrays in contiguous rows, from ``rows.start`` to ``rows.stop``.

        Raises:
            DataError: If the rows are damaged.
        """

    @abstractmethod
    def stored_together(self, rows: slice) -> list[slice]:
        """Cut rows into such blocks as are read in one piece."""

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
        names = [name for name in self.columns if columns is None or name in columns]
        return Events(**self.arrays(self._bounds(rows), names))

    def blocks(
        self, size: int = 4 * CHUNK_ROWS, columns: Collection[str] | None = None
    ) -> Iterator[Events]:
        """Yield all events in order, ``size`` at a time; the last block may be smaller."""
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size), columns)

    def column_blocks(
        self, name: str, size: int = 64 * CHUNK_ROWS
    ) -> Iterator[NDArray[np.floating]]:
        """Yield one array in order, ``size`` rows at a time; no other is read.

        Raises:
            DataError: If there is no such array, or its rows are damaged.
        """
        if name not in self.columns:
            raise DataError(f"an array {name!r} in {self.name}", "none", ANEW)
        for start in range(0, len(self), size):
            yield self.arrays(self._bounds(slice(start, start + size)), [name])[name]

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
        blocks = self.stored_together(self._bounds(rows))
        return cut_batches(
            shuffled_rows(self.read, blocks, batch_size, rng, buffer_rows), batch_size
        )

    def nonfinite(self) -> dict[str, int]:
        """Count NaN and infinite values of each column that has some, by its name."""
        total: dict[str, int] = {}
        for block in self.blocks():
            for name, array in block.columns().items():
                bad = (~np.isfinite(array.reshape(len(array), -1))).sum(axis=0)
                for label, count in zip(self._labels(name, array), bad, strict=True):
                    if count:
                        total[label] = total.get(label, 0) + int(count)
        return total

    def _bounds(self, rows: slice | None) -> slice:
        """Return a slice with its first row and the row after its last."""
        start, stop, step = (rows or slice(None)).indices(len(self))
        if step != 1:
            raise InputError("contiguous rows", f"a step of {step}", "read them and select")
        return slice(start, max(start, stop))

    def _labels(self, column: str, array: NDArray[Any]) -> tuple[str, ...]:
        """Name the columns of an array."""
        if column == "theta":
            return self.metadata.parameter_names
        if column == "x":
            return self.metadata.observable_names
        return (
            (column,) if array.ndim == 1 else tuple(f"{column}{i}" for i in range(array.shape[1]))
        )
