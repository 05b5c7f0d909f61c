import math

import emcee
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
    sample_posterior,
)
from lfi_mflow.simulation.priors import Normal, Prior, Uniform

LONG = McmcSettings(draws=1_250)  # 40,000 draws: their mean is known to half a per cent


def pull(draws, expected_mean, expected_sd):
    """Deviation of the mean in units of its Monte Carlo error."""
    error = expected_sd / np.sqrt(draws.convergence.ess_bulk)
    return (draws.theta.mean((-3, -2)).numpy() - expected_mean) / error


@pytest.mark.statistical
@pytest.mark.parametrize("events", [1, 100, 10_000])
def test_conjugate_gaussian_to_one_per_cent(gaussian_flow, conjugate, generator, events):
    exact = conjugate(events)
    likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(exact.x).float())
    density = log_posterior(likelihood, exact.prior)
    settings = LONG if events < 10_000 else McmcSettings(draws=400)
    draws = sample_posterior(density, exact.prior, generator=generator, settings=settings)
    assert draws.theta.mean() == pytest.approx(exact.mean.item(), abs=0.01 * exact.sd + 1e-9)
    assert draws.theta.std() == pytest.approx(exact.sd, rel=0.01)
    assert draws.convergence.r_hat.max() <= 1.01


@pytest.mark.statistical
def test_conjugate_gaussian_with_many_events(gaussian_flow, conjugate, generator):
    exact = conjugate(100_000)
    likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(exact.x).float())
    density = log_posterior(likelihood, exact.prior)
    draws = sample_posterior(density, exact.prior, generator=generator)
    assert abs(pull(draws, exact.mean, exact.sd)) < 3
    assert draws.theta.std() == pytest.approx(exact.sd, rel=0.05)
    assert draws.convergence.r_hat.max() <= 1.01


@pytest.mark.statistical
def test_five_thousand_draws_need_few_sequential_evaluations(gaussian_flow, conjugate):
    evaluations = []
    for seed in range(10):
        exact = conjugate(10, seed=seed)
        prior = Prior((Uniform(-3.0, 3.0),))
        likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(exact.x).float())
        calls = []

        def counted(theta, likelihood=likelihood, calls=calls):
            calls.append(theta.shape)
            return likelihood(theta)

        draws = sample_posterior(
            log_posterior(counted, prior),
            prior,
            generator=torch.Generator().manual_seed(seed),
        )
        assert draws.theta[..., 0].numel() >= 5_000
        assert draws.convergence.r_hat.max() <= 1.01
        assert draws.evaluations == len(calls)
        evaluations.append(draws.evaluations)
    assert np.median(evaluations) <= 250
    assert max(evaluations) <= 450


