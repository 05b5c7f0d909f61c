"""Events, and a simulator in a file."""

import textwrap

import numpy as np
import pytest

from lfi_mflow.data import EventMetadata
from lfi_mflow.simulation import Events, Observable, Parameter


@pytest.fixture
def metadata():
    return EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0, latex=r"\theta"), Parameter("rho")),
        observables=(Observable("px", "GeV"), Observable("py", "GeV"), Observable("η")),
        manifold_dim=2,
        simulator="paper",
        settings={"degree": 3},
        seed=7,
        prior=[{"kind": "uniform", "low": -1.0, "high": 1.0}],
        provenance={"command": "pytest"},
        counts={"nonfinite": 2},
    )


@pytest.fixture
def make_events():
    """A function that makes n events with 2 parameters and 3 observables."""

    def make(n, seed=0, **columns):
        rng = np.random.default_rng(seed)
        return Events(rng.uniform(-1, 1, (n, 2)), rng.normal(size=(n, 3)), **columns)

    return make


@pytest.fixture
def same_events():
    """A function that compares events bit by bit."""

    def compare(first, second):
        left, right = first.columns(), second.columns()
        assert left.keys() == right.keys()
        for name, array in left.items():
            assert array.dtype == right[name].dtype
            assert array.shape == right[name].shape
            assert array.tobytes() == right[name].tobytes()

    return compare


@pytest.fixture
def simulator_file(tmp_path):
    """A slow simulator in a file; its setting says which events are NaN."""
    path = tmp_path / "toy.py"
    path.write_text(
        textwrap.dedent(
            """
            import time
            import numpy as np
            from lfi_mflow.simulation import Events, Observable, Parameter

            class Toy:
                name = "toy"
                parameters = (Parameter("mu", -1.0, 1.0),)
                observables = (Observable("a"), Observable("b"))
                manifold_dim = 1

                def __init__(self, seconds: float = 0.0, nan_below: float = -2.0):
                    self.seconds, self.nan_below = seconds, nan_below

                def simulate(self, theta, rng):
                    time.sleep(self.seconds)
                    angle = theta[:, 0] + rng.normal(size=len(theta))
                    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
                    x[theta[:, 0] < self.nan_below, 1] = np.nan
                    return Events(theta, x)
            """
        ),
        encoding="utf-8",
    )
    return path
