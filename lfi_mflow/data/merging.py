"""One event file of several: what many jobs have simulated, to be trained on together."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.store import EventFile, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events

__all__ = ["merge_events"]

_SAME = ("parameters", "observables", "manifold_dim", "simulator", "settings")
"""What files must agree on; their priors and seeds may differ."""


def merge_events(
    paths: Sequence[Path | str],
    output: Path | str,
    *,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write the events of several files to one, and return their number.

    Every part of the output holds its share of each file, in the order of that file. If the
    rows of each are in random order, so are those of the output, as streaming and the
    validation events at the end want them.

    Arguments:
        paths: The event files, two or more, with different events of one kind.
        output: The event file to write.
        force: Replace an output that exists.
        progress: Called with the number of rows done so far.

    Raises:
        InputError: If there are fewer than two files, or the output exists.
        DataError: If the files do not fit together, or two hold the same events.
        StorageError: If the disk is full; an old file stays as it was.
    """
    if len(paths) < 2:
        raise InputError("two event files or more", str(len(paths)), "name what is to be merged")
    with ExitStack() as stack:
        files = [stack.enter_context(EventFile(path)) for path in paths]
        for file in files[1:]:
            _check_kind(files[0], file)
        _check_different(files)
        return write_events(output, _metadata(files), _interleaved(files, progress), force=force)


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
    of_first, of_other = (file.read(slice(0, 1)).x.dtype.name for file in (first, other))
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
    """What is known of all events; the prior if it is one."""
    first = files[0].metadata
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
        provenance={**provenance(), "merged_from": json.dumps(merged)},
        counts=dict(counts),
    )


def _interleaved(
    files: Sequence[EventFile], progress: Callable[[int], None] | None
) -> Iterator[Events]:
    """Yield all events: of each file the same share at a time."""
    shares = -(-max(map(len, files)) // CHUNK_ROWS)
    done = 0
    for share in range(shares):
        for file in files:
            start, stop = (len(file) * edge // shares for edge in (share, share + 1))
            if start < stop:
                yield file.read(slice(start, stop))
                done += stop - start
        if progress is not None:
            progress(done)
