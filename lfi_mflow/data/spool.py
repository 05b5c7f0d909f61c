"""The chunks of an unfinished production, in a folder beside its output.

``.events.h5.partial/`` holds ``job.json``, which says what is being produced, and one file
per finished chunk, from whoever simulated it. A chunk is written under a temporary name and
renamed, so that after a kill it is there or not; the checksums inside tell the rare one that a
crash of the machine has damaged, which is then simulated again.
"""

from __future__ import annotations

import json
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from lfi_mflow.errors import InputError
from lfi_mflow.files import atomic_output, explain_storage_errors, locked_output
from lfi_mflow.simulation import Events
from lfi_mflow.simulation.contract import Simulator
from lfi_mflow.simulation.registry import code_digest
from lfi_mflow.simulation.runner import SimulationJob

__all__ = ["Spool", "open_spool"]

_VERSION = 1


class Spool:
    """The finished chunks of a job.

    Arguments:
        folder: Where they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def finished(self, job: SimulationJob) -> set[int]:
        """Return the numbers of the chunks that are there and whole.

        No chunk is asked for that is not there: some network file systems would keep saying
        so for a while after another machine has written it.
        """
        there = {path.name for path in self.folder.iterdir()}
        return {
            index
            for index in range(job.n_chunks)
            if self._path(index).name in there and self._is_whole(index)
        }

    def save(self, index: int, events: Events) -> None:
        """Write a chunk.

        Raises:
            StorageError: If the disk is full.
        """
        path = self._path(index)
        # A name of its own: a worker of a run that was killed may still be writing.
        temporary = path.with_suffix(f".{secrets.token_hex(4)}.tmp")
        # Not synced to the disk: a chunk that a power cut damages is simulated again.
        with explain_storage_errors(path):
            try:
                with temporary.open("wb") as handle:
                    np.savez(handle, **events.columns())  # type: ignore[arg-type]
                temporary.replace(path)
            finally:
                with suppress(FileNotFoundError):
                    temporary.unlink()

    def load(self, index: int) -> Events:
        """Read a chunk."""
        with np.load(self._path(index), allow_pickle=False) as arrays:
            return Events(**{name: arrays[name] for name in arrays.files})

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        """Return where a chunk is."""
        return self.folder / f"chunk-{index:08d}.npz"

    def _is_whole(self, index: int) -> bool:
        """Whether a chunk has correct checksums."""
        try:
            with zipfile.ZipFile(self._path(index)) as archive:
                return archive.testzip() is None
        except (zipfile.BadZipFile, OSError, EOFError):
            return False


@contextmanager
def open_spool(output: Path, job: SimulationJob, simulator: Simulator) -> Iterator[Spool]:
    """Open the spool of a job beside its output, and keep other runs out of it.

    Raises:
        InputError: If the folder belongs to another job, or another run works in it.
        StorageError: If the disk is full.
    """
    # Absolute: workers have other working directories.
    folder = output.absolute().with_name(f".{output.name}.partial")
    wanted = {"version": _VERSION, "job": job.to_table(), "code": code_digest(simulator)}
    with locked_output(output):
        with explain_storage_errors(folder):
            folder.mkdir(exist_ok=True)
        _claim(folder, wanted)
        yield Spool(folder)


def _claim(folder: Path, wanted: dict[str, Any]) -> None:
    """Note what is produced in the folder, or check that it is the same."""
    path = folder / "job.json"
    wanted = json.loads(json.dumps(wanted))
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = {}
    if found == wanted:
        return
    if any(folder.glob("chunk-*.npz")):
        raise InputError(
            f"the unfinished job in {folder} to be the same",
            f"another one (different: {_difference(found, wanted)})",
            f"give the same options to continue it, or drop it with: rm -r {folder}",
        )
    with atomic_output(path) as temporary:
        temporary.write_text(json.dumps(wanted, indent=1), encoding="utf-8")


def _difference(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name what differs between two jobs."""
    if found.get("job") == wanted["job"]:
        return "the code of the simulator"
    before, now = found.get("job", {}), wanted["job"]
    changed = [key for key in now if before.get(key) != now[key]]
    return ", ".join(f"{key} was {before.get(key)}, is {now[key]}" for key in changed)
