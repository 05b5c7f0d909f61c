"""What the benchmarks share: events, and one model trained on them."""

import sys
from pathlib import Path

import pytest
import torch

from lfi_mflow.data.production import produce
from lfi_mflow.flows import Model
from lfi_mflow.simulation.priors import parse_prior
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.training import RunConfig, train_model
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

# benchmarks see the scripts beside them by name, as these see each other
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    torch.set_num_threads(max(1, torch.get_num_threads()))


@pytest.fixture(scope="session")
def surface() -> PolynomialSurface:
    return PolynomialSurface()


@pytest.fixture(scope="session")
def events_path(tmp_path_factory: pytest.TempPathFactory, surface: PolynomialSurface) -> Path:
    from measuring import scaled  # noqa: PLC0415 - the path is set by now

    path = tmp_path_factory.mktemp("benchmark") / "events.h5"
    prior = parse_prior("uniform(-1, 1)", surface.parameters)
    produce(
        SimulationJob("polynomial-surface", {}, scaled(100_000, least=5_000), seed=1, prior=prior),
        path,
    )
    return path


@pytest.fixture(scope="session")
def model(events_path: Path) -> Model:
    """A model after two epochs per phase: as costly to evaluate as a good one."""
    return train_model(events_path, RunConfig().with_epochs(2))
