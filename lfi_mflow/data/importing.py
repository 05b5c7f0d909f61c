"""Events from files of other programs, and observed events.

A foreign file is a table of columns. A reader offers its columns block by
block; what is common to all formats stands here: the mapping is evaluated,
events that lack an element (a second muon, say) are left out and counted, and
values that are not finite are an error unless the user chose to drop them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.formats import open_table
from lfi_mflow.data.mapping import Column, ColumnMapping
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.writer import write_events
from lfi_mflow.errors import DataError
from lfi_mflow.files import check_output
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events, Observable, Parameter

__all__ = [
    "ImportReport",
    "Rows",
    "import_events",
    "import_file",
    "imported_blocks",
    "write_imported",
]

Rows = NDArray[np.intp]
"""The numbers of rows in a file, from 0."""

_BLOCK_VALUES = 2**22


@dataclass
class ImportReport:
    """What became of the rows of a foreign file.

    Attributes:
        read: Rows that were read.
        kept: Rows that became events.
        missing: Rows dropped because an element was missing, in total.
        nonfinite: Rows dropped because a value was NaN or infinite, in total.
        missing_in: Rows without the element, by column.
        nonfinite_in: Rows with a NaN or infinite value, by column.
        rows: The rows that became events, if they were read into memory; None otherwise.
    """

    read: int = 0
    kept: int = 0
    missing: int = 0
    nonfinite: int = 0
    missing_in: dict[str, int] = field(default_factory=dict)
    nonfinite_in: dict[str, int] = field(default_factory=dict)
    rows: Rows | None = field(default=None, repr=False, compare=False)

    def counts(self) -> dict[str, int]:
        """Return the totals, as they stand in the metadata of the events."""
        return {"read": self.read, "missing": self.missing, "nonfinite": self.nonfinite}

    def __str__(self) -> str:
        """Return one line for the terminal."""
        parts = [f"{self.kept} of {self.read} events"]
        for count, word, columns in (
            (self.missing, "with a missing element", self.missing_in),
            (self.nonfinite, "not finite", self.nonfinite_in),
        ):
            if count:
                detail = ", ".join(f"{name}: {number}" for name, number in columns.items())
                parts.append(f"{count} dropped, {word} ({detail})")
        return "; ".join(parts)


def import_events(
    path: Path | str, mapping: ColumnMapping, *, drop_nonfinite: bool = False
) -> tuple[Events, ImportReport]:
    """Read the events of a foreign file into memory.

    Arguments:
        path: The file; its name tells the format, see :mod:`lfi_mflow.data.formats`.
        mapping: Where the columns stand.
        drop_nonfinite: Drop and count events with NaN or infinite values.

    Raises:
        FileFormatError: If the file cannot be read or its format is not known.
        UnknownNameError: If a tree or branch does not exist; the nearest are offered.
        DataError: If a branch is not a number per event, values are not finite,
            or no event is left.
    """
    report = ImportReport()
    blocks = imported_blocks(path, mapping, drop_nonfinite=drop_nonfinite, report=report)
    return Events.concatenate([events for _, events in blocks]), report


def imported_blocks(
    path: Path | str, mapping: ColumnMapping, *, drop_nonfinite: bool, report: ImportReport
) -> Iterator[tuple[Rows, Events]]:
    """Yield the events of a foreign file block by block, with their rows in the file.

    Arguments:
        path: As for :func:`import_events`, whose errors are raised here too.
        mapping: Where the columns stand.
        drop_nonfinite: Drop and count events with NaN or infinite values. Without,
            the error comes after all rows were counted.
        report: Filled while the blocks are read.
    """
    return _Importer(Path(path), mapping, drop_nonfinite, report).blocks()


def import_file(
    path: Path | str,
    output: Path | str,
    mapping: ColumnMapping,
    *,
    force: bool = False,
    drop_nonfinite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Convert a foreign file to an event file, block by block.

    Arguments:
        path: The file; its name tells the format, see :mod:`lfi_mflow.data.formats`.
        output: The event file to write.
        mapping: Where the columns stand.
        force: Replace an event file that exists.
        drop_nonfinite: Drop and count events with NaN or infinite values.
        progress: Called with the number of rows read so far.

    Raises:
        InputError: As :func:`import_events`, or if the output exists.
        StorageError: If the disk is full; an old file stays as it was.
    """

    def blocks(report: ImportReport) -> Iterator[Events]:
        for _, events in imported_blocks(
            path, mapping, drop_nonfinite=drop_nonfinite, report=report
        ):
            yield events

    metadata = EventMetadata(
        parameters=tuple(Parameter(column.name) for column in mapping.parameter_columns),
        observables=tuple(Observable(column.name) for column in mapping.observable_columns),
        provenance=provenance()
        | {"imported_from": str(path), "mapping": json.dumps(mapping.to_table())},
    )
    return write_imported(output, metadata, blocks, force=force, progress=progress)


