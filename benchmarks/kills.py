"""Kill commands at random moments, start them again, and compare with undisturbed runs.

::

    python benchmarks/kills.py --kills 200 --output benchmarks/results/kills.json
    python benchmarks/kills.py --kills 40 --of simulate workers --output some.json
    python benchmarks/kills.py --signal TERM --kills 1000 --of-workflow 0 --output some.json

Each command runs in a process that is forked from this one, which has imported
everything, so that the kills hit the work and not the loading of libraries; the workflow
runs as one starts it, by ``snakemake``. After each ``kill -9``, or the signal that is asked for,
every file that stands under its final name is opened and verified whole. Then the command runs
again to its end. What it gives has to be that of an undisturbed run bit for bit, and the folder
has to hold the same files. A signal that commands handle has to end them with its exit status.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from kills_commands import CASES, Case, checksum_of, prepare

from lfi_mflow.errors import LfiMflowError
from lfi_mflow.files import atomic_output
from lfi_mflow.provenance import provenance


@dataclass
class Count:
    """What became of the kills of one command.

    Arguments:
        seconds: How long an undisturbed run takes.
        kills: How many runs were killed before they had ended.
        resumed: After how many there was something to go on from: an output, a checkpoint, chunks.
        visible: After how many the output was already there.
        corrupt: How many files under a final name could not be verified.
        unheard: How many ended with an exit status that is not of the signal.
        unfinished: How many reruns did not end as the undisturbed run.
        different: How many gave something else than the undisturbed run.
        left: After how many reruns there were other files than after the undisturbed run.
        late: Runs whose output was whole by then, so that nobody would start them again.
        rests: Files beside it that kills left in them, by name.
    """

    seconds: float
    kills: int = 0
    resumed: int = 0
    visible: int = 0
    corrupt: int = 0
    unheard: int = 0
    unfinished: int = 0
    different: int = 0
    left: int = 0
    late: int = 0
    rests: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


class Campaign:
    """Kills one command again and again.

    Arguments:
        case: The command.
        made: The folder with what it needs.
        folder: Where the runs take place.
        rng: Source of the moments.
        number: The signal.
    """

    def __init__(
        self,
        case: Case,
        made: Path,
        folder: Path,
        rng: np.random.Generator,
        number: signal.Signals,
    ) -> None:
        self._case, self._rng, self._folder, self._signal = case, rng, folder, number
        self._arguments = tuple(word.replace("{made}", str(made)) for word in case.arguments)
        reference, start = self._fresh("reference"), time.monotonic()
        self._status = self._finish(reference)
        self.count = Count(time.monotonic() - start)
        self._wanted = {name: checksum_of(reference / name) for name in case.outputs}
        self._files = self._names(reference)

    def kill(self, number: int) -> None:
        """Kill a run, perhaps the one after it as well, and compare what comes in the end."""
        folder = self._fresh(f"run-{number}")
        for _ in range(1 + int(self._rng.random() < 0.3)):
            if not self._kill_once(folder) or self._whole(folder):
                break
        late = self._whole(folder)
        if not late:
            status = self._finish(folder)
            if status != self._status:
                self._fail("unfinished", f"{folder.name}: status {status}")
        found = {name: _checksum(folder / name) for name in self._case.outputs}
        if found != self._wanted:
            self._fail("different", f"{folder.name}: {found} instead of {self._wanted}")
        self._look_for_rests(folder, late=late)
        shutil.rmtree(folder)

    def _look_for_rests(self, folder: Path, *, late: bool) -> None:
        """Count the files that an undisturbed run does not leave."""
        rests = self._names(folder) - self._files
        self.count.late += late
        if late:
            for name in rests:
                self.count.rests[name] = self.count.rests.get(name, 0) + 1
        elif rests:
            self._fail("left", f"{folder.name}: {sorted(rests)}")

    def _kill_once(self, folder: Path) -> bool:
        """Start the command and kill it; return whether it was killed before its end."""
        child = self._start(folder)
        time.sleep(self._rng.uniform(0.0, self.count.seconds))
        os.killpg(child, self._signal) if _leads(child) else os.kill(child, self._signal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == self._status:
            return False
        if status not in (-self._signal, 128 + self._signal):
            self._fail("unheard", f"{folder.name}: status {status}")
        self.count.kills += 1
        there = [name for name in self._case.outputs if (folder / name).exists()]
        self.count.visible += bool(there)
        saved = [*folder.glob(".*.checkpoint"), *folder.glob(".*.partial/chunk-*.npz")]
        self.count.resumed += bool(there or saved)
        for name in there:
            if _checksum(folder / name) != self._wanted[name]:
                self._fail("corrupt", f"{folder.name}: {name}")
        return True

    def _start(self, folder: Path) -> int:
        """Start the command, or go on if there is something to go on from."""
        checkpoint = list(folder.glob(".*.checkpoint"))
        extra = self._case.resume if checkpoint else ()
        return self._case.start((*self._arguments, *extra), folder)

    def _finish(self, folder: Path) -> int:
        """Run the command to its end and return its exit status."""
        return os.waitstatus_to_exitcode(os.waitpid(self._start(folder), 0)[1])

    def _whole(self, folder: Path) -> bool:
        """Whether the outputs are there: the kill came after the work."""
        return all((folder / name).exists() for name in self._case.outputs)

    def _fresh(self, name: str) -> Path:
        """Return a new folder."""
        folder = self._folder / self._case.name / name
        folder.mkdir(parents=True)
        return folder

    def _names(self, folder: Path) -> set[str]:
        """Return the names of the files of ours in a folder."""
        return {path.name for path in folder.iterdir() if path.name != ".snakemake"}

    def _fail(self, kind: str, what: str) -> None:
        """Count a failure and say what it was."""
        setattr(self.count, kind, getattr(self.count, kind) + 1)
        self.count.failures.append(f"{kind}: {what}")
        print(f"{self._case.name}: {self.count.failures[-1]}", flush=True)


def _leads(child: int) -> bool:
    """Whether a child has made its group of processes by now."""
    return os.getpgid(child) == child


def _checksum(path: Path) -> int | None:
    """Return the checksum of a file, None if it is not there or not whole."""
    try:
        return checksum_of(path)
    except (LfiMflowError, OSError):
        return None


def campaign(
    kills: dict[str, int],
    number: signal.Signals,
    seed: int,
    report: Callable[[dict[str, Count]], None] = lambda _: None,
) -> dict[str, Count]:
    """Kill each command so many times.

    Arguments:
        kills: Number of kills by the name of the command.
        number: The signal.
        seed: Seed of the moments.
        report: Called with the counts so far, after each command.
    """
    rng, counts = np.random.default_rng(seed), {}
    with tempfile.TemporaryDirectory() as name:
        made = prepare(Path(name))
        for case in CASES:
            if not kills.get(case.name):
                continue
            runs = Campaign(case, made, Path(name), rng, number)
            counts[case.name] = runs.count
            for run in itertools.count():
                if runs.count.kills >= kills[case.name]:
                    break
                runs.kill(run)
            report(counts)
    return counts


def main() -> int:
    """Read the command line and run the campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="in total")
    parser.add_argument("--of-workflow", type=int, default=12, help="of them, of the workflow")
    all_but_workflow = [case.name for case in CASES if case.name != "workflow"]
    parser.add_argument(
        "--of", nargs="+", choices=all_but_workflow, help="commands that share the others (all)"
    )
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    names = options.of or all_but_workflow
    of_workflow = 0 if options.of else options.of_workflow
    share = -(-(options.kills - of_workflow) // len(names))
    kills = dict.fromkeys(names, share) | {"workflow": of_workflow}
    start = time.monotonic()

    def save(counts: dict[str, Count]) -> None:
        origin = {key: value for key, value in provenance().items() if key != "command"}
        table = {
            "kills": sum(count.kills for count in counts.values()),
            "failures": sum(len(count.failures) for count in counts.values()),
            "signal": options.signal,
            "seed": options.seed,
            "seconds": round(time.monotonic() - start),
            "commands": {name: asdict(count) for name, count in counts.items()},
            "provenance": origin | {"machine": platform.machine()},
        }
        with atomic_output(options.output) as temporary:
            temporary.write_text(json.dumps(table, indent=1) + "\n")

    counts = campaign(kills, signal.Signals[f"SIG{options.signal}"], options.seed, save)
    for name, count in counts.items():
        print(name, asdict(count))
    return int(any(count.failures for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
