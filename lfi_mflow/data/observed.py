"""The observed events, as a model wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lfi_mflow.data.importing import ImportReport, import_events
from lfi_mflow.data.mapping import ColumnMapping
from lfi_mflow.data.store import open_events
from lfi_mflow.errors import DataError, ModelMismatchError
from lfi_mflow.simulation import Events

__all__ = ["read_observed"]

_REMEDY = "name the columns in the order of the model's observables"


def read_observed(
    path: Path | str,
    mapping: ColumnMapping | None,
    observables: Sequence[str],
    *,
    drop_nonfinite: bool = False,
) -> tuple[Events, ImportReport]:
    """Read observed events, from an event file or a foreign file, into memory.

    Arguments:
        path: An event file (``.h5``), or a file that :func:`import_events` reads.
        mapping: Where the observables stand in a foreign file; None if its
            columns have the names of the observables. Parameters are left out.
        observables: The names of the model's observables.
        drop_nonfinite: Drop and count events with NaN or infinite values.

    Returns:
        The events and what became of the rows; theta has no columns if it is unknown.

    Raises:
        ModelMismatchError: If the file or the mapping has other observables.
        DataError: If values are not finite.
        InputError: If the file cannot be read, see :func:`import_events`.
    """
    path, names = Path(path), tuple(observables)
    if path.suffix.lower() in (".h5", ".hdf5"):
        return _read_event_file(path, names, drop_nonfinite)
    if mapping is None:
        mapping = ColumnMapping(None, tuple(f"`{name}`" for name in names))
    columns = mapping.observable_columns
    if len(columns) != len(names):
        raise ModelMismatchError(
            f"{len(names)} columns for the observables {', '.join(names)}",
            f"{len(columns)}: {', '.join(column.name for column in columns)}",
            _REMEDY,
        )
    for column, name in zip(columns, names, strict=True):
        if column.named and column.name != name:
            raise ModelMismatchError(f"a column for {name!r}", repr(column.name), _REMEDY)
    observed = ColumnMapping(mapping.tree, mapping.observables, weight=mapping.weight)
    return import_events(path, observed, drop_nonfinite=drop_nonfinite)


def _read_event_file(
    path: Path, names: tuple[str, ...], drop_nonfinite: bool
) -> tuple[Events, ImportReport]:
    """Read an event file whose observables are those of the model."""
    with open_events(path) as file:
        found = file.metadata.observable_names
        if found != names:
            raise ModelMismatchError(
                f"the model's observables {', '.join(names)} in {path}",
                ", ".join(found),
                "use events of the same observables, or train on these",
            )
        events = file.read()
    finite = np.isfinite(events.x)
    keep = finite.all(axis=1)
    bad = {
        name: int(count) for name, count in zip(names, (~finite).sum(axis=0), strict=True) if count
    }
    if bad and not drop_nonfinite:
        raise DataError(
            f"finite observables in {path}",
            f"NaN or infinite ones ({', '.join(f'{name}: {n}' for name, n in bad.items())})",
            "mend the file, or add --drop-nonfinite",
        )
    if not keep.any():
        raise DataError(f"finite events in {path}", "none is left", "check where they come from")
    dropped = int((~keep).sum())
    report = ImportReport(len(events), int(keep.sum()), nonfinite=dropped, nonfinite_in=bad)
    return events[keep] if dropped else events, report
