"""The observed events, as a model wants them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.importing import ImportReport, Rows, imported_blocks
from lfi_mflow.data.mapping import Column, ColumnMapping
from lfi_mflow.data.store import EventFile, open_events
from lfi_mflow.errors import DataError, ModelMismatchError
from lfi_mflow.simulation import Events

__all__ = ["ObservedSource", "open_observed", "read_observed"]

_REMEDY = "name the columns in the order of the model's {what}"
_SUFFIXES = (".h5", ".hdf5")


def read_observed(
    path: Path | str,
    mapping: ColumnMapping | None,
    observables: Sequence[str],
    *,
    conditions: Sequence[str] = (),
    drop_nonfinite: bool = False,
) -> tuple[Events, ImportReport]:
    """Read observed events, from an event file or a foreign file, into memory.

    Arguments:
        path: An event file (``.h5``), or a file that :func:`import_events` reads.
        mapping: Where the observables stand in a foreign file; None if its
            columns have the names of the observables. Parameters that are no conditions
            are left out.
        observables: The names of the model's observables.
        conditions: Names of parameters that are known for each event.
        drop_nonfinite: Drop and count events with NaN or infinite values.

    Returns:
        The events and what became of the rows. Theta has the conditions as its columns;
        without any, those of an event file, or none.

    Raises:
        ModelMismatchError: If the file or the mapping has other observables, or a
            condition is missing.
        DataError: If values are not finite.
        InputError: If the file cannot be read, see :func:`import_events`.
    """
    if mapping is None and conditions and Path(path).suffix.lower() not in _SUFFIXES:
        mapping = ColumnMapping(None, tuple(f"`{name}`" for name in observables))
    if mapping is not None:
        mapping = replace(mapping, parameters=_condition_texts(mapping, conditions))
    source = open_observed(path, mapping, observables, drop_nonfinite=drop_nonfinite)
    missing = [name for name in conditions if name not in source.parameters]
    if missing:
        raise ModelMismatchError(
            f"the condition(s) {', '.join(missing)} among the columns of theta in {path}",
            ", ".join(source.parameters) or "none",
            "give a file that holds their value for each event",
        )
    rows, blocks = zip(*source.blocks(), strict=True)
    source.report.rows = np.concatenate(rows)
    events = Events.concatenate(blocks)
    if conditions:
        columns = [source.parameters.index(name) for name in conditions]
        events = replace(events, theta=events.theta[:, columns])
    return events, source.report


def _condition_texts(mapping: ColumnMapping, conditions: Sequence[str]) -> tuple[str, ...]:
    """Return where conditions stand: as the mapping says, or in branches of their names."""
    columns = zip(mapping.parameter_columns, mapping.parameters, strict=True)
    said = {column.name: text for column, text in columns}
    return tuple(said.get(name, f"{name} = `{name}`") for name in conditions)


@dataclass(frozen=True)
class ObservedSource:
    """A file of observed events, to be read block by block.

    Arguments:
        path: The file.
        mapping: Where the columns stand in a foreign file; None for an event file.
        observables: The names of the model's observables.
        parameters: The names of the columns of theta; none if it is unknown.
        n_rows: Number of rows, None if it is not known beforehand.
        drop_nonfinite: Drop and count events with NaN or infinite observables.
        report: What became of the rows; filled by :meth:`blocks`.
    """

    path: Path
    mapping: ColumnMapping | None
    observables: tuple[str, ...]
    parameters: tuple[str, ...]
    n_rows: int | None
    drop_nonfinite: bool = False
    report: ImportReport = field(default_factory=ImportReport)

    def blocks(self) -> Iterator[tuple[Rows, Events]]:
        """Yield the events in order, with their rows in the file.

        Raises:
            DataError: If values are not finite, or no event is left; it comes
                when all rows have been counted.
            InputError: If the file cannot be read, see :func:`import_events`.
        """
        if self.mapping is None:
            return self._event_blocks()
        return imported_blocks(
            self.path, self.mapping, drop_nonfinite=self.drop_nonfinite, report=self.report
        )

    def require_parameters(self, names: Sequence[str]) -> None:
        """Check that theta, if the file has it, is that of the model.

        Raises:
            ModelMismatchError: If the columns of theta are others.
        """
        if not self.parameters:
            return
        if self.mapping is None:
            if self.parameters != tuple(names):
                raise ModelMismatchError(
                    f"the model's parameters {', '.join(names) or '(none)'} in {self.path}",
                    ", ".join(self.parameters),
                    "use events of the same parameters, or give theta",
                )
            return
        _check_columns(self.mapping.parameter_columns, names, "parameters")

    def _event_blocks(self) -> Iterator[tuple[Rows, Events]]:
        """Yield the events of an event file that are finite."""
        report, first = self.report, 0
        with open_events(self.path) as file:
            for events in file.blocks():
                keep = self._count(events)
                if keep.any() and (self.drop_nonfinite or not report.nonfinite):
                    rows = first + np.flatnonzero(keep)
                    yield rows, events if keep.all() else events[keep]
                first += len(events)
        if report.nonfinite and not self.drop_nonfinite:
            where = ", ".join(f"{name}: {count}" for name, count in report.nonfinite_in.items())
            raise DataError(
                f"finite observables in {self.path}",
                f"NaN or infinite ones ({where})",
                "mend the file, or add --drop-nonfinite",
            )
        if not report.kept:
            raise DataError(
                f"finite events in {self.path}", "none is left", "check where they come from"
            )

    def _count(self, events: Events) -> NDArray[np.bool_]:
        """Return which events are finite, and count the others."""
        finite = np.isfinite(events.x)
        keep = np.asarray(finite.all(axis=1))
        for name, count in zip(self.observables, (~finite).sum(axis=0), strict=True):
            if count:
                counts = self.report.nonfinite_in
                counts[name] = counts.get(name, 0) + int(count)
        self.report.read += len(keep)
        self.report.kept += int(keep.sum())
        self.report.nonfinite += int((~keep).sum())
        return keep


def open_observed(
    path: Path | str,
    mapping: ColumnMapping | None,
    observables: Sequence[str],
    *,
    drop_nonfinite: bool = False,
) -> ObservedSource:
    """Return a file of observed events, checked for its columns.

    Arguments:
        path: An event file (``.h5``), or a file that :func:`import_events` reads.
        mapping: Where observables, and parameters if it names any, stand in a
            foreign file; None if its columns have the names of the observables.
        observables: The names of the model's observables.
        drop_nonfinite: Drop and count events with NaN or infinite observables.

    Raises:
        ModelMismatchError: If the file or the mapping has other observables.
        FileFormatError: If an event file cannot be read.
    """
    path, names = Path(path), tuple(observables)
    if path.suffix.lower() in _SUFFIXES:
        with open_events(path) as file:
            _check_event_file(file, names)
            theta = file.metadata.parameter_names
            return ObservedSource(path, None, names, theta, len(file), drop_nonfinite)
    if mapping is None:
        mapping = ColumnMapping(None, tuple(f"`{name}`" for name in names))
    _check_columns(mapping.observable_columns, names, "observables")
    theta = tuple(column.name for column in mapping.parameter_columns)
    return ObservedSource(path, mapping, names, theta, None, drop_nonfinite)


def _check_event_file(file: EventFile, names: tuple[str, ...]) -> None:
    """Check that the observables of an event file are those of the model."""
    found = file.metadata.observable_names
    if found != names:
        raise ModelMismatchError(
            f"the model's observables {', '.join(names)} in {file.path}",
            ", ".join(found),
            "use events of the same observables, or train on these",
        )


def _check_columns(columns: Sequence[Column], names: Sequence[str], what: str) -> None:
    """Check that columns stand in the order of the model."""
    remedy = _REMEDY.format(what=what)
    if len(columns) != len(names):
        raise ModelMismatchError(
            f"{len(names)} columns for the {what} {', '.join(names)}",
            f"{len(columns)}: {', '.join(column.name for column in columns)}",
            remedy,
        )
    for column, name in zip(columns, names, strict=True):
        if column.named and column.name != name:
            raise ModelMismatchError(f"a column for {name!r}", repr(column.name), remedy)