@pytest.mark.statistical
def test_bounded_posterior_that_piles_up_at_the_edge(generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    draws = sample_posterior(lambda theta: 4.0 * theta[..., 0], prior, generator=generator)
    exact = stats.truncexpon(b=8.0, scale=0.25)  # of 1 - theta
    assert abs(pull(draws, 1.0 - exact.mean(), exact.std())) < 3.5
    assert draws.theta.std() == pytest.approx(exact.std(), rel=0.05)
    assert draws.theta.abs().max() <= 1.0
    thinned = 1.0 - draws.theta[:, ::10].flatten().numpy()
    assert stats.kstest(thinned, exact.cdf).pvalue > 1e-3


@pytest.mark.statistical
def test_flat_posterior_is_the_prior(generator):
    prior = Prior((Uniform(0.0, 2.0), Normal(1.0, 3.0)))
    draws = sample_posterior(log_prior(prior), prior, generator=generator)
    thinned = draws.theta[:, ::10].flatten(0, 1).numpy()
    assert stats.kstest(thinned[:, 0], stats.uniform(0, 2).cdf).pvalue > 1e-3
    assert stats.kstest(thinned[:, 1], stats.norm(1, 3).cdf).pvalue > 1e-3


@pytest.mark.statistical
@pytest.mark.parametrize("gap", [5.0, 20.0])
def test_two_modes_get_their_shares(generator, gap):
    def density(theta):
        first = -0.5 * ((theta - gap / 2) / 0.7).square().sum(-1) + math.log(2.0)
        second = -0.5 * ((theta + gap / 2) / 0.7).square().sum(-1)
        return torch.logaddexp(first, second)

    prior = Prior((Uniform(-15.0, 15.0),))
    draws = sample_posterior(density, prior, generator=generator)
    share = (draws.theta > 0).double().mean().item()
    error = math.sqrt(2 / 9 / draws.convergence.ess_bulk.item())
    assert abs(share - 2 / 3) < 3.5 * error
    assert draws.convergence.r_hat.max() <= 1.01


def banana(theta):
    return -0.5 * theta[..., 0] ** 2 - 0.5 * ((theta[..., 1] - theta[..., 0] ** 2) / 0.5) ** 2


@pytest.mark.statistical
def test_banana_against_grid_and_emcee(generator):
    prior = Prior((Uniform(-6.0, 6.0), Uniform(-6.0, 20.0)))
    draws = sample_posterior(banana, prior, generator=generator)
    assert draws.convergence.r_hat.max() <= 1.01
    grid = grid_posterior(banana, prior)
    assert np.abs(pull(draws, grid.mean.numpy(), grid.sd.numpy())).max() < 4
    flat = draws.theta.flatten(0, 1)
    for level in (0.16, 0.5, 0.84):
        difference = (flat.quantile(level, dim=0) - grid.quantile(level)) / grid.sd
        assert difference.abs().max() < 0.12

    def vectorised(theta):
        inside = prior.contains(theta)
        return np.where(inside, banana(torch.tensor(theta)).numpy(), -np.inf)

    start = np.random.default_rng(0).normal(size=(40, 2))
    other = emcee.EnsembleSampler(40, 2, vectorised, vectorize=True)
    other.random_state = np.random.RandomState(1).get_state()
    other.run_mcmc(start, 2_500)
    chain = other.get_chain(discard=500, flat=True)
    np.testing.assert_allclose(flat.mean(0), chain.mean(0), atol=0.12)
    np.testing.assert_allclose(flat.std(0), chain.std(0), rtol=0.12)


@pytest.mark.statistical
def test_five_correlated_parameters(gaussian_flow, generator):
    matrix = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    covariance = matrix @ matrix.T + 0.1 * torch.eye(5, dtype=torch.float64)
    precision = torch.linalg.inv(covariance)
    prior = Prior((Normal(0.0, 10.0),) * 5)

    def density(theta):
        return -0.5 * torch.einsum("...i,ij,...j", theta, precision, theta)

    draws = sample_posterior(density, prior, generator=generator)
    assert draws.convergence.r_hat.max() <= 1.01
    assert np.abs(pull(draws, 0.0, covariance.diag().sqrt().numpy())).max() < 4
    found = torch.cov(draws.theta.flatten(0, 1).T)
    scale = covariance.diag().sqrt()
    torch.testing.assert_close(
        found / scale / scale[:, None], covariance / scale / scale[:, None], atol=0.12, rtol=0
    )


@pytest.mark.statistical
def test_many_data_sets_at_once(gaussian_flow, conjugate, generator):
    exact = [conjugate(20, dim=2, seed=seed) for seed in range(12)]
    x = torch.tensor(np.stack([case.x for case in exact])).float()
    density = log_posterior(EventSetLikelihood(gaussian_flow(2), x), exact[0].prior)
    settings = McmcSettings(r_hat=1.03)
    draws = sample_posterior(
        density, exact[0].prior, generator=generator, data_sets=12, settings=settings
    )
    assert draws.theta.shape == (12, 32, 160, 2)
    assert draws.log_prob.shape == (12, 32, 160)
    assert draws.acceptance.shape == (12, 32)
    assert draws.convergence.r_hat.shape == (12, 2)
    pulls = pull(draws, np.stack([case.mean for case in exact]), exact[0].sd)
    assert np.abs(pulls).max() < 4.5
    assert np.mean(pulls**2) == pytest.approx(1.0, abs=0.5)


def test_record_of_one_data_set(conjugate, generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    draws = sample_posterior(lambda theta: theta[..., 0], prior, generator=generator)
    assert draws.theta.shape == (32, 160, 1)
    torch.testing.assert_close(draws.log_prob, draws.theta[..., 0])
    assert draws.acceptance.shape == (32,)
    assert ((draws.acceptance > 0.2) & (draws.acceptance <= 1)).all()
    assert 0 < draws.warm_up < draws.evaluations
    assert draws.evaluations - draws.warm_up == 160 * draws.thinning


def test_same_seed_same_draws_and_no_global_seed():
    prior = Prior((Uniform(-1.0, 1.0),))
    runs = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        generator = torch.Generator().manual_seed(5)
        runs.append(sample_posterior(lambda t: t[..., 0], prior, generator=generator).theta)
        assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(*runs)


def test_sampling_goes_on_until_the_effective_size_is_reached(generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    wanted = McmcSettings(draws=20, ess=400.0, r_hat=1.05)
    draws = sample_posterior(lambda t: t[..., 0], prior, generator=generator, settings=wanted)
    assert draws.theta.shape == (32, 20, 1)
    assert draws.convergence.ess.min() >= 400
    hopeless = McmcSettings(draws=20, ess=1e9, max_evaluations=500)
    draws = sample_posterior(lambda t: t[..., 0], prior, generator=generator, settings=hopeless)
    assert draws.evaluations <= 500
    assert draws.thinning > 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (McmcSettings(chains=31), "even number of at least 8"),
        (McmcSettings(chains=6), "even number of at least 8"),
        (McmcSettings(draws=3), "at least 4 draws"),
    ],
)
def test_useless_settings_are_refused(settings, message, generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    with pytest.raises(ConfigError, match=message):
        sample_posterior(log_prior(prior), prior, generator=generator, settings=settings)


def test_nan_and_empty_posteriors_are_refused(generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    with pytest.raises(InputError, match=r"NaN at theta = \("):
        sample_posterior(lambda t: torch.log(t[..., 0]), prior, generator=generator)
    with pytest.raises(InputError, match="zero at all of 256 draws"):
        sample_posterior(lambda t: t[..., 0] - math.inf, prior, generator=generator)


def test_regions_without_density_are_left_out(generator):
    prior = Prior((Uniform(-1.0, 1.0),))
    draws = sample_posterior(
        lambda t: torch.where(t[..., 0] > 0.9, 0.0, -math.inf).double(), prior, generator=generator
    )
    assert draws.theta.min() > 0.9
    assert draws.theta.mean() == pytest.approx(0.95, abs=0.003)
