"""Training events that stay in their file: for files larger than memory.

Every epoch reads the blocks of the file in random order. A thread reads and mixes as many
as fill a buffer while the events of the buffer before are trained on; they come to the
device in one piece, and batches are cut there. What is held is two buffers, whatever the
size of the file.

What an objective prepares and has fewer numbers than the event, as latents have, is
computed once and kept in a temporary file. (Several processes prepare each its own
share in every epoch instead.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.data import EventSource
from lfi_mflow.data.prefetch import prefetched
from lfi_mflow.data.shuffle import row_blocks, shuffled_rows
from lfi_mflow.simulation import Events
from lfi_mflow.training.distributed import Ranks
from lfi_mflow.training.events import (
    COLUMNS,
    Batch,
    Prepare,
    PreparedEvents,
    TrainingEvents,
    finite_events,
    finite_rows,
    validation_size,
)
from lfi_mflow.training.kept_events import KeptEvents
from lfi_mflow.training.moments import WeightedBlock, mean_and_spread, moments

__all__ = ["StreamedEvents"]

_BLOCK = 2**16


class StreamedEvents(TrainingEvents):
    """Events that stay in their file; the last of them are for validation.

    The rows have to be in random order, as ``lfi-mflow simulate`` writes them.

    Arguments:
        file: The open file, or several as one.
        dtype: Precision of the flow.
        device: Device of the flow.
        validation_fraction: Fraction of events for validation.
        columns: What is read of what there is; without weights events count equally.
    """

    def __init__(
        self,
        file: EventSource,
        *,
        dtype: torch.dtype,
        device: torch.device,
        validation_fraction: float,
        columns: Collection[str] = COLUMNS,
    ) -> None:
        self.file, self.dtype, self.device, self.columns = file, dtype, device, columns
        weighted = "weight" in columns and "weight" in file.columns
        counts, total = [], 0.0
        for block in prefetched(file.blocks(_BLOCK, columns)):
            good = finite_rows(block)
            counts.append(int(good.sum()))
            if weighted:
                total += float(np.asarray(block.weight)[good].sum(dtype=float))
        n = sum(counts)
        self._weight_scale = n / total if weighted else 1.0
        self.n_validation = validation_size(n, validation_fraction)
        self.n_train = n - self.n_validation
        self.first_validation = self._row_after(self.n_train, np.cumsum(counts))

    def _row_after(self, events: int, counts: NDArray[np.int64]) -> int:
        """Return the row after the first so many finite events; counts are those up to a block."""
        block = int(np.searchsorted(counts, events))
        missing = events - (int(counts[block - 1]) if block else 0)
        first = block * _BLOCK
        good = finite_rows(self.file.read(slice(first, first + _BLOCK), self.columns))
        return first + int(np.flatnonzero(good)[missing - 1]) + 1

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of the features in float64."""
        return moments(self._blocks("x"))

    def theta_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the parameters in float64, each (p,)."""
        return mean_and_spread(self._blocks("theta"))

    def validation_events(self) -> Iterator[Batch]:
        """The validation events in blocks."""
        prepared = _PreparedStream(self, lambda x, theta: x, Ranks())
        return prepared.validation(_BLOCK // 4)

    def prepare(self, function: Prepare) -> PreparedEvents:
        """Apply ``function`` to features and parameters: (B, d), (B, p) -> (B, *).

        Raises:
            StorageError: If the disk with the temporary files is full.
        """
        ranks = Ranks.current()
        stream = _PreparedStream(self, function, ranks)
        width = stream.some().prepared.shape[-1]
        if ranks.size > 1 or width >= len(self.file.metadata.observables):
            return stream
        return stream.kept()

    def on_host(self, events: Events) -> Batch:
        """Return events in the precision of the flow, ready to be brought to its device."""
        if events.weight is not None:
            events = dataclasses.replace(events, weight=events.weight * self._weight_scale)
        arrays: dict[str, Any] = {
            name: self._tensor(values) for name, values in events.columns().items()
        }
        return Batch(arrays.pop("x"), **arrays)

    def _blocks(self, column: str) -> Iterator[WeightedBlock]:
        """A column in blocks with the weights of its rows, in float64."""
        for block in prefetched(self.file.blocks(_BLOCK, self.columns)):
            events = finite_events(block)
            weight = events.weight
            values = torch.from_numpy(events.columns()[column]).double()
            yield values, None if weight is None else torch.from_numpy(weight).double()

    def _tensor(self, values: NDArray[np.floating]) -> Tensor:
        """Return an array in the precision of the flow, in memory that a GPU reads by itself."""
        tensor = torch.from_numpy(values).to(self.dtype)
        return tensor.pin_memory() if self.device.type == "cuda" else tensor


class _Chunk(NamedTuple):
    """Events of several batches on the host, and the sizes of this process's shares of them."""

    events: Batch
    shares: list[int]
    scales: list[float]


