"""The workers of a Dask cluster simulate: Slurm, HTCondor, Kubernetes, or two laptops.

The cluster is the user's, however it was started; only the address of its scheduler is
needed. Workers need this package, not torch. A worker that dies costs the chunks that it
had in work: Dask gives them to others.
"""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import importlib
import json
import os
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from lfi_mflow.errors import InputError, LfiMflowError, StorageError
from lfi_mflow.files import require_file
from lfi_mflow.simulation.contract import Simulator
from lfi_mflow.simulation.events import Events
from lfi_mflow.simulation.registry import code_digest, get_simulator
from lfi_mflow.simulation.runner import SimulationJob, simulate_chunk
from lfi_mflow.simulation.workers import Store, in_order

__all__ = ["DaskWorkers"]

_CONNECT_SECONDS = 20.0

# Numbers of malloc.h, and the largest threshold that glibc takes by itself.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_REUSED = 32 * 2**20


@dataclass(frozen=True)
class DaskWorkers:
    """All workers of a Dask cluster, those that join later as well.

    Arguments:
        address: Address of the scheduler, such as ``"tcp://head:8786"``, or the JSON file
            that it has written (``dask scheduler --scheduler-file``).
    """

    address: str

    def simulate(
        self, job: SimulationJob, indices: Iterable[int], store: Store | None = None
    ) -> Iterator[tuple[int, Events]]:
        """Yield the chunks with these numbers, in their order.

        Raises:
            InputError: If Dask is not installed, there is no scheduler at the address, or
                workers have other versions of what the events depend on.
            LfiMflowError: If the scheduler is lost, or a chunk kills worker after worker.
        """
        task, name = _task(job), f"lfi-mflow-{uuid.uuid4().hex}"
        with _explained(self.address), _connected(self.address) as client:

            def submit(index: int, store: Store | None = store) -> Any:
                key = f"{name}-{index}" + ("" if store else "-sent")
                return client.submit(_work, task, index, store, key=key, pure=False)

            def fetch(index: int, sent: Events | None) -> Events:
                if store is None:
                    return cast("Events", sent)
                if sent is None:
                    with suppress(FileNotFoundError):  # a folder of that name on another machine
                        return store.load(index)
                    sent = submit(index, None).result()
                store.save(index, sent)
                return sent

            for index, sent in in_order(indices, submit, lambda: sum(client.nthreads().values())):
                yield index, fetch(index, sent)


def _task(job: SimulationJob) -> str:
    """Write a job, and what its events depend on beside it, as JSON."""
    spec, colon, name = job.simulator.rpartition(":")
    if colon:  # the workers have other working directories
        job = dataclasses.replace(job, simulator=f"{Path(spec).resolve()}:{name}")
    simulator = get_simulator(job.simulator, job.settings)
    return json.dumps({"job": job.to_table(), "code": _code(simulator)}, sort_keys=True)


def _code(simulator: Simulator) -> dict[str, str | None]:
    """Return what has to be the same where a job is given and where it is done."""
    packages = {name: version(name) for name in ("lfi-mflow", "numpy")}
    return {**packages, "simulator": code_digest(simulator)}


def _work(task: str, index: int, store: Store | None) -> Events | None:
    """Simulate a chunk, on a worker; return it unless it could be stored from there."""
    job, simulator = _prepared(task, threading.get_ident())
    events = simulate_chunk(job, index, simulator)
    if store is not None:
        with suppress(OSError, StorageError):
            store.save(index, events)
            return None
    return events


@functools.lru_cache(maxsize=64)
def _prepared(task: str, thread: int) -> tuple[SimulationJob, Simulator]:
    """Build the simulator of a job once per thread: it need not be safe for several."""
    table = json.loads(task)
    job = SimulationJob.from_table(table["job"])
    simulator = get_simulator(job.simulator, job.settings)
    wanted, found = table["code"], _code(simulator)
    if found != wanted:
        names = [name for name in wanted if found[name] != wanted[name]]
        raise InputError(
            "Dask workers with " + ", ".join(f"{name} {wanted[name]}" for name in names),
            ", ".join(f"{name} {found[name]}" for name in names),
            "install the same versions for all workers: the events depend on them",
        )
    _let_memory_be_used_again()
    return job, simulator


def _let_memory_be_used_again() -> None:
    """Give malloc of glibc the thresholds that it finds by itself elsewhere.

    Dask's nannies set ``MALLOC_TRIM_THRESHOLD_``, and with that every larger array comes from
    the system and goes back to it, page by page: the Higgs events take twice as long.
    """
    chosen = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & set(os.environ)
    if chosen != {"MALLOC_TRIM_THRESHOLD_"}:  # no nanny, or somebody knows better
        return
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_REUSED)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_REUSED)


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Connect to a scheduler; in the end, drop what is in work."""
    distributed = _require_distributed()
    known = {"address": address}
    if address.endswith(".json"):  # Dask itself would wait for such a file
        known = {"scheduler_file": str(require_file(Path(address), "the file of a Dask scheduler"))}
    try:
        client = distributed.Client(
            **known,
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
        )
    except (OSError, ValueError) as error:  # a timeout is an OSError as well
        raise InputError(
            f"a Dask scheduler at {address}",
            f"none ({' '.join(str(error).split()) or type(error).__name__})",
            "give the address that `dask scheduler` prints, as tcp://HOST:PORT, or its "
            "--scheduler-file",
        ) from error
    with client:
        yield client


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Say in one line that workers or the scheduler are lost."""
    distributed = _require_distributed()
    try:
        yield
    except distributed.KilledWorker as error:
        raise LfiMflowError(
            "a chunk has ended several Dask workers one after the other, perhaps for lack of "
            "memory; use smaller chunks or larger workers, or --workers 1 to see the error"
        ) from error
    except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
        raise LfiMflowError(
            f"lost the Dask scheduler at {address}; the finished chunks are kept: start it again, "
            "and run the same command"
        ) from error


def _require_distributed() -> Any:
    """Import the package that speaks to Dask clusters."""
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise InputError(
            "the package distributed to simulate on a Dask cluster",
            "none",
            "install it with: pip install 'lfi-mflow[dask]'",
        ) from error
