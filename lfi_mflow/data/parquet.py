"""Columns of a Parquet file, read by pyarrow.

A column of lists is jagged, like a branch of several values per event: one
element is ``pt[:,0]``. A null is a missing element.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lfi_mflow.data.damage import explained_file, explained_rows
from lfi_mflow.data.optional import require
from lfi_mflow.errors import FileFormatError, UnknownNameError
from lfi_mflow.files import require_file

__all__ = ["ParquetTable", "open_parquet"]

_MOST_VALUES = 2**27
"""Values of a column in a row group, which is read whole: a few bytes may claim any number."""


class ParquetTable:
    """A Parquet file that is open for reading.

    It is read by its own row groups; the last one is kept, because blocks of
    events need not end where a row group ends.

    Arguments:
        file: What pyarrow returned for it.
        path: The file, for the error messages.

    Attributes:
        columns: The names of its columns.
    """

    columns: tuple[str, ...]

    def __init__(self, file: Any, path: Path) -> None:
        self._file, self._path = file, path
        self.columns = tuple(file.schema_arrow.names)
        lengths = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
        self._starts = np.cumsum([0, *lengths])
        self._kept: tuple[int, tuple[str, ...], dict[str, Any]] = (-1, (), {})

    def __len__(self) -> int:
        """Return the number of rows."""
        return int(self._starts[-1])

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return awkward arrays of the rows of some columns.

        Raises:
            UnknownNameError: If there is no such column; the nearest are offered.
            DataError: If the rows are damaged, or of a type that is no number.
        """
        import awkward as ak  # noqa: PLC0415 - heavy, and only importing needs it

        for name in names:
            if name not in self.columns:
                raise UnknownNameError(f"column of {self._path}", name, self.columns)
        with explained_rows(self._path, f"rows {start} to {stop} of {', '.join(names)}"):
            blocks = [
                {name: array[max(start - first, 0) : stop - first] for name, array in group.items()}
                for first, group in self._groups(start, stop, tuple(names))
            ]
            return {name: ak.concatenate([block[name] for block in blocks]) for name in names}

    def _groups(
        self, start: int, stop: int, names: tuple[str, ...]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the first row and the columns of each row group that has some of the rows."""
        import awkward as ak  # noqa: PLC0415

        for index in range(len(self._starts) - 1):
            first, last = int(self._starts[index]), int(self._starts[index + 1])
            if max(start, first) < min(stop, last):
                if self._kept[:2] != (index, names):
                    table = self._file.read_row_group(index, columns=list(names))
                    # Whole groups: ak.from_arrow of a slice takes the nulls of other rows.
                    arrays = {name: ak.from_arrow(table.column(name)) for name in names}
                    self._kept = (index, names, arrays)
                yield first, self._kept[2]


@contextmanager
def open_parquet(path: Path) -> Iterator[ParquetTable]:
    """Open a Parquet file.

    Raises:
        FileFormatError: If the file is missing, truncated or not Parquet.
        InputError: If pyarrow is not installed.
    """
    parquet = require("pyarrow.parquet", "read Parquet files")
    require_file(path, "a Parquet file")
    with explained_file(path, "a Parquet file"):
        file = parquet.ParquetFile(path)
    with file:
        with explained_file(path, "a Parquet file"):
            _check_groups(file, path)
        yield ParquetTable(file, path)


def _check_groups(file: Any, path: Path) -> None:
    """Fail if a row group would not fit in memory."""
    metadata = file.metadata
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        values = [
            group.column(column).num_values
            for column in range(min(group.num_columns, metadata.num_columns))
            if _is_sound(file, index, column)
        ]
        largest = max([group.num_rows, *values])
        if not 0 <= largest <= _MOST_VALUES:
            raise FileFormatError(
                f"row groups of at most {_MOST_VALUES:,} values in {path}",
                f"one of {largest:,}",
                "write the file again in smaller row groups",
            )


def _is_sound(file: Any, index: int, column: int) -> bool:
    """Whether the first row of a column of a row group can be read.

    Of a column that is described wrongly pyarrow tells nothing: it aborts the process.
    A reader of its rows meets the same error as an exception. What cannot be read is
    explained when it is asked for.
    """
    name = file.schema.column(column).path
    try:
        next(file.iter_batches(batch_size=1, row_groups=[index], columns=[name]), None)
    except (OSError, RuntimeError, ValueError):
        return False
    return True