class _PreparedStream(PreparedEvents):
    """Prepared events that are read again in every epoch.

    Arguments:
        events: What they are read from, or where those were read from that were kept.
        function: What prepares them.
        ranks: The processes that share them.
        kept: Finite and prepared events, None to read those of the file.
    """

    def __init__(
        self,
        events: StreamedEvents,
        function: Prepare,
        ranks: Ranks,
        kept: KeptEvents | None = None,
    ) -> None:
        self._events, self._function, self._ranks, self._kept = events, function, ranks, kept
        self._first_validation = events.first_validation if kept is None else events.n_train
        self._last = len(events.file if kept is None else kept)

    def kept(self) -> _PreparedStream:
        """Prepare all events now, and keep the result."""
        starts = range(0, self._last, _BLOCK)
        with closing(prefetched(self._read(slice(s, s + _BLOCK)) for s in starts)) as blocks:
            kept = KeptEvents(
                (self._replaced(events) for events in blocks if len(events)),
                np.dtype(str(self._events.dtype).removeprefix("torch.")),
            )
        return _PreparedStream(self._events, lambda x, theta: x, self._ranks, kept)

    def _replaced(self, events: Events) -> Events:
        """Put what is prepared in the place of the features."""
        prepared = self._prepared(self._events.on_host(events)).prepared
        return dataclasses.replace(events, x=prepared.cpu().numpy())

    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""
        return max(1, self._events.n_train // batch_size)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """This process's share of shuffled batches of equal size."""
        left = self.steps(batch_size)
        with closing(prefetched(self._chunks(batch_size, seed))) as chunks:
            for chunk in chunks:
                cut = _split(self._prepared(chunk.events), chunk.shares[:left])
                for batch, scale in zip(cut, chunk.scales, strict=False):
                    yield batch._replace(scale=scale)
                left -= len(chunk.shares)

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order, every batch for one of the processes."""
        starts = range(self._first_validation, self._last, batch_size)
        starts = starts[self._ranks.rank :: self._ranks.size]
        blocks = (self._read(slice(s, min(s + batch_size, self._last))) for s in starts)
        with closing(prefetched(blocks)) as events:
            yield from (self._prepared(self._events.on_host(some)) for some in events if len(some))

    def some(self) -> Batch:
        """A representative part of the training events."""
        rows = slice(0, min(_BLOCK, self._first_validation))
        return self._prepared(self._events.on_host(self._read(rows)))

    def _chunks(self, batch_size: int, seed: int) -> Iterator[_Chunk]:
        """This process's shares of the training events of an epoch, mixed."""
        rows, rng = slice(0, self._first_validation), np.random.default_rng(seed)
        kept = self._kept is not None
        blocks = row_blocks(rows) if kept else self._events.file.stored_together(rows)
        stream = shuffled_rows(self._read, blocks, batch_size, rng)
        for events, order in stream:
            batches = [order[s : s + batch_size] for s in range(0, len(order), batch_size)]
            own = [rows[self._ranks.share(len(rows))] for rows in batches]
            if own:
                yield _Chunk(
                    self._events.on_host(events[np.concatenate(own)]),
                    [len(rows) for rows in own],
                    [self._ranks.scale(len(rows)) for rows in batches],
                )

    def _read(self, rows: slice) -> Events:
        """Read the finite events of some rows."""
        if self._kept is not None:
            return self._kept.read(rows)
        return finite_events(self._events.file.read(rows, self._events.columns))

    def _prepared(self, events: Batch) -> Batch:
        """Bring events to the device and prepare them."""
        events = events.to(self._events.device)
        blocks = zip(events.prepared.split(_BLOCK), events.theta.split(_BLOCK), strict=True)
        with torch.no_grad():
            return events._replace(prepared=torch.cat([self._function(*b) for b in blocks]))


def _split(events: Batch, sizes: list[int]) -> Iterator[Batch]:
    """Cut events into pieces of some sizes, without copies."""
    start = 0
    for size in sizes:
        yield events.take(slice(start, start + size))
        start += size
