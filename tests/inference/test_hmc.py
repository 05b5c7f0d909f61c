import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference import (
    EventSetLikelihood,
    McmcSettings,
    grid_posterior,
    log_posterior,
    log_prior,
    sample_by_gradient,
)
from lfi_mflow.simulation.priors import Normal, Prior, Uniform


def pull(draws, mean, sd):
    """Deviation of the mean in units of its Monte Carlo error."""
    return (draws.theta.mean((-3, -2)).numpy() - mean) / (sd / np.sqrt(draws.convergence.ess_bulk))


@pytest.mark.statistical
def test_twenty_correlated_parameters(generator):
    matrix = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    covariance = matrix @ matrix.T + 0.1 * torch.eye(20, dtype=torch.float64)
    precision = torch.linalg.inv(covariance)

    def density(theta):
        return -0.5 * ((theta @ precision) * theta).sum(-1)

    draws = sample_by_gradient(density, Prior((Normal(0.0, 30.0),) * 20), generator=generator)
    scale = covariance.diag().sqrt()
    assert draws.convergence.r_hat.max() <= 1.01
    assert draws.convergence.ess.min() >= 400
    assert not draws.diverging.any()
    assert draws.evaluations < 2_500
    assert np.abs(pull(draws, 0.0, scale.numpy())).max() < 4
    found = torch.cov(draws.theta.flatten(0, 1).T)
    torch.testing.assert_close(
        found / scale / scale[:, None], covariance / scale / scale[:, None], atol=0.12, rtol=0
    )


def banana(theta):
    return -0.5 * theta[..., 0] ** 2 - 0.5 * (theta[..., 1] - theta[..., 0] ** 2) ** 2


@pytest.mark.statistical
def test_banana_against_the_grid(generator):
    prior = Prior((Uniform(-6.0, 6.0), Uniform(-6.0, 20.0)))
    settings = McmcSettings(max_evaluations=4_000)
    draws = sample_by_gradient(banana, prior, generator=generator, settings=settings)
    assert draws.convergence.r_hat.max() <= 1.02
    assert draws.convergence.ess.min() >= 400
    grid = grid_posterior(banana, prior)
    assert np.abs(pull(draws, grid.mean.numpy(), grid.sd.numpy())).max() < 4
    flat = draws.theta.flatten(0, 1)
    for level in (0.16, 0.5, 0.84):
        difference = (flat.quantile(level, dim=0) - grid.quantile(level)) / grid.sd
        assert difference.abs().max() < 0.12


@pytest.mark.statistical
def test_uniform_prior_that_cuts_the_likelihood(generator):
    prior = Prior((Uniform(-1.0, 1.0), Uniform(0.0, 2.0)))
    draws = sample_by_gradient(lambda t: 4.0 * t[..., 0], prior, generator=generator)
    exact = stats.truncexpon(b=8.0, scale=0.25)  # of 1 - theta
    thinned = draws.theta[:, ::10].flatten(0, 1).numpy()
    assert stats.kstest(1.0 - thinned[:, 0], exact.cdf).pvalue > 1e-3
    assert stats.kstest(thinned[:, 1], stats.uniform(0, 2).cdf).pvalue > 1e-3
    assert ((draws.theta >= torch.tensor([-1.0, 0.0])) & (draws.theta <= 2.0)).all()


@pytest.mark.statistical
def test_conjugate_gaussian_far_narrower_than_the_prior(gaussian_flow, conjugate, generator):
    exact = conjugate(500, dim=3)
    likelihood = EventSetLikelihood(gaussian_flow(3), torch.tensor(exact.x).float())
    density = log_posterior(likelihood, exact.prior)
    draws = sample_by_gradient(density, exact.prior, generator=generator)
    assert np.abs(pull(draws, exact.mean, exact.sd)).max() < 4
    np.testing.assert_allclose(draws.theta.std((0, 1)), exact.sd, rtol=0.04)


@pytest.mark.statistical
def test_many_data_sets_of_different_width_at_once(generator):
    width = torch.logspace(-2, 0, 10, dtype=torch.float64)[:, None]

    def density(theta):
        return -0.5 * (theta / width.unsqueeze(-1)).square().sum(-1)

    prior = Prior((Uniform(-8.0, 8.0),) * 2)
    draws = sample_by_gradient(density, prior, generator=generator, data_sets=10)
    assert draws.theta.shape == (10, 32, 160, 2)
    assert draws.diverging.shape == draws.log_prob.shape == (10, 32, 160)
    assert draws.convergence.r_hat.max() <= 1.01
    found = draws.theta.flatten(1, 2).std(1)
    np.testing.assert_allclose(found, width.expand(10, 2), rtol=0.08)


def test_a_corner_that_the_step_does_not_resolve_diverges(generator):
    # Neal's funnel: the scale of the second parameter falls to nothing with the first.
    def density(theta):
        v, x = theta.unbind(-1)
        return -0.5 * (v / 3) ** 2 - 0.5 * x**2 * torch.exp(-2 * v) - v

    prior = Prior((Normal(0.0, 10.0), Normal(0.0, 1_000.0)))
    settings = McmcSettings(draws=20, max_evaluations=800)
    draws = sample_by_gradient(density, prior, generator=generator, settings=settings)
    assert draws.diverging.any()


def test_equal_seeds_give_equal_draws():
    prior = Prior((Uniform(-1.0, 1.0),))
    runs = [
        sample_by_gradient(
            lambda t: t[..., 0], prior, generator=torch.Generator().manual_seed(seed)
        ).theta
        for seed in (5, 5, 6)
    ]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_what_cannot_be_sampled_is_refused(generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    with pytest.raises(InputError, match=r"NaN at theta = \("):
        sample_by_gradient(lambda t: torch.log(t[..., 0]), prior, generator=generator)
    with pytest.raises(InputError, match="zero at all of 256 draws"):
        sample_by_gradient(lambda t: t[..., 0] - math.inf, prior, generator=generator)
    with pytest.raises(InputError, match="differentiable in theta"):
        sample_by_gradient(lambda t: t[..., 0].detach(), prior, generator=generator)
    with pytest.raises(ConfigError, match="at least 4 chains"):
        sample_by_gradient(
            log_prior(prior), prior, generator=generator, settings=McmcSettings(chains=2)
        )
