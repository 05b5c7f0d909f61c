"""Making the next things while the present one is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetched"]

T = TypeVar("T")


def prefetched(items: Iterable[T], depth: int = 1) -> Generator[T]:
    """Yield the items, made by a thread ahead of their use.

    Reading a file and mixing its rows leave Python's lock free, so that the caller
    computes meanwhile. An error is raised where its item would have come. Closing the
    iterator ends the thread.

    Arguments:
        items: What makes the items when it is iterated over; the thread does that.
        depth: How many items may wait.
    """
    iterator, end = iter(items), object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    try:
        pending = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := pending.popleft().result()) is not end:
            pending.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]
            del item  # or it would be kept while the next one is waited for
    finally:
        pool.shutdown(cancel_futures=True)
