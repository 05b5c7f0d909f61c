"""Events to files of other programs: ROOT and Parquet.

Each column of an event file becomes a branch of its own: the parameters and the
observables by their names, ``weight``, ``log_ratio``, and ``score_NAME`` per parameter,
``latent_0, ...``, ``component_0, ...`` where the events have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.optional import require
from lfi_mflow.data.store import EventFile, open_events
from lfi_mflow.errors import ConfigError, DataError, FileFormatError
from lfi_mflow.files import atomic_output, check_output
from lfi_mflow.simulation import Events

__all__ = ["ExportKind", "ExportReport", "export_events"]

ExportKind = Literal["ttree", "rntuple", "parquet"]
"""A TTree or an RNTuple of a ROOT file, or a Parquet file."""

Columns = Mapping[str, NDArray[np.floating]]
_KINDS: Mapping[str, tuple[ExportKind, ...]] = {
    ".root": ("ttree", "rntuple"),
    ".parquet": ("parquet",),
}
_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes:
        kind: The format.
        tree: The name of the tree, None where there is none.
        events: Number of events.
        columns: The names of the columns, by the array they come from.
    """

    kind: ExportKind
    tree: str | None
    events: int
    columns: Mapping[str, tuple[str, ...]]


def export_events(
    path: Path | str,
    output: Path | str,
    *,
    kind: ExportKind | None = None,
    tree: str = "events",
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ExportReport:
    """Convert an event file to a file of another program, block by block.

    Arguments:
        path: The event file.
        output: The file to write; its suffix ``.root`` or ``.parquet`` tells the format.
        kind: The format; by default the first one that belongs to the suffix.
        tree: Name of the tree in a ROOT file.
        force: Replace a file that exists.
        progress: Called with the number of events written so far.

    Raises:
        FileFormatError: If the event file cannot be read, or the suffix is unknown.
        ConfigError: If kind and suffix do not fit, or the tree has no usable name.
        DataError: If two columns have one name, or a name cannot be written.
        InputError: If the output exists, or a package is not installed.
        StorageError: If the disk is full; an old file stays as it was.
    """
    output = Path(output)
    kind = _kind(output, kind)
    check_output(output, force=force)
    if not tree.isidentifier():
        raise ConfigError(
            "a tree whose name is made of letters, digits and underscores", repr(tree), "rename it"
        )
    with open_events(path) as file:
        names = _names(file)
        _check_names(names, kind, Path(path))
        size = max(1, _BLOCK_BYTES // (8 * sum(map(len, names.values()))))
        done = 0
        with atomic_output(output) as temporary, _WRITERS[kind](temporary, tree) as write:
            for events in file.blocks(size):
                write(_columns(events, names))
                done += len(events)
                if progress is not None:
                    progress(done)
    return ExportReport(kind, None if kind == "parquet" else tree, done, names)


def _kind(output: Path, kind: ExportKind | None) -> ExportKind:
    """Return the format of an output."""
    kinds = _KINDS.get(output.suffix.lower())
    if kinds is None:
        raise FileFormatError(
            f"an output whose name ends in {' or '.join(_KINDS)}", str(output), "rename it"
        )
    if kind is not None and kind not in kinds:
        raise ConfigError(
            f"{' or '.join(kinds)} in {output}", kind, "choose another kind or another suffix"
        )
    return kind or kinds[0]


def _names(file: EventFile) -> dict[str, tuple[str, ...]]:
    """Name the columns of each array of an event file."""
    metadata: EventMetadata = file.metadata
    parameters = metadata.parameter_names
    first = file.read(slice(0, 1)).columns()
    names: dict[str, tuple[str, ...]] = {}
    for array, values in first.items():
        if array == "theta":
            names[array] = parameters
        elif array == "x":
            names[array] = metadata.observable_names
        elif array == "score" and values.ndim == 2 and values.shape[1] == len(parameters):
            names[array] = tuple(f"score_{name}" for name in parameters)
        elif values.ndim == 1:
            names[array] = (array,)
        else:
            names[array] = tuple(f"{array.removesuffix('s')}_{i}" for i in range(values.shape[1]))
    return names


def _check_names(names: Mapping[str, tuple[str, ...]], kind: ExportKind, path: Path) -> None:
    """See that every column has a name of its own that the format can hold."""
    every = [name for group in names.values() for name in group]
    for name in every:
        if every.count(name) > 1:
            raise DataError(
                f"columns of different names in {path}", f"{name!r} twice", "rename an observable"
            )
        if kind == "rntuple" and set(name) & set("./"):
            raise DataError(
                f"names without '.' and '/' in {path}, for an RNTuple", repr(name), "take a TTree"
            )


def _columns(events: Events, names: Mapping[str, tuple[str, ...]]) -> Columns:
    """Return each column of events by its name, contiguous."""
    columns: dict[str, NDArray[np.floating]] = {}
    for array, values in events.columns().items():
        table = values.reshape(len(events), -1)
        for name, column in zip(names[array], table.T, strict=True):
            columns[name] = np.ascontiguousarray(column)
    return columns


@contextmanager
def _ttree(path: Path, tree: str) -> Iterator[Callable[[Columns], None]]:
    """Write a TTree."""
    with _root(path, tree, "mktree") as write:
        yield write


@contextmanager
def _rntuple(path: Path, tree: str) -> Iterator[Callable[[Columns], None]]:
    """Write an RNTuple."""
    with _root(path, tree, "mkrntuple") as write:
        yield write


@contextmanager
def _root(path: Path, tree: str, method: str) -> Iterator[Callable[[Columns], None]]:
    """Write a tree of a ROOT file, which the first columns create."""
    import uproot  # noqa: PLC0415 - heavy, and only a ROOT file needs it

    trees: list[Any] = []
    with uproot.recreate(path) as file:

        def write(columns: Columns) -> None:
            if not trees:
                types = {name: str(column.dtype) for name, column in columns.items()}
                trees.append(getattr(file, method)(tree, types))
            trees[0].extend(dict(columns))

        yield write


@contextmanager
def _parquet(path: Path, _tree: str) -> Iterator[Callable[[Columns], None]]:
    """Write a Parquet file, a row group per block."""
    parquet = require("pyarrow.parquet", "write Parquet files")
    arrow = require("pyarrow", "write Parquet files")
    writers: list[Any] = []

    def write(columns: Columns) -> None:
        table = arrow.table(dict(columns))
        if not writers:
            writers.append(parquet.ParquetWriter(path, table.schema))
        writers[0].write_table(table)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


_WRITERS = {"ttree": _ttree, "rntuple": _rntuple, "parquet": _parquet}
