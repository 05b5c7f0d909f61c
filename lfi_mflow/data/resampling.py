"""Event files with positive weights, or with none, from weighted ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.store import EventFile, write_events
from lfi_mflow.errors import DataError, InputError
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import (
    Events,
    ResampledCells,
    WeightSummary,
    resample_cells,
    systematic_counts,
)

__all__ = ["Resampled", "resample_events"]

Progress = Callable[[int], None]
Array = NDArray[np.float64]

_REMEDY = "simulate more events"


@dataclass(frozen=True)
class Resampled:
    """What a resampling gave.

    Arguments:
        n_events: Number of events that were written.
        before: The weights that were read.
        after: The positive weights that events were drawn with, or that were written.
        distinct: How many different events were written.
        cells: The cells that signed weights were shared out in, None if there were none.
    """

    n_events: int
    before: WeightSummary
    after: WeightSummary
    distinct: int
    cells: ResampledCells | None

    @property
    def repeated(self) -> int:
        """How many of the events are copies of others."""
        return self.n_events - self.distinct


def resample_events(
    path: Path | str,
    output: Path | str,
    n: int | None = None,
    *,
    seed: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> Resampled:
    """Write events of equal weight, or of positive weights, that follow those of a file.

    Signed weights are made positive first, in cells of neighbours in the space of
    features and, where they differ, parameters; this takes all events into memory. Then
    n events are drawn in proportion to the weights; their order stays that of the file,
    so that copies of an event stand together.

    Arguments:
        path: The event file.
        output: The event file to write.
        n: Number of events to draw; None writes all events with positive weights.
        seed: Seed of the draws.
        force: Replace an output that exists.
        progress: Called with the number of rows done so far.

    Raises:
        InputError: If the output exists, or there is nothing to do.
        DataError: If there are no weights, they have no positive sum, or fewer than 50
            events are effective.
        StorageError: If the disk is full; an old file stays as it was.
    """
    path = Path(path)
    with EventFile(path) as file:
        weight, cells, before = _positive_weights(file, n)
        after = WeightSummary.of([weight])
        after.check(f"in {path}", _REMEDY)
        counts = None if n is None else _draw(weight, n, seed)
        origin = {
            "resampled_from": str(path),
            "resampled_sum_of_weights": repr(before.total),
            "resampled_seed": str(seed),
        }
        metadata = dataclasses.replace(
            file.metadata,
            provenance={**file.metadata.provenance, **provenance(), **origin},
        )
        blocks = _resampled(file, weight, counts, cells is not None, progress)
        written = write_events(output, metadata, blocks, force=force)
    distinct = written if counts is None else int(np.count_nonzero(counts))
    return Resampled(written, before, after, distinct, cells)


def _positive_weights(
    file: EventFile, n: int | None
) -> tuple[Array, ResampledCells | None, WeightSummary]:
    """Return positive weights, the cells that made them, and a summary of what they were."""
    if n is not None and n < 1:
        raise InputError("at least one event to draw", str(n), "give a larger number")
    if "weight" not in file.columns:
        raise DataError(f"events with weights in {file.path}", "none", "use them as they are")
    weight = np.concatenate([np.asarray(b, dtype=float) for b in file.column_blocks("weight")])
    if not np.isfinite(weight).all():
        row = int(np.argmin(np.isfinite(weight)))
        raise DataError(
            f"finite weights in {file.path}", f"{weight[row]} in row {row}", "mend the file"
        )
    before = WeightSummary.of([weight])
    if not before.negative:
        if n is None:
            raise InputError(
                f"a number of events to draw from {file.path}, whose weights are positive already",
                "none",
                "give -n N",
            )
        return weight, None, before
    events = file.read()
    cells = resample_cells(np.concatenate([events.x, events.theta], axis=1), weight)
    return cells.weight, cells, before


def _draw(weight: Array, n: int, seed: int) -> NDArray[np.int64]:
    """Draw events, and say how often each."""
    return systematic_counts(weight, n, np.random.default_rng(seed))


def _resampled(
    file: EventFile,
    weight: Array,
    counts: NDArray[np.int64] | None,
    signed: bool,
    progress: Progress | None,
) -> Iterator[Events]:
    """Yield the events with their new weights, or the draws."""
    mean, first = weight.mean(), 0
    for events in file.blocks():
        rows = slice(first, first + len(events))
        first += len(events)
        components = None
        if events.components is not None and not signed:
            # Those of a proposal over its weight: their means over the draws stay the same.
            with np.errstate(divide="ignore", invalid="ignore"):
                components = events.components * (mean / weight[rows])[:, None]
        changed = dataclasses.replace(
            events, weight=weight[rows] if counts is None else None, components=components
        )
        if counts is not None:
            changed = changed[np.repeat(np.arange(len(events)), counts[rows])]
        yield changed
        if progress is not None:
            progress(first)
