"""The dimension of the manifold of an event file."""

import numpy as np
import pytest

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.geometry import prepare_points
from lfi_mflow.simulation import Events, Observable, get_simulator
from lfi_mflow.training import (
    DIMENSION_ESTIMATORS,
    QUICK_ESTIMATORS,
    estimate_dimension,
    read_points,
)


@pytest.fixture
def helix(tmp_path):
    """An event file with 1000 points of a helix, the last of weight zero."""
    t = np.random.default_rng(1).uniform(-1, 1, 1000)
    x = np.stack([np.cos(3 * t), np.sin(3 * t), t], axis=1)
    observables = tuple(Observable(name, "cm") for name in "xyz")
    weight = np.append(np.ones(999), 0.0)
    path = tmp_path / "helix.h5"
    metadata = EventMetadata(parameters=(), observables=observables)
    events = Events(np.zeros((1000, 0)), x, weight=weight)
    write_events(path, metadata, [events], force=False)
    return path


def test_events_are_read_evenly_and_weights_of_zero_left_out(helix):
    assert len(read_points(helix)) == 999
    assert read_points(helix).cautions == ("1 events of weight zero were left out",)
    some = read_points(helix, 300)
    assert len(some) == 250
    assert some.cautions == ()


def test_quick_estimators_find_a_curve_and_say_when_they_start(helix):
    started = []
    found = estimate_dimension(read_points(helix), started=started.append)
    assert started == list(QUICK_ESTIMATORS)
    assert found.value == 1
    assert found.probability > 0.99
    assert [one.name for one in found.estimates] == list(QUICK_ESTIMATORS)


def test_names_are_those_of_the_estimators():
    assert all(make(0).name == name for name, make in DIMENSION_ESTIMATORS.items())


def test_an_unknown_estimator_is_refused_before_any_work(helix):
    started = []
    with pytest.raises(UnknownNameError, match="relations"):
        estimate_dimension(read_points(helix), ["pca", "relation"], started=started.append)
    assert started == []


def test_no_events_are_refused(helix):
    with pytest.raises(ConfigError, match="positive number of events"):
        read_points(helix, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n", "settings"),
    [
        ("polynomial-surface", 2, {}),
        ("lorenz", 2, {}),
        ("higgs-eft", 14, {"sampling": "unweighted"}),
    ],
)
def test_simulators_have_the_dimension_of_their_manifold(name, n, settings):
    simulator = get_simulator(name, settings)
    theta = np.zeros((50_000, len(simulator.parameters)))
    x = simulator.simulate(theta, np.random.default_rng(1)).x
    units = [one.unit for one in simulator.observables]
    found = estimate_dimension(prepare_points(x, units=units))
    assert found.value == n
    estimates = {one.name: one for one in found.estimates}
    if name == "lorenz":
        assert 2.0 - 0.1 <= estimates["mle"].value <= 2.1 + 0.1