def write_imported(
    output: Path | str,
    metadata: EventMetadata,
    blocks: Callable[[ImportReport], Iterator[Events]],
    *,
    force: bool,
    progress: Callable[[int], None] | None,
) -> ImportReport:
    """Write imported events, with the numbers of rows that were dropped.

    Arguments:
        output: The event file to write.
        metadata: What it says about the events; the counts are added.
        blocks: Yields the events and fills the report it is given.
        force: Replace an event file that exists.
        progress: Called with the number of rows read so far.

    Raises:
        InputError: If the output exists, or whatever ``blocks`` raises.
        StorageError: If the disk is full; an old file stays as it was.
    """
    check_output(Path(output), force=force)
    report, counts = ImportReport(), dict[str, int]()

    def batches() -> Iterator[Events]:
        for events in blocks(report):
            yield events
            if progress is not None:
                progress(report.read)
        counts.update(report.counts())

    write_events(output, replace(metadata, counts=counts), batches(), force=force)
    return report


class _Importer:
    """Evaluates a mapping on a foreign file block by block."""

    def __init__(
        self, path: Path, mapping: ColumnMapping, drop_nonfinite: bool, report: ImportReport
    ) -> None:
        self._path, self._tree = path, mapping.tree
        self._x, self._theta = mapping.observable_columns, mapping.parameter_columns
        self._weight = mapping.weight_column
        self._drop_nonfinite, self._report = drop_nonfinite, report

    @property
    def _columns(self) -> tuple[Column, ...]:
        """All columns: observables, parameters, weight."""
        weight = () if self._weight is None else (self._weight,)
        return (*self._x, *self._theta, *weight)

    def blocks(self) -> Iterator[tuple[Rows, Events]]:
        """Yield the events that are kept, with their rows."""
        names = dict.fromkeys(name for c in self._columns for name in c.expression.branches)
        step = max(1, _BLOCK_VALUES // max(1, len(names)))
        with open_table(self._path, self._tree) as table:
            for start in range(0, len(table), step):
                stop = min(start + step, len(table))
                arrays = table.read(tuple(names), start, stop)
                self._check_rows(arrays, stop - start)
                keep, events = self._select(arrays, stop - start)
                if len(events) and not self._refused:
                    yield start + np.flatnonzero(keep), events
        self._check()

    @property
    def _refused(self) -> bool:
        """Whether values were found that end in an error; the rest is only counted."""
        return bool(self._report.nonfinite) and not self._drop_nonfinite

    def _select(self, arrays: Mapping[str, Any], rows: int) -> tuple[NDArray[np.bool_], Events]:
        """Evaluate all columns and keep the rows that are complete and finite."""
        values, missing = np.empty((rows, len(self._columns))), np.zeros(rows, dtype=bool)
        for index, column in enumerate(self._columns):
            values[:, index], absent = column.expression.evaluate(arrays, rows)
            _add(self._report.missing_in, column.name, absent)
            missing |= absent
        bad = ~np.isfinite(values) & ~missing[:, None]
        for index, column in enumerate(self._columns):
            _add(self._report.nonfinite_in, column.name, bad[:, index])
        keep = ~missing & ~bad.any(axis=1)
        self._report.read += rows
        self._report.kept += int(keep.sum())
        self._report.missing += int(missing.sum())
        self._report.nonfinite += int(bad.any(axis=1).sum())
        values = values[keep]
        d, p = len(self._x), len(self._theta)
        weight = None if self._weight is None else values[:, d + p]
        return keep, Events(x=values[:, :d], theta=values[:, d : d + p], weight=weight)

    def _check_rows(self, arrays: Mapping[str, Any], rows: int) -> None:
        """Raise if a column of a damaged file has another number of rows."""
        for name, array in arrays.items():
            if len(array) != rows:
                raise DataError(
                    f"{rows} rows of {name} in {self._path}", f"{len(array)}", "copy the file again"
                )

    def _check(self) -> None:
        """Raise if values were not finite or nothing is left."""
        report = self._report
        if self._refused:
            where = ", ".join(f"{name}: {count}" for name, count in report.nonfinite_in.items())
            raise DataError(
                f"finite values in {self._path}",
                f"{report.nonfinite} of {report.read} events with NaN or infinite ones ({where})",
                "mend the file, or add --drop-nonfinite",
            )
        if not report.read:
            raise DataError(f"events in {self._path}", "none", "check the file, and the tree in it")
        if not report.kept:
            raise DataError(
                f"events with all columns in {self._path}", str(report), "choose other columns"
            )


def _add(counts: dict[str, int], name: str, rows: NDArray[np.bool_]) -> None:
    """Count rows under a name, if there are any."""
    if rows.any():
        counts[name] = counts.get(name, 0) + int(rows.sum())
