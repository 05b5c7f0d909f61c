"""Does everything stay below 2 GiB on a file of 10 million events?

Each command runs in a process of its own; its peak resident memory is what the
operating system says when it ends.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EVENTS = 10_000_000
LIMIT = 2 * 2**30
TRAINING = """
[settings.chart]
layers = 1

[[phases]]
name = "chart"
objective = "reconstruction"
epochs = 1
batch_size = 10000
learning_rate = 1e-2

[[phases]]
name = "latent"
objective = "latent-likelihood"
epochs = 1
batch_size = 10000
learning_rate = 3e-3
"""


def peak_memory(*arguments: str, folder: Path) -> int:
    """Run the command line and return its peak resident memory in bytes."""
    command = [sys.executable, "-m", "lfi_mflow.cli.main", *arguments]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, arguments
    return usage.ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_ten_million_events(benchmark: Any, tmp_path: Path) -> None:
    """Simulate, train one epoch per phase, infer from all events: peak memory of each."""
    steps = {
        "simulate": f"simulate polynomial-surface -n {EVENTS} --seed 1 -o events.h5",
        "train": "train events.h5 --config run.toml -o model.mflow",
        "simulate_observed": f"simulate polynomial-surface -n {EVENTS} --theta 0 --seed 2 -o o.h5",
        # the posterior is 0.0005 wide: a wider prior only makes the grid look for it
        "infer": "infer model.mflow --observed o.h5 --method grid -o posterior.nc",
    }
    extra = {"infer": ["--prior", "uniform(-0.002, 0.002)"]}
    (tmp_path / "run.toml").write_text(TRAINING)
    peaks = {}

    def run() -> None:
        for name, arguments in steps.items():
            command = [*arguments.split(), *extra.get(name, [])]
            peaks[name] = peak_memory(*command, folder=tmp_path)

    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak_bytes"] = peaks
    benchmark.extra_info["limit_bytes"] = LIMIT
    assert max(peaks.values()) < LIMIT
