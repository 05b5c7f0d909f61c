"""How fast do events come from their file?

Into the memory of the device, as a training begins; in shuffled batches from there, as
every epoch takes them; and into one file of two. Streaming from the file is measured by
``test_streaming.py``.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from measuring import scaled

from lfi_mflow.data import EventFile, merge_events
from lfi_mflow.data.production import produce
from lfi_mflow.simulation.priors import default_prior
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.training import ResidentEvents

SIMULATORS = {"polynomial-surface": 1_000_000, "higgs-eft": 100_000}
BATCH = 500


def read(path: Path) -> ResidentEvents:
    with EventFile(path) as file:
        return ResidentEvents.read(
            file,
            dtype=torch.float32,
            device=torch.device("cpu"),
            validation_fraction=0.1,
            seed=1,
        )


def simulate(name: str, seed: int, folder: Path) -> Path:
    prior = default_prior(get_simulator(name).parameters)
    n = scaled(SIMULATORS[name], least=2000)
    path = folder / f"{name}-{seed}.h5"
    produce(SimulationJob(name, {}, n, seed=seed, prior=prior), path)
    return path


@pytest.fixture(scope="module", params=SIMULATORS)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(request.param, 1, tmp_path_factory.mktemp("loading"))


def test_loading(benchmark: Any, path: Path) -> None:
    """From the file to the memory of the device."""
    events = benchmark.pedantic(lambda: read(path), rounds=3, warmup_rounds=1)
    benchmark.extra_info["events_per_second"] = len(events) / benchmark.stats.stats.median
    benchmark.extra_info["bytes_per_event"] = path.stat().st_size / len(events)


def test_batches(benchmark: Any, path: Path) -> None:
    """An epoch of shuffled batches that nothing is done with."""
    prepared = read(path).prepare(lambda x, theta: x)

    def epoch() -> int:
        return sum(len(batch.theta) for batch in prepared.training(BATCH, seed=1))

    events = benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
    benchmark.extra_info["events_per_second"] = events / benchmark.stats.stats.median
    benchmark.extra_info["batch"] = BATCH


@pytest.mark.parametrize("name", SIMULATORS)
def test_merging(benchmark: Any, tmp_path: Path, name: str) -> None:
    """Two files become one."""
    parts = [simulate(name, seed, tmp_path) for seed in (1, 2)]
    events = benchmark.pedantic(
        lambda: merge_events(parts, tmp_path / "all.h5", force=True), rounds=3, warmup_rounds=1
    )
    benchmark.extra_info["events_per_second"] = events / benchmark.stats.stats.median
