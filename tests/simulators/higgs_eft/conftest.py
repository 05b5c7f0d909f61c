"""Samples that several files look at, drawn once."""

import numpy as np
import pytest

from lfi_mflow_simulators.higgs_eft import HiggsEFT
from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent
from lfi_mflow_simulators.higgs_eft.sampler import Proposals, propose


@pytest.fixture(scope="session")
def hard_events() -> HardEvent:
    """Points of phase space from no particular density."""
    rng = np.random.default_rng(3)
    pt = rng.uniform(20.0, 400.0, (2, 400))
    rapidity = rng.uniform(-2.5, 2.5, (3, 400))
    return HardEvent(*pt, *rapidity, rng.uniform(-np.pi, np.pi, 400))


@pytest.fixture(scope="session")
def proposals() -> tuple[Proposals, int]:
    """Events that pass the published cuts, and the number of attempts."""
    rng = np.random.default_rng(1)
    batches = [propose(10_000, "les-houches", "jets", rng) for _ in range(30)]
    return Proposals.concatenate(batches), 300_000


@pytest.fixture(scope="session")
def published() -> HiggsEFT:
    """The simulator in the units and with the cuts of the published numbers."""
    return HiggsEFT(theta_scale=10.0, cuts="jets", bound=np.inf)


@pytest.fixture(scope="session")
def sample(published):
    """Weighted Standard Model events in these units."""
    return published.simulate(np.zeros((200_000, 2)), np.random.default_rng(2))
