import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.inference import score_events
from lfi_mflow.inference.off_manifold import tail_probabilities


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(size=(50, 3))


def test_a_batch_is_what_the_flow_says(make_model, x):
    model = make_model()
    theta = np.linspace(-1, 1, 50)[:, None]
    scores = score_events(model, x, theta)
    events, points = torch.tensor(x).float(), torch.tensor(theta).float()
    with torch.no_grad():
        expected = {
            "latent": model.flow.encode(events),
            "projection": model.flow.project(events),
            "distance": model.flow.reconstruction_error(events),
            "log_prob": model.flow.log_prob(events, points),
        }
    assert {*scores.columns()} == {*expected, "tail_probability"}
    for name, value in expected.items():
        np.testing.assert_allclose(scores.columns()[name], value, rtol=1e-5, atol=1e-6)
        assert scores.columns()[name].dtype == np.float32
    quantiles = model.metadata.training["distance_quantiles"]
    np.testing.assert_array_equal(
        scores.tail_probability, tail_probabilities(scores.distance, quantiles)
    )


def test_one_event(make_model, x):
    model = make_model(p=2)
    one, batch = score_events(model, x[7], [0.1, 0.2]), score_events(model, x, [0.1, 0.2])
    assert one.latent.shape == (2,)
    assert one.distance.shape == one.log_prob.shape == one.tail_probability.shape == ()
    for name, value in one.columns().items():
        np.testing.assert_allclose(value, batch.columns()[name][7], rtol=2e-5, atol=1e-6)


def test_the_projection_stays_where_it_is(make_model, x):
    model = make_model()
    projection = score_events(model, x, [0.3])
    again = score_events(model, projection.projection, [0.3])
    np.testing.assert_allclose(again.projection, projection.projection, atol=1e-4)
    np.testing.assert_allclose(again.log_prob, projection.log_prob, atol=1e-3)
    assert again.distance.max() < 1e-4


def test_batches_do_not_show(make_model, x, monkeypatch):
    model = make_model()
    whole = score_events(model, x, [0.0])
    monkeypatch.setattr("lfi_mflow.inference.scores._BATCH", 16)
    parts = score_events(model, x, [0.0])
    for name, value in whole.columns().items():
        np.testing.assert_allclose(parts.columns()[name], value, rtol=1e-5, atol=1e-6)


def test_without_theta_there_is_no_density(make_model, x, monkeypatch):
    model = make_model()
    monkeypatch.setattr(model.flow, "log_volume", None)  # it must not be needed
    assert score_events(model, x).log_prob is None


def test_a_model_without_parameters_needs_no_theta(make_model, x):
    model = make_model(p=0)
    expected = model.flow.log_prob(torch.tensor(x).float(), torch.empty(50, 0))
    np.testing.assert_allclose(score_events(model, x).log_prob, expected.detach(), atol=1e-5)


def test_without_a_reference_there_is_no_tail_probability(make_model, x):
    assert score_events(make_model(quantiles=False), x).tail_probability is None


@pytest.mark.parametrize("shape", [(), (2,), (5, 2), (0, 3), (2, 2, 3)])
def test_events_of_another_shape(make_model, shape):
    with pytest.raises(InputError, match="events of shape"):
        score_events(make_model(), np.zeros(shape))


@pytest.mark.parametrize("shape", [(), (2,), (49, 1), (50, 2)])
def test_theta_of_another_shape(make_model, x, shape):
    with pytest.raises(InputError, match="theta of shape"):
        score_events(make_model(), x, np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_events_that_cannot_be_scored(make_model, x, value):
    x[[11, 20], 1] = value
    with pytest.raises(DataError, match="2 of 50 without a finite result, the first in row 11"):
        score_events(make_model(), x, [0.0])


def test_a_theta_that_is_not_finite(make_model, x):
    theta = np.zeros((50, 1))
    theta[4] = np.nan
    with pytest.raises(DataError, match="the first in row 4"):
        score_events(make_model(), x, theta)
