"""Models of the Higgs study against the truth, event by event."""

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow
from lfi_mflow.simulation import get_simulator

DIMENSIONS = Dimensions(40, 14, 2)
SETTINGS = {"chart": {"layers": 1, "hidden": 8}, "latent": {"transforms": 1, "hidden": 8}}


@pytest.fixture
def model():
    """An untrained M-flow that knows where its events come from, its chart the principal plane."""
    simulator = get_simulator("higgs-eft")
    x = simulator.simulate(np.zeros((2_000, 2)), np.random.default_rng(0)).x
    flow = build_flow("m-flow", DIMENSIONS, SETTINGS).eval()
    mean, covariance = (torch.from_numpy(values) for values in (x.mean(axis=0), np.cov(x.T)))
    flow.standardisation.fit(mean, covariance, list(map(str, range(40))))
    events = EventMetadata(
        simulator.parameters,
        simulator.observables,
        simulator="higgs-eft",
        prior=[{"kind": "uniform", "low": -1.0, "high": 1.0}] * 2,
    )
    return Model(flow, ModelMetadata("m-flow", DIMENSIONS, SETTINGS, events, "ab12", 2_000))


def test_a_plane_is_far_from_the_events_and_an_untrained_density_knows_no_theta(script, model):
    found = script("higgs_eft/event_by_event.py").compare(model, 400, seed=1)
    assert 1.0 < found["median_distance"] < found["mean_distance"] < 4.0
    assert abs(found["correlation"]) < 0.5
    assert 0.3 < found["exact_sd"] < 0.7
    assert found["rms_error"] > 0.3
    # .60 and .17 of 5,000 events; of so few, those of large score rule it
    assert found["exact_information"] == pytest.approx([0.6, 0.2], rel=0.5)
    pairs = zip(found["information"], found["exact_information"], strict=True)
    assert all(0.0 < value < exact for value, exact in pairs)
