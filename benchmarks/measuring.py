"""How the benchmarks measure: sizes, times, and results that survive an interruption."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from lfi_mflow.files import atomic_output

__all__ = ["SCALE", "Results", "machine", "median_seconds", "scaled", "turns"]

SCALE = float(os.environ.get("LFI_MFLOW_BENCHMARK_SCALE", "1"))
"""Below one everything is smaller: a check that it runs, not a measurement."""


def scaled(size: int, least: int = 1) -> int:
    """Return a size, made smaller by the scale."""
    return max(least, round(SCALE * size))


def median_seconds(work: Callable[[], Any], *, rounds: int = 5, least: float = 0.0) -> float:
    """Median time of some rounds after one to warm up, and of more until they take ``least``."""
    return turns({"": work}, rounds=rounds, least=least)[""]


def turns(
    works: Mapping[str, Callable[[], Any]], *, rounds: int = 5, least: float = 0.0
) -> dict[str, float]:
    """Median times of works that take turns: what the machine does meanwhile hits all of them.

    Arguments:
        works: What is measured, by name.
        rounds: How often each is done, after once to warm up.
        least: Seconds that the rounds take together; more are added until they do.
    """
    for work in works.values():
        work()
    taken: dict[str, list[float]] = {name: [] for name in works}
    end = time.perf_counter() + least * min(SCALE, 1.0)
    count = 0
    while count < scaled(rounds, least=2) or time.perf_counter() < end:
        for name, work in works.items():
            start = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - start)
        count += 1
    return {name: statistics.median(values) for name, values in taken.items()}


def machine() -> dict[str, Any]:
    """Describe what something was measured on and with."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "scale": SCALE,
    }


def _processor() -> str:
    """Name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


class Results:
    """A JSON file of rows by name that grows row by row.

    Rows that are there are not measured again, unless they come from another machine,
    another number of threads or another scale: then the file is begun anew.

    Arguments:
        path: The file.
        force: Begin anew in any case.
    """

    def __init__(self, path: Path, *, force: bool = False) -> None:
        self.path = path
        here = machine()
        table = {} if force or not path.exists() else json.loads(path.read_text())
        if table.get("machine") != here:
            table = {"machine": here, "rows": {}}
        self.table: dict[str, Any] = table

    @property
    def rows(self) -> dict[str, Any]:
        """What has been measured."""
        return self.table["rows"]

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """Return a row, measured if it is not there yet, and saved at once."""
        if name not in self.rows:
            self.rows[name] = work()
            print(name, json.dumps(self.rows[name]), flush=True)
            with atomic_output(self.path) as temporary:
                temporary.write_text(json.dumps(self.table, indent=1) + "\n")
        return self.rows[name]
