"""Distances to the manifold: what they may depend on, and what they may not."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import distance_theta_dependence, off_manifold_p_values, too_small
from lfi_mflow.errors import DataError

LEVELS = np.linspace(0, 1, 1001)


def _events(rng, theta, by_u=0.0, by_theta=0.0, by_square=0.0):
    """Distances and latents u = theta + N(0, 2^2) of events, one per theta."""
    u = theta + 2.0 * rng.normal(size=theta.shape)
    size = np.exp(by_u * u + by_theta * theta + by_square * theta**2)
    return size * np.abs(rng.normal(size=theta.shape)), u


def _dependence(rng, n=1_000, **fault):
    theta = rng.normal(size=n)
    distance, u = _events(rng, theta, **fault)
    return distance_theta_dependence(distance, theta[:, None], u[:, None], rng)


def _sets(rng, sets=60, events=20, larger=1.0, outliers=0.0, **fault):
    reference = _events(rng, rng.normal(size=10_000), **fault)[0]
    theta = np.repeat(rng.normal(size=(sets, 1)), events, axis=1)
    distance = larger * _events(rng, theta, **fault)[0]
    distance = np.where(rng.uniform(size=distance.shape) < outliers, 20.0, distance)
    return off_manifold_p_values(distance, np.quantile(reference, LEVELS), 10_000)


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [{}, {"by_u": 0.3}])
def test_level_of_the_residual(fault, rng, share_below):
    # What theta does to the distance through u alone is no loss. 5 expected; P(> 12) = 0.15 %
    assert share_below(lambda: _dependence(rng, **fault), 0.05, 100) <= 0.12


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [{"by_theta": 0.3}, {"by_theta": -0.3}, {"by_square": 0.3}])
def test_a_residual_that_knows_theta_is_caught(fault, rng, share_below):
    assert share_below(lambda: _dependence(rng, n=2_000, **fault), 0.05, 40) >= 0.95


@pytest.mark.statistical
def test_level_of_the_off_manifold_p_values(rng, share_below):
    # 2 expected of 40; P(> 6) = 0.3 %
    assert share_below(lambda: too_small(_sets(rng)), 0.05, 40) <= 6 / 40


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [{"larger": 1.2}, {"outliers": 0.01}, {"by_theta": 0.5}])
def test_true_events_that_look_wrong_are_caught(fault, rng, share_below):
    assert share_below(lambda: too_small(_sets(rng, sets=200, **fault)), 0.05, 8) == 1.0


def test_p_values_that_are_too_large_are_no_fault(rng):
    assert too_small(np.ones(100)) == 1.0
    assert too_small(rng.uniform(0, 0.5, 100)) < 1e-6


def test_events_that_do_not_belong_together_are_refused(rng):
    with pytest.raises(DataError, match="N >= 20"):
        distance_theta_dependence(np.zeros(30), np.zeros((29, 1)), np.zeros((30, 2)), rng)
