"""Les Houches event files, read by pylhe, plain or compressed by gzip.

Their columns are described in :mod:`lfi_mflow.data.particles`.

References:
    | A standard format for Les Houches Event Files (Alwall et al., 2006)
    | https://arxiv.org/abs/hep-ph/0609017
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lfi_mflow.data.damage import explained_file
from lfi_mflow.data.optional import require
from lfi_mflow.data.particles import RWGT, event_column
from lfi_mflow.errors import DataError, FileFormatError, UnknownNameError
from lfi_mflow.files import require_file

__all__ = ["LheTable", "open_lhe"]

_KIND = "a complete LHE file"
_PORTION = 2000
_MOST_BYTES = 2**26
"""Bytes between the beginnings of two events, or before the first: pylhe holds them whole."""


class LheTable:
    """An LHE file that is open for reading, from its beginning to its end.

    Arguments:
        path: The file.
        length: Number of events in it.
        start: Returns the events from the first one, as pylhe gives them.
    """

    def __init__(self, path: Path, length: int, start: Callable[[], Iterator[Any]]) -> None:
        self._path, self._length, self._start = path, length, start
        self._events, self._position = start(), 0

    def __len__(self) -> int:
        """Return the number of events."""
        return self._length

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return awkward arrays of some columns; going back reads the file anew.

        Raises:
            UnknownNameError: If there is no such column; the nearest are offered.
            FileFormatError: If the file is damaged.
            DataError: If an event holds another number of particles than it says.
        """
        import awkward as ak  # noqa: PLC0415 - heavy, and only importing needs it

        columns = {name: event_column(name) for name in names}
        if start < self._position:
            self._events, self._position = self._start(), 0
        self._take(start - self._position)
        parts: dict[str, list[Any]] = {name: [] for name in names}
        while self._position < stop:
            first = self._position
            # The objects of pylhe are large: few at a time.
            events = self._take(min(_PORTION, stop - self._position))
            if first == 0:
                self._check_weights(names, events[0].weights)
            for name, column in columns.items():
                parts[name].append(column(events))
        return {name: ak.concatenate(arrays) for name, arrays in parts.items()}

    def _take(self, count: int) -> list[Any]:
        """Return the next events."""
        with explained_file(self._path, _KIND), warnings.catch_warnings():
            # pylhe only warns when it stops at a place it cannot read.
            warnings.simplefilter("error", RuntimeWarning)
            events = list(islice(self._events, count))
        for number, event in enumerate(events, start=self._position):
            if event.eventinfo.nparticles != len(event.particles):
                raise DataError(
                    f"{event.eventinfo.nparticles} particles in event {number} of {self._path}",
                    f"{len(event.particles)}",
                    "copy the file again",
                )
        self._position += len(events)
        if len(events) != count:
            raise FileFormatError(
                f"{self._length} events in {self._path}", f"{self._position}", "copy the file again"
            )
        return events

    def _check_weights(self, names: Sequence[str], weights: Mapping[str, float]) -> None:
        """Check the names of weights against those of the first event."""
        known = [f"{RWGT}{key}" for key in weights]
        for name in names:
            if name.startswith(RWGT) and name not in known:
                raise UnknownNameError(f"weight of {self._path}", name, known)


@contextmanager
def open_lhe(path: Path) -> Iterator[LheTable]:
    """Open an LHE file.

    Raises:
        FileFormatError: If the file is missing, truncated or not LHE.
        InputError: If pylhe is not installed.
    """
    pylhe = require("pylhe", "read LHE files")
    require_file(path, "an LHE file")
    with explained_file(path, _KIND):
        length = _count(path)
    with _open(path) as stream:

        def start() -> Iterator[Any]:
            stream.seek(0)
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                return iter(pylhe.LHEFile.frombuffer(_Unclosed(stream)).events)

        with explained_file(path, _KIND):
            table = LheTable(path, length, start)
        yield table


class _Unclosed:
    """A stream that pylhe may leave, but not close.

    Arguments:
        stream: The stream.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def __enter__(self) -> _Unclosed:
        """Return the stream itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Leave the stream open: it may be read again."""

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        return self._stream.read(size)


def _open(path: Path) -> IO[bytes]:
    """Open a file, compressed or not."""
    with path.open("rb") as stream:
        compressed = stream.read(2) == b"\x1f\x8b"
    if compressed:
        return gzip.open(path)  # type: ignore[return-value]  # it reads like any file
    return path.open("rb")


def _count(path: Path) -> int:
    """Count the events of a file and see that it has an end.

    Raises:
        FileFormatError: If it is not LHE or is truncated, or an event fills the memory, as in
            a small compressed file that is huge.
    """
    count, begun, prepared, ended, since = 0, False, False, False, 0
    with _open(path) as stream:
        while line := stream.readline(_MOST_BYTES):
            since = 0 if b"<event" in line else since + len(line)
            if since >= _MOST_BYTES:
                raise FileFormatError(
                    f"{_KIND} at {path} with events of at most {_MOST_BYTES:,} bytes",
                    f"a larger one after the beginning of event {count}",
                    "check where the file comes from",
                )
            begun |= b"<LesHouchesEvents" in line
            prepared |= b"</init>" in line  # what stands before may quote anything
            ended |= b"</LesHouchesEvents" in line
            if prepared:
                count += line.count(b"<event>") + line.count(b"<event ")
    if not begun:
        raise FileFormatError(
            f"an LHE file at {path}", "a file without <LesHouchesEvents>", "check the path"
        )
    if not ended:
        raise FileFormatError(
            f"{_KIND} at {path}",
            f"one that breaks off after the beginning of event {count}",
            "copy the file again",
        )
    return count
