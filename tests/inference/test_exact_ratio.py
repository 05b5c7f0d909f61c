import numpy as np
import pytest
import torch

from lfi_mflow.errors import InputError
from lfi_mflow.inference.exact_ratio import ExactRatioLikelihood, exact_likelihood
from lfi_mflow.inference.likelihood import SimulatorLikelihood


class RatioSimulator:
    """x ~ N(theta, 1), of which only ratios are known."""

    def log_ratio(self, x, theta, reference):
        above, below = (-0.5 * ((x - point) ** 2).sum(axis=1) for point in (theta, reference))
        return above - below


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(3, 8, 2))


@pytest.mark.parametrize("max_elements", [3, 1_000])
def test_it_is_the_sum_of_log_ratios(x, max_elements):
    reference = np.array([0.5, -1.0])
    theta = np.random.default_rng(1).normal(size=(3, 4, 5, 2))
    likelihood = ExactRatioLikelihood(RatioSimulator(), x, reference, max_elements=max_elements)
    shift = x[:, None, None] - theta[..., None, :]
    exact = 0.5 * ((x - reference) ** 2).sum((1, 2))[:, None, None] - 0.5 * (shift**2).sum((-1, -2))
    np.testing.assert_allclose(likelihood(torch.tensor(theta)), exact)
    single = ExactRatioLikelihood(RatioSimulator(), x[1], reference)
    np.testing.assert_allclose(single(torch.tensor(theta[1])), exact[1])


def test_what_a_simulator_knows_is_used(x, gaussian_simulator):
    assert isinstance(exact_likelihood(gaussian_simulator, [0.0])(x[..., :1]), SimulatorLikelihood)
    assert isinstance(exact_likelihood(RatioSimulator(), [0.0, 0.0])(x), ExactRatioLikelihood)
    assert exact_likelihood(object(), [0.0]) is None


def test_impossible_events_are_refused(x):
    x[1, 2] = np.nan
    likelihood = ExactRatioLikelihood(RatioSimulator(), x, [0.0, 0.0])
    with pytest.raises(InputError, match="events with a likelihood ratio"):
        likelihood(torch.zeros(3, 2))
