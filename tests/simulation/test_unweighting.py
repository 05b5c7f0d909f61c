"""Unweighted events of weighted simulators: each at its theta, each from the right density."""

import numpy as np
import pytest
from scipy import stats

from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Events, Observable, Parameter, simulate_unweighted, unweighting


class Weighted:
    """Uniform x in [0, 1] with the weight scale (1 + theta x), at the theta of its row."""

    name = "weighted"
    parameters = (Parameter("theta", -1.0, 5.0),)
    observables = (Observable("x"),)
    manifold_dim = 1

    def __init__(self, scale=1.0):
        self.scale = scale

    def simulate(self, theta, rng):
        x = rng.random((len(theta), 1))
        weight = self.scale * (1.0 + theta[:, 0] * x[:, 0])
        return Events(theta, x, weight=weight, latent=2.0 * x, components=np.ones((len(x), 3)))


class Plain(Weighted):
    def simulate(self, theta, rng):
        return Events(theta, rng.random((len(theta), 1)))


@pytest.mark.statistical
@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_events_follow_the_density_of_their_theta(scale):
    """KS tests at a false-alarm rate of 1e-4 each."""
    theta = np.resize([[0.0], [5.0]], (20_000, 1))
    events = simulate_unweighted(Weighted(scale), theta, np.random.default_rng(1))
    assert np.array_equal(events.theta, theta)
    assert events.weight is None
    assert events.components is None
    np.testing.assert_array_equal(events.latent, 2.0 * events.x)
    for value in (0.0, 5.0):
        x = events.x[theta[:, 0] == value, 0]

        def cdf(x, value=value):
            return (x + 0.5 * value * x**2) / (1.0 + 0.5 * value)

        assert stats.kstest(x, cdf).pvalue > 1e-4


def test_unweighted_events_are_returned_as_they_are():
    theta = np.zeros((5, 1))
    events = simulate_unweighted(Plain(), theta, np.random.default_rng(2))
    assert np.array_equal(events.x, Plain().simulate(theta, np.random.default_rng(2)).x)
    assert len(simulate_unweighted(Weighted(), theta[:0], np.random.default_rng(2))) == 0


def test_equal_seeds_give_equal_events():
    theta = np.linspace(0, 1, 50)[:, None]
    one, two, three = (
        simulate_unweighted(Weighted(), theta, np.random.default_rng(seed)).x for seed in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_a_thousandth_of_the_weight_may_lie_above_the_bound():
    class Spiky(Weighted):
        def simulate(self, theta, rng):
            x = rng.random((len(theta), 1))
            weight = np.where(x[:, 0] < 1e-4, 1e3, 1.0)
            return Events(theta, x, weight=weight)

    rng = np.random.default_rng(3)
    pilot = Spiky().simulate(np.zeros((20_000, 1)), np.random.default_rng(4)).weight
    bound = unweighting._bound(Spiky(), np.zeros((1, 1)), np.random.default_rng(4))
    assert 1.0 <= bound <= 1e3
    assert np.maximum(pilot - bound, 0.0).sum() <= 2e-3 * pilot.sum()
    events = simulate_unweighted(Spiky(), np.zeros((100, 1)), rng)
    assert len(events) == 100


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_probability(bad):
    class Bad(Weighted):
        def simulate(self, theta, rng):
            weight = np.ones(len(theta))
            weight[-1] = bad
            return Events(theta, rng.random((len(theta), 1)), weight=weight)

    with pytest.raises(DataError, match="finite weights >= 0"):
        simulate_unweighted(Bad(), np.zeros((10, 1)), np.random.default_rng(5))


def test_nothing_to_accept(monkeypatch):
    with pytest.raises(DataError, match="positive weight, found none"):
        simulate_unweighted(Weighted(0.0), np.zeros((10, 1)), np.random.default_rng(6))
    monkeypatch.setattr(unweighting, "_ROUNDS", 3)
    theta = np.zeros((100, 1))
    theta[7] = -1.0
    with pytest.raises(DataError, match=r"1 of 100 parameter points without an event after 3"):
        simulate_unweighted(Strict(), theta, np.random.default_rng(7))


class Strict(Weighted):
    """No weight at all at theta = -1."""

    def simulate(self, theta, rng):
        events = super().simulate(theta, rng)
        return Events(theta, events.x, weight=np.where(theta[:, 0] < 0.0, 0.0, 1.0))
