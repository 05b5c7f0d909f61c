"""Who simulates the chunks of a job: this process, or several of this machine.

:mod:`lfi_mflow.simulation.dask_workers` has those of a cluster. The events of a job are the
same whoever makes them.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

from lfi_mflow.errors import InputError, LfiMflowError
from lfi_mflow.simulation.contract import Simulator
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob, simulate_chunk

__all__ = ["AHEAD", "Processes", "Store", "ThisProcess", "Workers", "in_order", "simulate_chunks"]

Chunk_co = TypeVar("Chunk_co", covariant=True)

AHEAD = 2
"""Chunks that are computed ahead of the one that is waited for, per worker."""


class Workers(Protocol):
    """Who simulates the chunks of a job."""

    def simulate(
        self, job: SimulationJob, indices: Iterable[int], store: Store | None = None
    ) -> Iterator[tuple[int, Events]]:
        """Yield the chunks with these numbers, in their order, see :func:`simulate_chunks`."""


class Store(Protocol):
    """A place on disk for chunks, by their numbers. It can be pickled."""

    def save(self, index: int, events: Events) -> None:
        """Keep a chunk."""

    def load(self, index: int) -> Events:
        """Return a chunk that was kept."""


class Promise(Protocol[Chunk_co]):
    """A chunk that is being simulated."""

    def result(self) -> Chunk_co:
        """Wait for it."""


@dataclass(frozen=True)
class ThisProcess:
    """One chunk after the other, here."""

    def simulate(
        self, job: SimulationJob, indices: Iterable[int], store: Store | None = None
    ) -> Iterator[tuple[int, Events]]:
        """Yield the chunks with these numbers, in their order."""
        simulator = get_simulator(job.simulator, job.settings)
        for index in indices:
            events = simulate_chunk(job, index, simulator)
            if store is not None:
                store.save(index, events)
            yield index, events


@dataclass(frozen=True)
class Processes:
    """Some processes of this machine.

    Arguments:
        count: How many.
    """

    count: int

    def simulate(
        self, job: SimulationJob, indices: Iterable[int], store: Store | None = None
    ) -> Iterator[tuple[int, Events]]:
        """Yield the chunks with these numbers, in their order.

        A store takes them from the processes themselves: to send them through a pipe would
        cost this process more than to read them.

        Raises:
            LfiMflowError: If a process dies.
        """
        try:
            with _worker_pool(job, store, self.count) as pool:
                found = in_order(
                    indices, lambda index: pool.submit(_work, index), lambda: self.count
                )
                for index, events in found:
                    yield index, cast("Store", store).load(index) if events is None else events
        except BrokenProcessPool as error:
            raise LfiMflowError(
                "a worker process died, perhaps for lack of memory; use fewer workers or smaller "
                "chunks, or one worker to see its error"
            ) from error


def simulate_chunks(
    job: SimulationJob,
    indices: Iterable[int],
    workers: int | Workers = 1,
    store: Store | None = None,
) -> Iterator[tuple[int, Events]]:
    """Simulate some chunks of a job and yield them in the order of ``indices``.

    Closing the iterator, an error or Ctrl-C stops the workers.

    Arguments:
        job: The job.
        indices: Numbers of the chunks.
        workers: Who simulates them, or a number of processes; 1 works in this process.
            The events do not depend on it.
        store: Where each chunk is to be kept as well, before it is yielded.

    Yields:
        The number of each chunk and its events.

    Raises:
        InputError: If ``workers`` is less than 1, or as
            :func:`lfi_mflow.simulation.simulate_chunk`.
        LfiMflowError: If workers die and the work cannot go on without them.
    """
    if isinstance(workers, int):
        if workers < 1:
            raise InputError("at least 1 worker", str(workers), "give a larger number")
        workers = ThisProcess() if workers == 1 else Processes(workers)
    yield from workers.simulate(job, indices, store)


def in_order(
    indices: Iterable[int], submit: Callable[[int], Promise[Chunk_co]], count: Callable[[], int]
) -> Iterator[tuple[int, Chunk_co]]:
    """Keep workers busy with a bounded number of chunks, and yield these in order.

    Arguments:
        indices: Numbers of the chunks.
        submit: Has a chunk simulated.
        count: Says how many workers there are at the moment.
    """
    remaining = iter(indices)
    pending: deque[tuple[int, Promise[Chunk_co]]] = deque()

    def fill() -> None:
        room = AHEAD * max(1, count()) - len(pending)
        for index in itertools.islice(remaining, max(0, room)):
            pending.append((index, submit(index)))

    fill()
    while pending:
        index, promise = pending.popleft()
        chunk = promise.result()
        del promise  # a worker that keeps the events for it can forget them
        fill()
        yield index, chunk


@contextmanager
def _worker_pool(
    job: SimulationJob, store: Store | None, workers: int
) -> Iterator[ProcessPoolExecutor]:
    """Start processes that know the job; drop what they have not begun in the end."""
    # A forked child of a process with threads can hang: every worker starts afresh.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _start_worker, (job, store))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


# What a worker process works on; set once in every worker, never in this process.
_worker: tuple[SimulationJob, Simulator, Store | None] | None = None


def _start_worker(job: SimulationJob, store: Store | None) -> None:
    """Prepare a worker: build the simulator once, and leave quietly at Ctrl-C."""
    global _worker  # noqa: PLW0603 - a pool has no other place for what a process keeps
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _worker = job, get_simulator(job.simulator, job.settings), store


def _leave_with_parent() -> None:
    """End this worker when its parent dies, even by kill -9: nobody else would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(index: int) -> Events | None:
    """Simulate a chunk in a worker; it stays in the store, if there is one."""
    if _worker is None:
        raise LfiMflowError("a worker was not started by simulate_chunks; use that")
    job, simulator, store = _worker
    events = simulate_chunk(job, index, simulator)
    if store is None:
        return events
    store.save(index, events)
    return None
