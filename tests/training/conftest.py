"""A parabola in the plane as an event file, and runs on it that take a second."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.simulation import Events, Observable, Parameter
from lfi_mflow.training import Phase, ResidentEvents, RunConfig, phase_run

SETTINGS = {
    "chart": {"layers": 2, "bins": 4, "bound": 5.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 2, "bins": 4, "hidden": 8, "components": 3},
}


@pytest.fixture
def metadata():
    return EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0),),
        observables=(Observable("a", "GeV"), Observable("b", "rad")),
        manifold_dim=1,
    )


@pytest.fixture
def make_events():
    """A function that draws n events on (t, 10 t^2), where theta shifts t."""

    def make(n, seed=0, **columns):
        rng = np.random.default_rng(seed)
        theta = rng.uniform(-1, 1, (n, 1))
        t = theta[:, 0] + 0.5 * rng.normal(size=n)
        return Events(theta, np.stack([t, 10 * t**2], axis=1), **columns)

    return make


@pytest.fixture
def write(tmp_path, metadata):
    """A function that writes events to a file and returns its path."""

    def to_file(events, name="events.h5", about=metadata):
        write_events(tmp_path / name, about, [events], force=True)
        return tmp_path / name

    return to_file


@pytest.fixture
def path(write, make_events):
    return write(make_events(400))


@pytest.fixture
def phases():
    """Two short phases with all values stated; 5 steps per epoch at 360 training events."""
    return (
        Phase("chart", "reconstruction", 3, 72, 1e-2, 0.1, 1e-4, 1.0, 0),
        Phase("latent", "latent-likelihood", 4, 72, 3e-3, 0.1, 1e-4, 1.0, 0),
    )


@pytest.fixture
def config(phases):
    return RunConfig(seed=5, validation_fraction=0.1, settings=SETTINGS, phases=phases)


@pytest.fixture
def make_flow():
    """A function that builds the small flow with seeded weights."""

    def make(seed=0, dtype=torch.float64):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build_flow("m-flow", Dimensions(2, 1, 1), SETTINGS).to(dtype)

    return make


@pytest.fixture
def make_resident(make_events):
    """A function that holds n events in memory."""

    def make(n, validation_fraction=0.1, weight=None, seed=0, device="cpu"):
        events = make_events(n, seed)
        x, theta = (torch.from_numpy(values).to(device) for values in (events.x, events.theta))
        fraction = validation_fraction
        return ResidentEvents(x, theta, weight, validation_fraction=fraction, seed=1)

    return make


@dataclass
class Stop:
    """Ctrl-C at a step of a phase, as the progress callback sees it."""

    phase: str
    step: int
    epoch_ended: bool = False

    def __call__(self, progress):
        here = (progress.phase, progress.step, progress.epoch_ended)
        if here == (self.phase, self.step, self.epoch_ended):
            raise KeyboardInterrupt


@pytest.fixture
def stop(monkeypatch):
    """The callback that interrupts; every step is reported."""
    monkeypatch.setattr(phase_run, "_REPORT_SECONDS", -1.0)
    return Stop


@pytest.fixture
def same_weights():
    """A function that compares two states bit by bit."""

    def compare(first, second):
        assert first.keys() == second.keys()
        return all(torch.equal(first[name], second[name]) for name in first)

    return compare


@pytest.fixture
def same_run(same_weights):
    """A function that checks that two runs, as (flow, history), differ in nothing but time."""

    def untimed(history):
        names = ("epoch", "train", "validation", "learning_rate")
        return [
            (phase["name"], phase["best_epoch"], [[e[n] for n in names] for e in phase["epochs"]])
            for phase in history["phases"]
        ]

    def check(first, second):
        assert same_weights(first[0].state_dict(), second[0].state_dict())
        assert untimed(first[1]) == untimed(second[1])

    return check
