"""Does everything stay below 2 GiB on a file of 10 million events, and training on one of 100?

Each command runs in a process of its own; its peak resident memory is what the
operating system says when it ends.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from measuring import scaled

from lfi_mflow.flows import load_model

EVENTS = 10_000_000
LIMIT = 2 * 2**30
PHASES = """
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
TRAINING = """
[settings.chart]
layers = 1
"""
# A hundred million events are a question to the reading and not to the model: networks are small.
SMALL = """
validation_fraction = 0.01

[settings.chart]
layers = 1
hidden = 8
blocks = 1

[settings.latent]
transforms = 1
hidden = 8
"""

# What `infer` does with events, at three values of theta instead of the hundreds of a posterior,
# which at 10 million events would take hours.
INFER = """
import torch
from lfi_mflow.data import read_observed
from lfi_mflow.flows import load_model
from lfi_mflow.inference import EventSetLikelihood, off_manifold_events, off_manifold_p_value

model = load_model("model.mflow")
x = read_observed("o.h5", None, model.metadata.events.observable_names)[0].x
likelihood = EventSetLikelihood(model.flow, torch.as_tensor(x).float())
with torch.no_grad():
    likelihood(torch.linspace(-0.01, 0.01, 3)[:, None])
distances = likelihood.encoded.distance.double().numpy()
quantiles = model.metadata.training["distance_quantiles"]
off_manifold_p_value(distances, quantiles, model.metadata.training["n_validation"])
off_manifold_events(distances, quantiles)
"""


def peak_memory(*arguments: str, folder: Path) -> int:
    """Run Python and return its peak resident memory in bytes."""
    process = subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return usage.ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_ten_million_events(benchmark: Any, tmp_path: Path) -> None:
    """Simulate, train one epoch per phase, likelihood of all events: peak memory of each."""
    (tmp_path / "run.toml").write_text(TRAINING + PHASES)
    cli = ["-m", "lfi_mflow.cli.main"]
    simulate = [*cli, "simulate", "polynomial-surface", "-n", str(EVENTS)]
    steps = {
        "simulate": [*simulate, "--seed", "1", "-o", "events.h5"],
        "train": [*cli, "train", "events.h5", "--config", "run.toml", "-o", "model.mflow"],
        "simulate_observed": [*simulate, "--theta", "0", "--seed", "2", "-o", "o.h5"],
        "infer": ["-c", INFER],
    }
    peaks = {}

    def run() -> None:
        for name, arguments in steps.items():
            peaks[name] = peak_memory(*arguments, folder=tmp_path)

    benchmark.pedantic(run, rounds=1)
    benchmark.extra_info["peak_bytes"] = peaks
    benchmark.extra_info["limit_bytes"] = LIMIT
    assert max(peaks.values()) < LIMIT


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_train_on_a_hundred_million_events(benchmark: Any, tmp_path: Path) -> None:
    """One epoch of each phase on 3.2 GB that stay in their file: peak memory and rates."""
    events = scaled(100_000_000, least=200_000)
    (tmp_path / "run.toml").write_text(SMALL + PHASES)
    cli = ["-m", "lfi_mflow.cli.main"]
    simulate = [
        "simulate",
        "polynomial-surface",
        "-n",
        str(events),
        "--workers",
        "2",
        "--seed",
        "1",
    ]
    train = ["train", "events.h5", "--config", "run.toml", "-o", "model.mflow"]
    peaks, seconds = {}, {}

    def run() -> None:
        for name, words in {"simulate": [*simulate, "-o", "events.h5"], "train": train}.items():
            start = time.perf_counter()
            peaks[name] = peak_memory(*cli, *words, folder=tmp_path)
            seconds[name] = time.perf_counter() - start

    benchmark.pedantic(run, rounds=1)
    history = load_model(tmp_path / "model.mflow").metadata.history
    benchmark.extra_info["events"] = events
    benchmark.extra_info["file_bytes"] = (tmp_path / "events.h5").stat().st_size
    benchmark.extra_info["peak_bytes"] = peaks
    benchmark.extra_info["limit_bytes"] = LIMIT
    benchmark.extra_info["seconds"] = seconds
    benchmark.extra_info["epoch_seconds"] = {
        phase["name"]: phase["epochs"][0]["seconds"] for phase in history["phases"]
    }
    assert max(peaks.values()) < LIMIT
