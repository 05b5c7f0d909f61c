"""Events of a file in random order, with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.columns import CHUNK_ROWS
from lfi_mflow.simulation import Events

__all__ = ["cut_batches", "row_blocks", "shuffled_batches", "shuffled_chunks", "shuffled_rows"]

_BUFFER_BYTES = 32 * 2**20


def shuffled_batches(
    read: Callable[[slice], Events],
    blocks: Sequence[slice],
    batch_size: int,
    buffer_rows: int,
    rng: np.random.Generator,
) -> Iterator[Events]:
    """Yield every event of the blocks once, in random order, as batches.

    The arguments are those of :func:`shuffled_chunks`; only the last batch may be smaller
    than ``batch_size``.
    """
    return cut_batches(shuffled_chunks(read, blocks, batch_size, buffer_rows, rng), batch_size)


def cut_batches(
    chunks: Iterable[tuple[Events, NDArray[np.int64]]], batch_size: int
) -> Iterator[Events]:
    """Cut what :func:`shuffled_chunks` yields into batches."""
    for events, order in chunks:
        for start in range(0, len(order), batch_size):
            yield events[order[start : start + batch_size]]


def shuffled_chunks(
    read: Callable[[slice], Events],
    blocks: Sequence[slice],
    batch_size: int,
    buffer_rows: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Events, NDArray[np.int64]]]:
    """Yield every event of the blocks once, as many at a time as are mixed with each other.

    The blocks are visited in random order. As many as fill ``buffer_rows`` are
    read together and mixed event by event; when less than one batch is left,
    the rest goes into the next mix. The order is a uniform permutation if all
    blocks fit into the buffer.

    Arguments:
        read: Returns the events of a block, or those of them that take part.
        blocks: Rows that are stored together.
        batch_size: Events per batch.
        buffer_rows: Events to hold in memory.
        rng: Source of the order.

    Yields:
        Events, and the numbers of those that come next in their order, each once: whole
        batches, and in the end what is left.
    """
    order = [blocks[index] for index in rng.permutation(len(blocks))]
    rest: list[Events] = []
    while order:
        buffer = rest
        while order and sum(map(len, buffer)) < max(buffer_rows, batch_size):
            buffer.append(read(order.pop()))
        mixed = Events.concatenate(buffer)
        buffer.clear()
        permutation = rng.permutation(len(mixed))
        last = len(mixed) if not order else len(mixed) - len(mixed) % batch_size
        yield mixed, permutation[:last]
        rest = [mixed[permutation[last:]]]


def shuffled_rows(
    read: Callable[[slice], Events],
    blocks: Sequence[slice],
    batch_size: int,
    rng: np.random.Generator,
    buffer_rows: int | None = None,
) -> Iterator[tuple[Events, NDArray[np.int64]]]:
    """Yield every event of the blocks once, see :func:`shuffled_chunks`.

    Arguments:
        read: Returns the events of some rows, or those of them that take part.
        blocks: Rows that are stored together.
        batch_size: Events per batch.
        rng: Source of the order.
        buffer_rows: Events to hold in memory and mix, by default as many as fill 32 MiB.
    """
    if buffer_rows is None:
        first = blocks[0].start if blocks else 0
        arrays = read(slice(first, first + 1)).columns().values()  # perhaps no event
        row_bytes = sum(array.itemsize * math.prod(array.shape[1:]) for array in arrays)
        buffer_rows = _BUFFER_BYTES // row_bytes
    return shuffled_chunks(read, blocks, batch_size, buffer_rows, rng)


def row_blocks(rows: slice) -> list[slice]:
    """Cut rows into the chunks in which arrays are stored."""
    starts = range(rows.start, rows.stop, CHUNK_ROWS)
    return [slice(start, min(start + CHUNK_ROWS, rows.stop)) for start in starts]
