"""Posteriors of many sets at once, against conjugate normal ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfi_mflow.closure.posteriors import sample_posteriors
from lfi_mflow.simulation import Normal, Prior, Uniform

MEANS = torch.tensor([[0.5, -1.0, 0.2], [0.0, 2.0, -0.5], [1.5, 0.3, 1.0]], dtype=torch.float64)


def _sets(p, n_draws, prior):
    """Three posteriors with likelihood N(mean, 0.5^2) in each parameter."""

    def likelihood(x):
        return lambda theta: -0.5 * (((theta - torch.from_numpy(x)) / 0.5) ** 2).sum(-1)

    return sample_posteriors(likelihood, MEANS[:, None, :p].numpy(), prior, n_draws, seed=1)


@pytest.mark.statistical
@pytest.mark.parametrize("p", [1, 2, 3])
def test_draws_have_the_moments_of_the_posterior(p):
    posteriors = _sets(p, 2_000, Prior((Normal(0.0, 1.0),) * p))
    assert posteriors.draws.shape == (3, 2_000, p)
    # Precisions add: 1 / 0.5^2 + 1 = 5. Two thousand draws, at least 400 independent.
    assert posteriors.draws.mean(axis=1) == pytest.approx(0.8 * MEANS[:, :p].numpy(), abs=0.1)
    assert posteriors.draws.std(axis=1) == pytest.approx(np.full((3, p), 0.2**0.5), rel=0.15)


@pytest.mark.parametrize(("p", "tolerance"), [(1, 0.002), (2, 0.01), (3, 0.15)])
def test_marginal_densities_are_those_of_the_posterior(p, tolerance):
    posteriors = _sets(p, 2_000, Prior((Normal(0.0, 1.0),) * p))
    theta = np.linspace(-1.5, 2.5, 81)
    for column in range(p):
        mean, sd = 0.8 * float(MEANS[1, column]), 0.2**0.5
        expected = np.exp(-0.5 * ((theta - mean) / sd) ** 2) / (sd * np.sqrt(2 * np.pi))
        assert posteriors.marginal(1, column, theta) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(("p", "tolerance"), [(1, 0.01), (2, 0.05), (3, 1e-9)])
def test_log_density_differences_are_those_of_the_posterior(p, tolerance):
    posteriors = _sets(p, 500, Prior((Normal(0.0, 1.0),) * p))
    points = 0.8 * MEANS[:, None, :p].numpy() + np.array([0.0, 0.3, -0.5])[None, :, None]
    found = posteriors.log_prob(points)
    assert found.shape == (3, 3)
    # The posterior is N(0.8 mean, 0.2).
    expected = -0.5 * p * np.array([0.0, 0.09, 0.25]) / 0.2
    assert found - found[:, :1] == pytest.approx(np.tile(expected, (3, 1)), abs=tolerance * p)


def test_log_density_is_that_of_nothing_outside_the_prior():
    posteriors = _sets(1, 100, Prior((Uniform(-1.0, 1.0),)))
    assert np.array_equal(posteriors.log_prob(np.full((3, 1, 1), 1.2)), np.full((3, 1), -np.inf))


def test_density_is_zero_outside_the_prior():
    posteriors = _sets(1, 500, Prior((Uniform(-1.0, 1.0),)))
    outside = posteriors.marginal(2, 0, np.array([-1.5, 1.2]))
    assert np.array_equal(outside, [0.0, 0.0])
    assert np.abs(posteriors.draws).max() <= 1.0


def test_span_holds_both_posteriors_and_stays_in_the_prior():
    posteriors = _sets(1, 2_000, Prior((Uniform(-1.0, 1.0),)))
    span = posteriors.span(2, 0, posteriors)
    assert span[-1] == 1.0  # cut by the prior
    assert -1.0 <= span[0] < np.quantile(posteriors.draws[2], 0.01)
    assert np.all(np.diff(span) > 0)


def test_the_seed_decides():
    prior = Prior((Normal(0.0, 1.0),))
    assert np.array_equal(_sets(1, 100, prior).draws, _sets(1, 100, prior).draws)
