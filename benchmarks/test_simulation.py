"""How fast are events made, and how fast are they made and stored?

Target of the project: 2e6 events/s for the polynomial surface, 1e6 stored states/s
for the trajectories of the Lorenz system, 1.5e5 weighted events/s on two cores for
the Higgs simulator.
"""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lfi_mflow.data.production import produce
from lfi_mflow.simulation.priors import default_prior, parse_prior
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.simulation.workers import simulate_chunks
from lfi_mflow_simulators.higgs_eft import HiggsEFT
from lfi_mflow_simulators.lorenz_trajectories import integrate
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

EVENTS, HIGGS_EVENTS = 2_000_000, 500_000
STEPS = 10_000


def test_simulate(benchmark: Any, surface: PolynomialSurface) -> None:
    """Two million events, one process, in memory."""
    prior = parse_prior("uniform(-1, 1)", surface.parameters)
    task = SimulationJob("polynomial-surface", {}, EVENTS, seed=1, prior=prior)
    benchmark.pedantic(
        lambda: sum(len(events) for _, events in simulate_chunks(task, range(task.n_chunks))),
        rounds=5,
        warmup_rounds=1,
    )
    benchmark.extra_info["events_per_second"] = EVENTS / benchmark.stats.stats.median
    benchmark.extra_info["target_events_per_second"] = 2e6


@pytest.mark.parametrize("name", ["polynomial-surface", "higgs-eft"])
def test_simulate_to_file(benchmark: Any, name: str, tmp_path: Path) -> None:
    """Events with all that is known of them, checksummed, in a file, by one process."""
    prior = default_prior(get_simulator(name).parameters)
    n = EVENTS if name == "polynomial-surface" else HIGGS_EVENTS
    task = SimulationJob(name, {}, n, seed=1, prior=prior)
    before = time.process_time()
    benchmark.pedantic(lambda: produce(task, tmp_path / "events.h5", force=True), rounds=3)
    benchmark.extra_info["cpu_seconds_per_event"] = (time.process_time() - before) / (3 * n)
    benchmark.extra_info["events_per_second"] = n / benchmark.stats.stats.median
    benchmark.extra_info["bytes_per_event"] = (tmp_path / "events.h5").stat().st_size / n


def test_lorenz_trajectories(benchmark: Any) -> None:
    """The 100 trajectories of the published study, every state stored, one thread."""
    initial = 1.0 + 0.1 * np.random.default_rng(0).standard_normal((100, 3))
    benchmark.pedantic(lambda: integrate(initial, np.arange(1, STEPS + 1)), rounds=5)
    benchmark.extra_info["states_per_second"] = 100 * STEPS / benchmark.stats.stats.median
    benchmark.extra_info["target_states_per_second"] = 1e6


def test_higgs_events(benchmark: Any) -> None:
    """Weighted events with 40 features, gold and components, one process: half the target."""
    simulator, rng = HiggsEFT(), np.random.default_rng(0)
    theta = rng.uniform(-1.0, 1.0, (100_000, 2))
    benchmark.pedantic(lambda: simulator.simulate(theta, rng), rounds=5, warmup_rounds=1)
    benchmark.extra_info["events_per_second"] = len(theta) / benchmark.stats.stats.median
    benchmark.extra_info["target_events_per_second"] = 0.75e5
