"""What is known of observed events, and kept in files."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Model
from lfi_mflow.inference.observed import (
    ObservedEvents,
    judge_events,
    observed_header,
    observed_variables,
    read_observed_events,
)

NAMES = ("x0", "x1", "x2")


@pytest.fixture
def judged(make_model, near_manifold):
    """Events of which one is far off in x2, and what the model says of them."""
    model = make_model()
    x = near_manifold(model, 60)
    x[7, 2] += 4.0
    distance = np.linalg.norm(x - _project(model, x), axis=1)
    return judge_events(model, x, distance)


def _project(model, x):
    with torch.no_grad():
        return model.flow.project(torch.as_tensor(x).float()).double().numpy()


def test_events_are_judged_by_distance_and_by_observable(judged):
    assert judged.off_manifold_events.tolist() == [7]
    assert judged.off_manifold_p_value < 0.01
    assert judged.residual.shape == (60, 3)
    assert judged.wide() == {}
    assert 0.5 < judged.widths()["x2"] < 2.0
    assert max(judged.widths(judged.off_manifold_events).values()) > 20.0
    assert judged.suspicion.observables == NAMES


def test_a_channel_that_is_broken_in_all_events_is_wide(make_model, near_manifold):
    model = make_model()
    x = near_manifold(model, 60)
    x[:, 2] += 1.0
    distance = np.linalg.norm(x - _project(model, x), axis=1)
    data = judge_events(model, x, distance)
    assert max(data.wide(), key=data.wide().get) in NAMES
    assert data.suspicion is not None


def test_a_model_of_an_earlier_version_names_events_but_no_observable(make_model, near_manifold):
    model = make_model()
    training = {k: v for k, v in model.metadata.training.items() if k != "residual_widths"}
    old = Model(model.flow, dataclasses.replace(model.metadata, training=training))
    data = judge_events(old, near_manifold(model, 20), np.full(20, 50.0))
    assert len(data.off_manifold_events) == 20
    assert (data.residual, data.suspicion, data.widths(), data.wide()) == (None, None, None, {})


def test_events_that_are_used_and_their_rows():
    data = ObservedEvents(np.arange(8.0).reshape(4, 2), ("a", "b"))
    assert data.kept is data.x
    assert data.removed.tolist() == []
    assert data.rows.tolist() == [0, 1, 2, 3]
    used = np.array([True, False, True, True])
    data = dataclasses.replace(data, used=used, row=np.array([0, 2, 5, 9]))
    assert data.kept.tolist() == [[0, 1], [4, 5], [6, 7]]
    assert data.removed.tolist() == [1]
    assert data.rows[data.removed].tolist() == [2]


def test_a_file_gives_back_what_it_was_given(judged):
    used = np.ones(60, dtype=bool)
    used[7] = False
    data = dataclasses.replace(judged, used=used, row=np.arange(60) + 3)
    again = read_observed_events(observed_variables(data), observed_header(data))
    for field in dataclasses.fields(ObservedEvents):
        before, after = getattr(data, field.name), getattr(again, field.name)
        if field.name == "suspicion":
            before, after = before.remaining, after.remaining
        np.testing.assert_array_equal(before, after)


def test_a_file_of_an_earlier_version_lacks_what_it_did_not_know():
    variables = {"x": np.zeros((3, 2)), "off_manifold": np.array([0, 1, 0])}
    header = {"observables": ["a", "b"], "off_manifold_p_value": 0.2, "distance_ratio": 1.0}
    data = read_observed_events(variables, header)
    assert data.off_manifold_events.tolist() == [1]
    assert (data.distance, data.residual, data.row, data.used) == (None,) * 4
