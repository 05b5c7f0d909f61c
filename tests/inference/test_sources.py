import numpy as np

from lfi_mflow.inference.sources import simulated_events, surrogate_events
from lfi_mflow.simulation import get_simulator


def test_events_of_a_flow_follow_theta_and_the_seed(make_model):
    draw = surrogate_events(make_model().flow)
    theta = np.repeat([[-0.5], [0.5]], 100, axis=0)
    x, weight = draw(theta, 3)
    assert x.shape == (200, 3)
    assert weight is None
    assert np.array_equal(draw(theta, 3)[0], x)
    assert not np.array_equal(draw(theta, 4)[0], x)


def test_events_of_a_simulator_bring_their_weights():
    draw = simulated_events(get_simulator("higgs-eft"))
    x, weight = draw(np.zeros((50, 2)), 1)
    assert x.shape == (50, 40)
    assert weight.shape == (50,)
    assert np.array_equal(draw(np.zeros((50, 2)), 1)[0], x)
    assert simulated_events(get_simulator("sphere"))(np.full((5, 2), 0.5), 1)[1] is None
