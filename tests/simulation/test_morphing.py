import dataclasses

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.simulation import (
    Events,
    component_log_ratio,
    component_score,
    effective_sample_size,
    monomials,
    morph,
)
from lfi_mflow.simulation.morphing import morphed_events, morphing_powers

N = 20_000


def density(u, theta):
    """A toy amplitude that is linear in theta, squared, on u in [0, 1]."""
    return np.square(1.0 + theta[0] * u + theta[1] * (1.0 - u**2))


def toy_components(u):
    a, b = u, 1.0 - u**2
    return np.stack([np.ones_like(u), 2.0 * a, 2.0 * b, a * a, 2.0 * a * b, b * b], axis=1)


@pytest.fixture(scope="module")
def rates():
    nodes, weights = np.polynomial.legendre.leggauss(8)
    return 0.5 * weights @ toy_components(0.5 + 0.5 * nodes)


@pytest.fixture(scope="module")
def events(rates):
    """Uniform u, weighted to the theta of each row."""
    rng = np.random.default_rng(0)
    u, theta = rng.random(N), rng.uniform(-0.3, 0.3, (N, 2))
    components = toy_components(u)
    weight = np.sum(components * monomials(theta), axis=1) / (monomials(theta) @ rates)
    return Events(
        theta=theta, x=u[:, None], weight=weight, components=components, score=np.zeros((N, 2))
    )


@pytest.mark.parametrize("p", [1, 2, 3])
def test_powers_are_those_of_the_monomials(p):
    theta = np.random.default_rng(8).normal(size=(5, p))
    products = np.prod(theta[:, None, :] ** morphing_powers(p), axis=2)
    np.testing.assert_allclose(products, monomials(theta))


@pytest.mark.parametrize(("p", "size"), [(1, 3), (2, 6), (3, 10)])
def test_monomials_are_those_of_degree_two(p, size):
    theta = np.random.default_rng(1).normal(size=(5, p))
    expected = PolynomialFeatures(2).fit_transform(theta)
    assert expected.shape == (5, size)
    np.testing.assert_allclose(monomials(theta), expected)


def test_log_ratio_and_score_are_those_of_the_density(events, rates):
    u, theta = events.x[:, 0], events.theta
    reference = np.array([[0.4, -0.2]])

    def log_prob(theta):
        return np.log(density(u, theta.T)) - np.log(monomials(theta) @ rates)

    found = component_log_ratio(events.components, theta, reference, rates)
    np.testing.assert_allclose(found, log_prob(theta) - log_prob(reference), atol=1e-12)
    score = component_score(events.components, theta, rates)
    for axis, shift in enumerate(1e-6 * np.eye(2)):
        slope = (log_prob(theta + shift) - log_prob(theta - shift)) / 2e-6
        np.testing.assert_allclose(score[:, axis], slope, atol=1e-8)


def test_units_of_components_do_not_matter(events, rates):
    units = np.random.default_rng(2).uniform(0.1, 9.0, (N, 1))
    point, other = np.array([[0.1, 0.2]]), np.array([[0.0, 0.5]])
    np.testing.assert_allclose(
        component_log_ratio(events.components * units, point, other, rates),
        component_log_ratio(events.components, point, other, rates),
        atol=1e-12,
    )


def test_another_number_of_parameters(rates):
    with pytest.raises(InputError, match=r"\(N, 2\).*\(1, 3\)"):
        component_log_ratio(np.ones((4, 6)), np.zeros((1, 3)), np.zeros((1, 2)), rates)


@pytest.mark.statistical
def test_a_morphed_sample_follows_the_other_density(events, rates):
    theta = np.array([0.5, -0.4])
    morphed = morph(events, theta, rates)
    nodes, weights = np.polynomial.legendre.leggauss(8)
    nodes = 0.5 + 0.5 * nodes
    expected = weights @ (density(nodes, theta) * nodes) / (weights @ density(nodes, theta))
    weight, u = morphed.events.weight, morphed.events.x[:, 0]
    error = np.sqrt(np.sum(weight**2 * (u - expected) ** 2)) / weight.sum()
    assert abs(np.average(u, weights=weight) - expected) < 4.0 * error
    assert weight.mean() == pytest.approx(1.0, abs=0.02)
    assert morphed.effective_sample_size == effective_sample_size(weight)
    assert np.all(morphed.events.theta == theta)
    assert morphed.events.score is None


def test_morphing_there_and_back(events, rates):
    there = morph(events, np.array([0.2, 0.2]), rates).events
    again = morph(there, np.array([-0.1, 0.0]), rates).events
    direct = morph(events, np.array([-0.1, 0.0]), rates).events
    np.testing.assert_allclose(again.weight, direct.weight, rtol=1e-12)


def test_unweighted_events_are_morphed_as_well(events, rates):
    bare = Events(theta=events.theta, x=events.x, components=events.components)
    ratio = component_log_ratio(events.components, np.array([[0.1, 0.0]]), events.theta, rates)
    np.testing.assert_allclose(morph(bare, [0.1, 0.0], rates).events.weight, np.exp(ratio))


def test_signs_are_kept_and_impossible_events_weigh_nothing(rates):
    components = np.array([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [-1.0, 0.5, 0.0, 0.0, 0.0, 0.0]])
    components = np.concatenate([components, np.zeros((1, 6))])
    drawn = Events(np.zeros((3, 2)), np.zeros((3, 1)), np.array([1.0, -2.0, 3.0]))
    events = dataclasses.replace(drawn, components=components)
    moved = morphed_events(events, np.array([0.5, 0.0]), rates)
    scale = rates[0] / (monomials([[0.5, 0.0]]) @ rates)[0]
    np.testing.assert_allclose(moved.weight, scale * np.array([1.0, -1.5, 0.0]))


def test_few_effective_events_are_warned_of_and_fewer_refused(events, rates):
    peaked = np.ones(N)
    peaked[:300] = 1000.0
    poor = Events(events.theta, events.x, weight=peaked, components=events.components)
    with pytest.warns(UserWarning, match=rf"worth \d+ of its {N} events"):
        morph(poor, np.zeros(2), rates)
    peaked[20:] = 1e-6
    with pytest.raises(DataError, match="at least 50"):
        morph(poor, np.zeros(2), rates)


def test_weights_that_cancel_are_what_is_wrong(events, rates):
    nothing = Events(events.theta, events.x, weight=np.zeros(N), components=events.components)
    with pytest.raises(DataError, match="found 0; give events whose weights have a positive sum"):
        morph(nothing, np.zeros(2), rates)


def test_events_without_components_and_points_at_infinity(events, rates):
    with pytest.raises(DataError, match="component weights"):
        morph(Events(events.theta, events.x), np.zeros(2), rates)
    with pytest.raises(InputError, match="finite"):
        morph(events, np.array([np.inf, 0.0]), rates)
