import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference import (
    EventSetLikelihood,
    GridSettings,
    SimulatorLikelihood,
    grid_posterior,
    log_posterior,
)
from lfi_mflow.simulation.priors import Normal, Prior, Uniform


@pytest.mark.parametrize("events", [1, 100, 10_000, 100_000])
def test_conjugate_gaussian_to_one_per_cent(gaussian_flow, conjugate, events):
    exact = conjugate(events)
    likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(exact.x).float())
    grid = grid_posterior(log_posterior(likelihood, exact.prior), exact.prior)
    assert grid.mean.item() == pytest.approx(exact.mean.item(), abs=0.01 * exact.sd)
    assert grid.sd.item() == pytest.approx(exact.sd, rel=0.01)


def test_exact_posterior_of_a_simulator(gaussian_simulator, conjugate):
    exact = [conjugate(50, seed=seed) for seed in range(4)]
    x = np.stack([case.x for case in exact])
    density = log_posterior(SimulatorLikelihood(gaussian_simulator, x), exact[0].prior)
    grid = grid_posterior(density, exact[0].prior, data_sets=4)
    np.testing.assert_allclose(grid.mean, [case.mean for case in exact], atol=1e-6)
    np.testing.assert_allclose(grid.sd, exact[0].sd, rtol=1e-6)
    # The evidence is the density of x under N(0.5, NOISE^2 + 2^2 1 1^T).
    covariance = 0.7**2 * np.eye(50) + 4.0
    marginal = stats.multivariate_normal(np.full(50, 0.5), covariance)
    np.testing.assert_allclose(
        grid.log_evidence, [marginal.logpdf(case.x[:, 0]) for case in exact], atol=1e-6
    )


@pytest.mark.parametrize("width", [0.3, 3e-3, 1e-7])
@pytest.mark.parametrize("dim", [1, 2])
def test_the_grid_finds_narrow_posteriors(width, dim):
    def density(theta):
        return -0.5 * ((theta - 0.123) / width).square().sum(-1)

    prior = Prior((Uniform(-4.0, 4.0),) * dim)
    grid = grid_posterior(density, prior)
    np.testing.assert_allclose((grid.mean - 0.123) / width, 0.0, atol=1e-4)
    np.testing.assert_allclose(grid.sd / width, 1.0, rtol=1e-4)
    assert grid.log_evidence == pytest.approx(dim * math.log(width * math.sqrt(2 * math.pi)))
    assert grid.evidence == pytest.approx(grid.log_evidence.exp())
    assert grid.error <= 1e-3
    assert grid.nodes.shape[-1] == dim


def test_edge_and_hard_cut():
    prior = Prior((Uniform(-1.0, 1.0),))
    grid = grid_posterior(lambda t: 3.0 * t[..., 0], prior)
    exact = stats.truncexpon(b=6.0, scale=1 / 3)
    assert grid.mean.item() == pytest.approx(1 - exact.mean(), abs=1e-3)
    assert grid.sd.item() == pytest.approx(exact.std(), rel=3e-3)
    for level in (0.0, 0.05, 0.5, 0.95, 1.0):
        assert grid.quantile(level).item() == pytest.approx(1 - exact.ppf(1 - level), abs=1e-3)
    cut = grid_posterior(lambda t: torch.where(t[..., 0] > 0.5, 0.0, -torch.inf).double(), prior)
    assert cut.mean.item() == pytest.approx(0.75, abs=2e-3)


def test_two_narrow_modes():
    def density(theta):
        first = -0.5 * ((theta - 0.5) / 0.01).square().sum(-1)
        second = -0.5 * ((theta + 0.5) / 0.005).square().sum(-1)
        return torch.logaddexp(first, second)

    grid = grid_posterior(density, Prior((Uniform(-1.0, 1.0),)))
    assert grid.mean.item() == pytest.approx(0.5 / 3, abs=1e-5)


def correlated(theta):
    along = (theta[..., 0] + theta[..., 1]) / math.sqrt(2) - 0.1
    across = (theta[..., 0] - theta[..., 1]) / math.sqrt(2)
    return -0.5 * (along / 0.3) ** 2 - 0.5 * (across / 0.03) ** 2


