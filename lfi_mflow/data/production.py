"""Producing an event file: simulated in chunks, resumable, reproducible.

Chunks are written to the file in their order while workers simulate those that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.spool import Spool, open_spool
from lfi_mflow.data.writer import write_events
from lfi_mflow.errors import DataError, Interrupted
from lfi_mflow.files import check_output
from lfi_mflow.interruption import interruptible
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events
from lfi_mflow.simulation.contract import Simulator
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.simulation.workers import Workers, simulate_chunks

__all__ = ["Production", "produce"]


@dataclass(frozen=True)
class Production:
    """What a production gave.

    Arguments:
        path: The event file.
        n_events: Number of events in it.
        resumed_at: Number of events that were there from an interrupted run.
        nonfinite: Number of events that were dropped as not finite.
    """

    path: Path
    n_events: int
    resumed_at: int
    nonfinite: int


def produce(
    job: SimulationJob,
    path: Path | str,
    *,
    workers: int | Workers = 1,
    force: bool = False,
    drop_nonfinite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Production:
    """Simulate the events of a job into an event file.

    Finished chunks are kept in a folder beside the output until the file is
    complete: the same job continues there after an interruption. The datasets
    are the same byte for byte whatever the interruptions and the workers.

    Arguments:
        job: What to simulate.
        path: The event file to write.
        workers: Who simulates, or a number of processes.
        force: Replace a file that exists.
        drop_nonfinite: Leave out events with NaN or infinite values and count them
            in the metadata, instead of failing.
        progress: Called with the number of events simulated so far, first with
            those of an interrupted run.

    Raises:
        InputError: If the output exists, or an unfinished job there is another one.
        DataError: If an event is not finite and ``drop_nonfinite`` is false.
        StorageError: If the disk is full; the finished chunks are kept.
        Interrupted: If Ctrl-C was pressed; the finished chunks are kept.
        LfiMflowError: If workers die and it cannot go on without; so are they then.
    """
    path = check_output(Path(path), force=force)
    simulator = get_simulator(job.simulator, job.settings)
    with open_spool(path, job, simulator) as spool:
        run = _Run(job, simulator, spool, drop_nonfinite, progress)
        try:
            with interruptible():
                n_events = write_events(path, run.metadata, run.batches(workers), force=force)
        except KeyboardInterrupt as error:
            raise Interrupted(
                f"stopped after {run.done} of {job.n_events} events; "
                f"run the same command again to continue at event {run.done}"
            ) from error
        spool.remove()
    return Production(path, n_events, run.resumed_at, run.counts.get("nonfinite", 0))


class _Run:
    """One run of a job.

    Attributes:
        done: Number of events that were simulated, by this run and those before.
        resumed_at: Number of events that were there from an interrupted run.
        counts: Number of events that were dropped, by reason.
        metadata: What the event file says; its counts are filled by :meth:`batches`.
    """

    def __init__(
        self,
        job: SimulationJob,
        simulator: Simulator,
        spool: Spool,
        drop_nonfinite: bool,
        progress: Callable[[int], None] | None,
    ) -> None:
        self._job, self._spool, self._drop_nonfinite = job, spool, drop_nonfinite
        self._observables = tuple(observable.name for observable in simulator.observables)
        self._progress = progress or (lambda done: None)
        self.done = self.resumed_at = 0
        self.counts: dict[str, int] = {}
        self.metadata = EventMetadata(
            parameters=tuple(simulator.parameters),
            observables=tuple(simulator.observables),
            manifold_dim=simulator.manifold_dim,
            simulator=job.simulator,
            settings=dict(job.settings),
            seed=job.seed,
            prior=None if job.prior is None else job.prior.to_table(),
            provenance=provenance(),
            counts=self.counts,
        )

    def batches(self, workers: int | Workers) -> Iterator[Events]:
        """Yield the events in order, without those that are not finite.

        Chunks come from the spool, or are simulated and left there.
        """
        finished = self._spool.finished(self._job)
        self.done = self.resumed_at = sum(map(self._job.chunk_length, finished))
        self._progress(self.done)
        missing = (index for index in range(self._job.n_chunks) if index not in finished)
        simulated = simulate_chunks(self._job, missing, workers, self._spool)
        dropped = 0
        # Closed at once when something goes wrong, so that no worker outlives the run.
        with closing(cast("Generator[tuple[int, Events]]", simulated)) as chunks:
            for index in range(self._job.n_chunks):
                is_new = index not in finished
                events = next(chunks)[1] if is_new else self._spool.load(index)
                self.done += len(events) * is_new
                keep = self._keep(index, events)
                if is_new:
                    self._progress(self.done)
                yield events if keep.all() else events[keep]
                dropped += len(events) - int(keep.sum())
        if dropped:
            self.counts["nonfinite"] = dropped

    def _keep(self, index: int, events: Events) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Return which events are finite.

        Raises:
            DataError: If some are not and they are not to be dropped.
        """
        finite = np.isfinite(events.x)
        keep = np.asarray(finite.all(axis=1))
        if self._drop_nonfinite or keep.all():
            return keep
        counts = zip(self._observables, (~finite).sum(axis=0), strict=True)
        where = ", ".join(f"{name}: {count}" for name, count in counts if count)
        first = index * self._job.chunk_size + int(np.argmin(keep))
        raise DataError(
            f"finite events from {self._job.simulator}",
            f"{int((~keep).sum())} of {len(events)} with NaN or infinite values ({where}), "
            f"the first is event {first}",
            "mend the simulator, or add --drop-nonfinite to leave them out and count them",
        )
