import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.inference.exact import exact_likelihood
from lfi_mflow.inference.experiment import Constraint
from lfi_mflow.inference.fisher import (
    FisherInformation,
    event_information,
    expected_information,
    rate_information,
    scores_of,
)
from lfi_mflow.inference.likelihood import EventSetLikelihood
from lfi_mflow.inference.rates import rate_of
from lfi_mflow.simulation import get_simulator


def test_a_counting_experiment_in_closed_form(counting):
    experiment = counting(
        [20.0, 6.0, 2.0, 0.5, 0, 0], ("theta", "nu"), constraints=(Constraint(1, 0.0, 0.25),)
    )
    x = np.random.default_rng(0).normal(0.0, 1.0, (40_000, 1))
    found = expected_information(experiment, np.zeros(2), x)
    assert found.events == pytest.approx(20.0)
    np.testing.assert_allclose(found.kinematics, [[1.0, 0.0], [0.0, 0.0]], atol=0.03)
    np.testing.assert_allclose(found.rate, np.outer([0.3, 0.1], [0.3, 0.1]), rtol=1e-6)
    total = 20.0 * (found.kinematics + found.rate) + np.diag([0.0, 16.0])
    np.testing.assert_allclose(found.total, total)
    np.testing.assert_allclose(found.errors**2, np.diagonal(np.linalg.inv(total)))


def test_scores_are_the_same_with_and_without_a_gradient(gaussian_flow, gaussian_simulator):
    flow = gaussian_flow(1).double()
    x = np.random.default_rng(0).normal(size=(5_000, 1))
    exact = (x - 0.3) / 0.7**2
    factories = (
        lambda events: EventSetLikelihood(flow, events),
        exact_likelihood(gaussian_simulator),
    )
    for likelihood in factories:
        found = scores_of(likelihood, x, np.array([0.3]))
        np.testing.assert_allclose(found, exact, atol=1e-6)


@pytest.mark.statistical
def test_the_information_of_the_higgs_simulator():
    """The figures that the simulator was checked with; within 4 standard errors."""
    settings = {"theta_scale": 10, "cuts": "jets"}
    simulator = get_simulator("higgs-eft", settings)
    events = simulator.simulate(np.zeros((8_000, 2)), np.random.default_rng(1))
    likelihood = exact_likelihood(simulator)
    scores = scores_of(likelihood, events.x, np.zeros(2))
    # Central differences of the exact ratio are its exact score.
    exact = simulator.score(events.x, np.zeros((1, 2)))
    np.testing.assert_allclose(scores, exact, rtol=1e-3, atol=1e-2)
    found = event_information(scores, events.weight)
    squares = scores[:, :, None] * scores[:, None, :]
    weight = events.weight[:, None, None] / events.weight.mean()
    error = (weight * (squares - found)).std(axis=0) / np.sqrt(len(scores))
    pull = (found - np.diag([126.5, 21.3])) / error
    assert np.abs(pull).max() < 4.0
    assert error[0, 0] < 6.0
    rate = rate_information(rate_of(simulator, luminosity=36.0), np.zeros(2))
    np.testing.assert_allclose(rate, [[21.54, 0.0], [0.0, 0.0]], atol=0.05)


def test_what_is_unknown_has_an_infinite_error():
    found = FisherInformation(10.0, np.diag([1.0, 0.0]), np.zeros((2, 2)), np.zeros((2, 2)))
    assert np.isinf(found.errors).all()


def test_bad_scores_are_refused():
    with pytest.raises(DataError, match="worth at least 50"):
        event_information(np.ones((49, 1)))
    with pytest.raises(DataError, match="worth at least 50"):
        event_information(np.ones((500, 1)), np.arange(500) == 3)
    with pytest.raises(DataError, match="finite scores"):
        event_information(np.full((60, 1), np.nan))
