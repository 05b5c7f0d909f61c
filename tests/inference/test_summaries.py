import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.inference import event_log_ratios, event_scores, summaries

VARIANCE = 0.7**2


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(50, 2))


@pytest.mark.parametrize("batch", [7, 10_000])
def test_the_ratio_and_score_of_a_normal_distribution(gaussian_flow, x, monkeypatch, batch):
    monkeypatch.setattr(summaries, "_BATCH", batch)
    flow = gaussian_flow(2).double()
    theta, reference = np.array([0.3, -1.2]), np.array([-0.5, 0.4])
    ratios = event_log_ratios(flow, x, theta, reference)
    exact = (((x - reference) ** 2).sum(1) - ((x - theta) ** 2).sum(1)) / (2 * VARIANCE)
    np.testing.assert_allclose(ratios, exact, atol=1e-12)
    np.testing.assert_allclose(event_scores(flow, x, theta), (x - theta) / VARIANCE, atol=1e-12)
    assert flow.scale.grad is None


def test_the_ratio_is_that_of_the_densities_of_a_trained_kind_of_flow(make_model):
    flow = make_model(2).flow.double()
    x = np.random.default_rng(1).normal(size=(20, 3))
    theta, reference = np.array([0.5, -0.2]), np.array([0.1, 0.3])
    with torch.no_grad():
        log_p = [
            flow.log_prob(torch.tensor(x), torch.tensor(point[None]))
            for point in (theta, reference)
        ]
    ratios = event_log_ratios(flow, x, theta, reference)
    np.testing.assert_allclose(ratios, (log_p[0] - log_p[1]).numpy(), atol=1e-10)
    step = 1e-5
    for i, scores in enumerate(event_scores(flow, x, theta).T):
        shift = step * np.eye(2)[i]
        slope = event_log_ratios(flow, x, theta + shift, theta - shift) / (2 * step)
        np.testing.assert_allclose(scores, slope, atol=1e-5)


@pytest.mark.parametrize("theta", [0.5, [0.1, 0.2, 0.3], [[0.1, 0.2]]])
def test_another_number_of_parameters(gaussian_flow, x, theta):
    with pytest.raises(InputError, match=r"theta of shape \(2,\)"):
        event_scores(gaussian_flow(2), x, theta)


@pytest.mark.parametrize("shape", [(0, 2), (5,), (5, 3)])
def test_events_of_another_shape(gaussian_flow, shape):
    with pytest.raises(InputError, match=r"events of shape \(N, 2\)"):
        event_log_ratios(gaussian_flow(2), np.zeros(shape), [0, 0], [1, 1])


def test_events_that_are_not_finite(gaussian_flow, x):
    x[[3, 8], 1] = np.nan, np.inf
    with pytest.raises(DataError, match="2 of 50 without a finite result, the first in row 3"):
        event_scores(gaussian_flow(2), x, [0, 0])
