"""Likelihoods of simulators that know them, or their ratios."""

import numpy as np
import pytest
import torch

from lfi_mflow.errors import InputError
from lfi_mflow.inference import EventSetLikelihood, SimulatorLikelihood, exact_likelihood
from lfi_mflow.simulation import Parameter


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(3, 50, 2))


@pytest.mark.parametrize("max_elements", [3, 1_000])
def test_simulator_likelihood_agrees_with_the_flow(
    gaussian_flow, gaussian_simulator, x, max_elements
):
    events = x[..., :1]
    theta = torch.randn(3, 4, 1, dtype=torch.float64)
    flow = EventSetLikelihood(gaussian_flow(1).double(), torch.tensor(events))
    exact = SimulatorLikelihood(gaussian_simulator, events, max_elements=max_elements)
    torch.testing.assert_close(exact(theta), flow(theta))
    single = SimulatorLikelihood(gaussian_simulator, events[2])
    torch.testing.assert_close(single(theta[2]), flow(theta)[2])


def test_a_likelihood_ratio_is_enough_for_a_posterior(gaussian_simulator, x):
    """It differs from the likelihood by a constant of each set, that of the nearest point to 0."""

    class Ratio:
        parameters = (Parameter("theta", 0.5, 3.0),)
        observables = gaussian_simulator.observables

        def log_ratio(self, x, theta, reference):
            below = gaussian_simulator.log_prob(x, np.broadcast_to(reference, theta.shape))
            return gaussian_simulator.log_prob(x, theta) - below

    events, theta = x[..., :1], torch.rand(3, 7, 1, dtype=torch.float64) + 0.5
    known = SimulatorLikelihood(gaussian_simulator, events)
    constant = known(torch.full((3, 1, 1), 0.5, dtype=torch.float64))
    torch.testing.assert_close(SimulatorLikelihood(Ratio(), events)(theta), known(theta) - constant)


def test_simulator_without_likelihood_is_refused(gaussian_simulator):
    with pytest.raises(InputError, match="without log_prob"):
        SimulatorLikelihood(object(), np.zeros((3, 1)))
    with pytest.raises(InputError, match="events of shape"):
        SimulatorLikelihood(gaussian_simulator, np.zeros((3, 2)))


def test_what_a_simulator_knows_is_used(gaussian_simulator):
    assert isinstance(exact_likelihood(gaussian_simulator)(np.zeros((3, 1))), SimulatorLikelihood)
    assert exact_likelihood(object()) is None


def test_impossible_events_are_refused(gaussian_simulator, x):
    events = x[..., :1].copy()
    events[1, 2] = np.nan
    likelihood = SimulatorLikelihood(gaussian_simulator, events)
    with pytest.raises(InputError, match="events with a likelihood"):
        likelihood(torch.zeros(3, 1))