@pytest.mark.statistical
def test_two_correlated_parameters_and_draws_from_them(generator):
    grid = grid_posterior(correlated, Prior((Uniform(-3.0, 3.0), Normal(0.0, 3.0))))
    exact_sd = math.sqrt((0.3**2 + 0.03**2) / 2)
    np.testing.assert_allclose(grid.sd, exact_sd, rtol=1e-3)
    draws = grid.sample(40_000, generator)
    assert draws.shape == (40_000, 2)
    np.testing.assert_allclose(draws.mean(0), grid.mean, atol=4 * exact_sd / 200)
    along, across = (draws[:, 0] + draws[:, 1] - 0.1 * math.sqrt(2)), draws[:, 0] - draws[:, 1]
    assert (along / math.sqrt(2)).std() == pytest.approx(0.3, rel=0.02)
    assert (across / math.sqrt(2)).std() == pytest.approx(0.03, rel=0.03)


@pytest.mark.statistical
@pytest.mark.parametrize("dim", [1, 2])
def test_data_sets_do_not_mix(dim, generator):
    centre = torch.linspace(-0.8, 0.8, 7, dtype=torch.float64)[:, None, None]
    width = torch.logspace(-4, -1, 7, dtype=torch.float64)[:, None]

    def density(theta):
        return -0.5 * (theta - centre).square().sum(-1) / width**2

    grid = grid_posterior(density, Prior((Normal(0.0, 5.0),) * dim), data_sets=7)
    assert grid.mean.shape == grid.sd.shape == grid.quantile(0.5).shape == (7, dim)
    np.testing.assert_allclose((grid.mean - centre[:, 0]) / width, 0.0, atol=1e-3)
    np.testing.assert_allclose(grid.sd / width, 1.0, rtol=1e-3)
    np.testing.assert_allclose((grid.quantile(0.84134) - grid.mean) / width, 1.0, atol=0.01)
    standard = (grid.sample(4_000, generator) - centre) / width.unsqueeze(-1)
    assert standard.shape == (7, 4_000, dim)
    for values in standard.flatten(2).transpose(1, 2).flatten(0, 1):
        assert stats.kstest(values, "norm").pvalue > 1e-4


def test_marginals_and_log_prob_are_densities(generator):
    grid = grid_posterior(correlated, Prior((Uniform(-3.0, 3.0),) * 2))
    for parameter in (0, 1):
        nodes, density = grid.marginal(parameter)
        assert torch.trapezoid(density, nodes) == pytest.approx(1.0)
    theta = grid.sample(2_000, generator)
    expected = correlated(theta) - math.log(2 * math.pi * 0.3 * 0.03)
    core = expected > expected.max() - 4
    assert (grid.log_prob(theta) - expected)[core].abs().mean() < 0.05
    line = grid_posterior(lambda t: -0.5 * t[..., 0] ** 2, Prior((Normal(0.0, 5.0),)))
    theta = line.sample(500, generator)
    expected = -0.5 * theta[:, 0] ** 2 - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(line.log_prob(theta), expected, atol=0.02, rtol=0.02)


def test_tolerance_asks_for_more_nodes():
    prior = Prior((Uniform(-1.0, 1.0),))
    coarse, fine = (
        grid_posterior(lambda t: 3.0 * t[..., 0], prior, settings=GridSettings(tolerance=tolerance))
        for tolerance in (1e-2, 1e-5)
    )
    assert fine.axes.shape[-1] > coarse.axes.shape[-1]
    assert fine.error < coarse.error
    assert fine.shape_error < coarse.shape_error


