"""The events of several files, such as many jobs have simulated, as those of one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.schema import CACHE_BYTES
from lfi_mflow.data.source import EventSource
from lfi_mflow.data.store import EventFile, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events

__all__ = ["MergedFiles", "merge_events", "open_together"]

_SAME = ("parameters", "observables", "manifold_dim", "simulator", "settings")
"""What files must agree on; their priors and seeds may differ."""
_FEW_PIECES = 16


class MergedFiles(EventSource):
    """Event files that are open for reading, as if they were one.

    Every part holds its share of each file, in the order of that file: chunks of all files
    take turns. If the rows of each are in random order, so are these, as streaming and
    the validation events at the end want them. (Where no file has more than one chunk of
    16,384 rows, they stand one after the other.)

    Arguments:
        paths: The event files, two or more, with different events of one kind.

    Attributes:
        digest: SHA-256 of those of the files.

    Raises:
        FileFormatError: If one of them cannot be read.
        InputError: If there are fewer than two.
        DataError: If they do not fit together, or two hold the same events.
    """

    def __init__(self, paths: Sequence[Path | str]) -> None:
        if len(paths) < 2:
            raise InputError(
                "two event files or more", str(len(paths)), "name what is to be merged"
            )
        with ExitStack() as stack:
            cache = CACHE_BYTES // len(paths)
            files = [stack.enter_context(EventFile(path, cache)) for path in paths]
            for file in files[1:]:
                _check_kind(files[0], file)
            _check_different(files)
            self._stack = stack.pop_all()
        self._files = files
        self.name = f"{files[0].path} and {len(files) - 1} more"
        self.metadata = _metadata(files)
        self.digest = hashlib.sha256("".join(file.digest for file in files).encode()).hexdigest()
        self._file_of, self._first, self._starts = _in_turns([len(file) for file in files])

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def __len__(self) -> int:
        """Return the number of all events."""
        return int(self._starts[-1])

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the arrays that every file holds."""
        return self._files[0].columns

    def arrays(self, rows: slice, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return some of the arrays in contiguous rows."""
        parts = [self._part(piece, names) for piece in self.stored_together(rows)]
        if not parts:
            return self._files[0].arrays(slice(0, 0), names)
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def stored_together(self, rows: slice) -> list[slice]:
        """Cut rows into the pieces of the files that take turns."""
        if rows.start >= rows.stop:
            return []
        first, last = np.searchsorted(self._starts, [rows.start, rows.stop - 1], side="right") - 1
        edges = [rows.start, *self._starts[first + 1 : last + 1].tolist(), rows.stop]
        return [slice(*pair) for pair in pairwise(edges)]

    def _part(self, piece: slice, names: Sequence[str]) -> dict[str, NDArray[np.floating]]:
        """Return some of the arrays in rows of one piece."""
        index = int(np.searchsorted(self._starts, piece.start, side="right")) - 1
        shift = int(self._first[index] - self._starts[index])
        rows = slice(piece.start + shift, piece.stop + shift)
        return self._files[self._file_of[index]].arrays(rows, names)


def open_together(path: Path | str | Sequence[Path | str]) -> EventSource:
    """Open one event file, or several as if they were one."""
    paths = [path] if isinstance(path, Path | str) else path
    return EventFile(paths[0]) if len(paths) == 1 else MergedFiles(paths)


def merge_events(
    paths: Sequence[Path | str],
    output: Path | str,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the events of several files to one, and return their number.

    Arguments:
        paths: The event files, see :class:`MergedFiles`.
        output: The event file to write.
        force: Replace an output that exists.
        progress: Called with the number of rows done so far.

    Raises:
        InputError: If there are fewer than two files, or the output exists.
        DataError: If the files do not fit together, or two hold the same events.
        StorageError: If the disk is full; an old file stays as it was.
    """
    report = progress or (lambda done: None)

    def counted(blocks: Iterator[Events]) -> Iterator[Events]:
        done = 0
        report(done)
        for block in blocks:
            yield block
            done += len(block)
            report(done)

    with MergedFiles(paths) as files:
        return write_events(output, files.metadata, counted(files.blocks()), force=force)


def _in_turns(lengths: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    """Let pieces of files of some lengths take turns.

    Pieces are the chunks in which rows are stored. A file of few chunks is cut into smaller
    ones beside larger files, so that every part of the whole has its share of it. Each piece
    stands where it is in its file, as a fraction.

    Returns:
        The file of each piece (C,), its first row there (C,), and its first row here, with
        the number of all rows at the end (C + 1,).
    """
    most = -(-max(lengths) // CHUNK_ROWS)
    file_of, first, rows, place = [], [], [], []
    for file, length in enumerate(lengths):
        chunks = -(-length // CHUNK_ROWS)
        pieces = max(chunks, min(most, _FEW_PIECES))
        edges = np.minimum(np.arange(chunks + 1) * CHUNK_ROWS, length)
        if pieces > chunks:
            edges = np.unique(np.arange(pieces + 1) * length // pieces)
        file_of.append(np.full(len(edges) - 1, file))
        first.append(edges[:-1])
        rows.append(np.diff(edges))
        place.append((edges[:-1] + edges[1:]) / (2 * length))
    order = np.argsort(np.concatenate(place), kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.concatenate(rows)[order])])
    return np.concatenate(file_of)[order], np.concatenate(first)[order], starts


def _check_kind(first: EventFile, other: EventFile) -> None:
    """Fail if events of two files mean different things, or have different columns."""
    for what, of_first, of_other in _facts(first, other):
        if of_first != of_other:
            raise DataError(
                f"the {what} of {first.path}: {of_first}",
                f"{of_other} in {other.path}",
                "merge files of one simulator, with the same settings",
            )


def _facts(first: EventFile, other: EventFile) -> Iterator[tuple[str, Any, Any]]:
    """What has to be the same in two files: its name, and what it is in either."""
    yield "arrays", ", ".join(first.columns), ", ".join(other.columns)
    for name in _SAME:
        of_first, of_other = (getattr(file.metadata, name) for file in (first, other))
        if isinstance(of_first, tuple):  # of 40 observables those that differ are told
            pairs = zip_longest(of_first, of_other, fillvalue="none")
            of_first, of_other = next((pair for pair in pairs if len(set(pair)) > 1), ("", ""))
        yield name.replace("_", " "), of_first, of_other
    of_first, of_other = (
        file.arrays(slice(0, 0), ["x"])["x"].dtype.name for file in (first, other)
    )
    yield "precision of x", of_first, of_other


def _check_different(files: Sequence[EventFile]) -> None:
    """Fail if two files hold the same events, or such as the same random numbers made."""
    seen: dict[tuple[str, Any], EventFile] = {}
    for file in files:
        facts: list[tuple[str, Any]] = [("sha256", file.digest)]
        if file.metadata.simulator is not None and file.metadata.seed is not None:
            facts.append(("seed", file.metadata.seed))
        for what, value in facts:
            if (what, value) in seen:
                raise DataError(
                    f"another {what} in {file.path} than in {seen[what, value].path}",
                    f"{value} in both: events twice",
                    "simulate with another --seed, or leave one of them out",
                )
            seen[what, value] = file


def _metadata(files: Sequence[EventFile]) -> EventMetadata:
    """What is known of all events; prior and origin if it is one."""
    first = files[0].metadata
    common = set.intersection(*(set(file.metadata.provenance.items()) for file in files))
    one_prior = all(file.metadata.prior == first.prior for file in files)
    counts: Counter[str] = Counter()
    for file in files:
        counts.update(file.metadata.counts)
    merged = [
        {
            "file": str(file.path),
            "events": len(file),
            "seed": file.metadata.seed,
            "sha256": file.digest,
        }
        for file in files
    ]
    return dataclasses.replace(
        first,
        seed=None,
        prior=first.prior if one_prior else None,
        provenance={**dict(sorted(common)), **provenance(), "merged_from": json.dumps(merged)},
        counts=dict(counts),
    )
