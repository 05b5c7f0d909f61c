"""Events of a file in random order, with bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from lfi_mflow.simulation import Events

__all__ = ["shuffled_batches"]


def shuffled_batches(
    read: Callable[[slice], Events],
    blocks: Sequence[slice],
    batch_size: int,
    buffer_rows: int,
    rng: np.random.Generator,
) -> Iterator[Events]:
    """Yield every event of the blocks once, in random order, as batches.

    The blocks are visited in random order. As many as fill ``buffer_rows`` are
    read together and mixed event by event; when less than one batch is left,
    the rest goes into the next mix. The order is a uniform permutation if all
    blocks fit into the buffer.

    Arguments:
        read: Returns the events of a block.
        blocks: Rows that are stored together.
        batch_size: Events per batch; only the last batch may be smaller.
        buffer_rows: Events to hold in memory.
        rng: Source of the order.
    """
    order = [blocks[index] for index in rng.permutation(len(blocks))]
    rest: list[Events] = []
    while order:
        buffer = rest
        while order and sum(map(len, buffer)) < max(buffer_rows, batch_size):
            buffer.append(read(order.pop()))
        mixed = Events.concatenate(buffer)
        permutation = rng.permutation(len(mixed))
        last = len(mixed) if not order else len(mixed) - len(mixed) % batch_size
        for start in range(0, last, batch_size):
            yield mixed[permutation[start : min(start + batch_size, last)]]
        rest = [mixed[permutation[last:]]]