def test_what_a_grid_cannot_do_is_refused():
    prior = Prior((Uniform(-1.0, 1.0),))
    with pytest.raises(ConfigError, match="one or two parameters"):
        grid_posterior(lambda t: t.sum(-1), Prior(prior.marginals * 3))
    with pytest.raises(InputError, match="NaN at theta"):
        grid_posterior(lambda t: torch.log(t[..., 0]), prior)
    with pytest.raises(InputError, match="zero at all 33 nodes"):
        grid_posterior(lambda t: t[..., 0] - torch.inf, prior)
    with pytest.raises(InputError, match="quantile level"):
        grid_posterior(lambda t: t[..., 0], prior).quantile(1.5)


def test_few_evaluations_of_many_events(gaussian_flow, conjugate):
    exact = conjugate(30_000)
    likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(exact.x).float())
    evaluated = []

    def counted(theta):
        evaluated.append(theta.shape[0])
        return likelihood(theta)

    previews = [log_posterior(part, exact.prior) for part in likelihood.previews()]
    assert previews
    density = log_posterior(counted, exact.prior)
    grid = grid_posterior(density, exact.prior, previews=previews)
    assert sum(evaluated) <= 60
    assert grid.mean.item() == pytest.approx(exact.mean.item(), abs=0.01 * exact.sd)
    assert grid.sd.item() == pytest.approx(exact.sd, rel=0.01)
    assert 0 < grid.interpolation_error < 3e-3


def test_previews_that_mislead_do_not_matter():
    prior = Prior((Uniform(-1.0, 1.0),))

    def density(centre):
        return lambda theta: -0.5 * ((theta[..., 0] - centre) / 0.01) ** 2

    grid = grid_posterior(density(0.3), prior, previews=[density(-0.5)])
    assert grid.mean.item() == pytest.approx(0.3, abs=1e-5)
    assert grid.sd.item() == pytest.approx(0.01, rel=1e-3)


def test_a_density_that_no_polynomial_follows_is_evaluated_everywhere():
    prior = Prior((Uniform(-1.0, 1.0),))
    density = lambda theta: -5.0 * theta[..., 0].abs()  # noqa: E731
    grid = grid_posterior(density, prior)
    assert grid.interpolation_error == 0.0
    expected = (1 - 6 * math.exp(-5)) / (5 * (1 - math.exp(-5)))  # mean of |theta|
    drawn = grid.sample(200_000, torch.Generator().manual_seed(0)).abs().mean().item()
    assert drawn == pytest.approx(expected, rel=0.01)


def mixed(theta, rough):
    """Smooth densities, but a kink or a cut where ``rough`` is 1 or 2: (D, T, 1), (D,)."""
    t, kind = theta[..., 0], rough[:, None]
    smooth, kink = -0.5 * ((t - 0.1) / 0.2) ** 2, -5.0 * t.abs()
    cut = torch.where(t > 0.5, 0.0, -torch.inf).double()
    return torch.where(kind == 0, smooth, torch.where(kind == 1, kink, cut))


def test_only_the_data_sets_that_are_not_smooth_are_evaluated_everywhere():
    prior, rough = Prior((Uniform(-1.0, 1.0),)), torch.tensor([0, 1, 0, 2, 0, 0])
    asked = {"all": 0, "some": 0}

    def density(theta):
        asked["all"] += theta.shape[1]
        return mixed(theta, rough)

    def of_sets(sets):
        def some(theta):
            asked["some"] += theta.shape[1] if 1 in rough[sets] or 2 in rough[sets] else 0
            return mixed(theta, rough[sets])

        return some

    grid = grid_posterior(density, prior, data_sets=6, of_sets=of_sets)
    assert torch.equal(grid.interpolation_error == 0.0, rough > 0)
    few, everywhere = asked["all"], asked["some"]
    assert few < 100 < everywhere
    for index, kind in enumerate(rough):
        alone = grid_posterior(lambda t, k=kind: mixed(t[None], k[None])[0], prior)
        assert grid.mean[index].item() == pytest.approx(alone.mean.item(), abs=2e-3)
        assert grid.sd[index].item() == pytest.approx(alone.sd.item(), rel=2e-3)
    asked["all"] = 0
    same = grid_posterior(density, prior, data_sets=6)
    torch.testing.assert_close(same.log_density, grid.log_density)
    assert asked["all"] > everywhere
