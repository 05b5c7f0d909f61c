"""The tasks of the sbibm benchmark: their densities, exact posteriors, and the samplers' gate.

The gate: with the exact likelihood plugged in, a classifier cannot tell the samplers of this
package from exact samples, nor from the reference samples of the benchmark where those are
at hand (LFI_MFLOW_TEST_DATA).
"""

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.closure.c2st import c2st
from lfi_mflow.inference import (
    McmcSettings,
    SimulatorLikelihood,
    grid_posterior,
    log_posterior,
    sample_posterior,
)
from lfi_mflow.simulation import check_simulator

NAMES = ("two_moons", "slcp", "gaussian_linear", "gaussian_linear_uniform", "bernoulli_glm")
LOW, HIGH = 0.48, 0.53  # C2ST of 2,000 and 2,000 equal samples: 0.5 +- 0.0095


@pytest.fixture
def make(tasks):
    """A function that simulates an event of a task: its simulator and x, with shape (1, d)."""

    def simulate(name, seed=1):
        simulator, rng = tasks.TASKS[name], np.random.default_rng(seed)
        theta = 0.7 * simulator.prior.sample(1, rng)
        return simulator, simulator.simulate(theta, rng).x

    return simulate


@pytest.mark.parametrize("name", NAMES)
def test_tasks_are_simulators(tasks, name):
    simulator = tasks.TASKS[name]
    assert any("log_prob" in line for line in check_simulator(simulator, prior=simulator.prior))


def test_the_crescent_has_its_density(tasks):
    simulator = tasks.TASKS["two_moons"]
    theta = np.array([[0.3, 0.4]])
    x = simulator.simulate(theta.repeat(20_000, axis=0), np.random.default_rng(2)).x
    axes = np.linspace(x.min(axis=0) - 0.02, x.max(axis=0) + 0.02, 800).T
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(simulator.log_prob(grid, theta.repeat(len(grid), axis=0)))
    cell = (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
    assert density.sum() * cell == pytest.approx(1.0, abs=0.01)
    mean = density @ grid * cell
    np.testing.assert_allclose(mean, x.mean(0), atol=0.003)


def test_the_points_of_slcp_are_normal(tasks):
    simulator, rng = tasks.TASKS["slcp"], np.random.default_rng(3)
    theta = rng.uniform(-3, 3, (5, 5))
    x = simulator.simulate(theta, rng).x
    found = simulator.log_prob(x, theta)
    for row, (m1, m2, root1, root2, t) in enumerate(theta):
        s1, s2, rho = root1**2, root2**2, np.tanh(t)
        covariance = [[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]
        wanted = stats.multivariate_normal((m1, m2), covariance).logpdf(x[row].reshape(4, 2)).sum()
        assert found[row] == pytest.approx(wanted, rel=1e-6)


def test_points_of_slcp_follow_their_density(tasks):
    """The mean log-density is minus the entropy of four normal points."""
    simulator, theta = tasks.TASKS["slcp"], np.array([[0.7, -2.9, -1.0, -0.9, 0.6]])
    rows = theta.repeat(20_000, axis=0)
    x = simulator.simulate(rows, np.random.default_rng(4)).x
    s1, s2, rho = 1.0, 0.81, np.tanh(0.6)
    covariance = np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]])
    entropy = 4 * stats.multivariate_normal(cov=covariance).entropy()
    assert -simulator.log_prob(x, rows).mean() == pytest.approx(entropy, abs=0.06)  # 4 sigma
    np.testing.assert_allclose(np.cov(x[:, :2].T), covariance, atol=0.04)


def test_the_spikes_have_their_odds(tasks):
    simulator, rng = tasks.TASKS["bernoulli_glm"], np.random.default_rng(5)
    theta = rng.standard_normal((2, 10))
    spikes = (rng.random((1, 100)) < 0.5).astype(float)
    chance = 1 / (1 + np.exp(-simulator.published(theta) @ simulator.design.T))
    wanted = np.log(np.where(spikes == 1, chance, 1 - chance)).sum(axis=1)
    found = simulator.log_prob((spikes @ simulator.design).repeat(2, axis=0), theta)
    assert found[1] - found[0] == pytest.approx(wanted[1] - wanted[0])
    assert np.cov(simulator.root @ rng.standard_normal((10, 50_000)))[0, 0] == pytest.approx(
        2.0, rel=0.05
    )


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["two_moons", "slcp"])
def test_exact_draws_are_those_of_the_likelihood(make, name):
    """Means of log p(x | theta) and |theta|, against weighted prior draws: 5 standard errors."""
    simulator, x = make(name)
    draws = simulator.sample_exactly(x[0], 4_000, np.random.default_rng(6))
    assert draws.shape == (4_000, simulator.prior.dim)
    assert simulator.prior.contains(draws).all()
    prior = simulator.prior.sample(400_000, np.random.default_rng(7))
    weight, ours = (
        simulator.log_prob(x.repeat(len(theta), axis=0), theta) for theta in (prior, draws)
    )
    inside = np.isfinite(weight)
    prior, weight = prior[inside], weight[inside]
    share = np.exp(weight - weight.max())
    share /= share.sum()
    found = np.column_stack([ours, np.abs(draws)])
    expected = share @ np.column_stack([weight, np.abs(prior)])
    error = found.std(axis=0) * ((share**2).sum() + 1 / len(draws)) ** 0.5
    assert 1 / (share**2).sum() > 200
    assert (np.abs(found.mean(axis=0) - expected) < 5 * error).all()


@pytest.mark.statistical
def test_exact_draws_of_the_normal_tasks(make):
    """Kolmogorov-Smirnov tests of twenty columns, false alarms 1 in 1,000."""
    p_values = []
    for name in ("gaussian_linear", "gaussian_linear_uniform"):
        simulator, x = make(name)
        draws = simulator.sample_exactly(x[0], 4_000, np.random.default_rng(8))
        for column, value in zip(draws.T, x[0], strict=True):
            if name == "gaussian_linear":
                exact = stats.norm(value / 2, 0.05**0.5)
            else:
                sd = 0.1**0.5
                exact = stats.truncnorm((-1 - value) / sd, (1 - value) / sd, value, sd)
            p_values.append(stats.kstest(column, exact.cdf).pvalue)
    assert min(p_values) > 1e-3 / len(p_values)


@pytest.mark.parametrize("name", NAMES)
def test_the_references_are_of_these_tasks(tasks, script, data_folder, name):
    x, reference = script("sbibm_references").reference_samples(data_folder / "sbibm", name, 1)
    simulator = tasks.TASKS[name]
    assert reference.shape == (10_000, simulator.prior.dim)
    assert x.shape == (len(simulator.observables),)
    if name == "bernoulli_glm":  # the mean of a posterior is where its score averages to zero
        score = x - (1 / (1 + np.exp(-reference @ simulator.design.T))) @ simulator.design
        precision = np.linalg.inv(simulator.root @ simulator.root.T)
        assert np.abs((score - reference @ precision).mean(axis=0)).max() < 0.5
        return
    exact = simulator.sample_exactly(x, 10_000, np.random.default_rng(9))
    p_values = [stats.ks_2samp(a, b).pvalue for a, b in zip(exact.T, reference.T, strict=True)]
    assert min(p_values) > 1e-3 / len(p_values)


def test_what_is_no_event_is_refused(tasks, monkeypatch):
    monkeypatch.setattr(tasks, "_MAX_BLOCKS", 3)
    with pytest.raises(RuntimeError, match="is x an event"):
        tasks.TASKS["two_moons"].sample_exactly(np.array([50.0, 0.0]), 10, np.random.default_rng(1))


def gate(simulator, x, ours, n=2_000, seed=10):
    """C2ST of n of our draws against as many exact ones."""
    rng = np.random.default_rng(seed)
    exact = simulator.sample_exactly(x[0], n, rng)
    return c2st(rng.permutation(ours)[:n], exact, seed=1).value


def chains(simulator, x, ess):
    """Draws of the chains under the exact likelihood."""
    target = log_posterior(SimulatorLikelihood(simulator, x), simulator.prior)
    settings = McmcSettings(chains=64, ess=ess, max_evaluations=40_000)
    generator = torch.Generator().manual_seed(1)
    draws = sample_posterior(target, simulator.prior, generator=generator, settings=settings)
    return draws.theta.flatten(0, 1).numpy()


@pytest.mark.statistical
def test_gate_of_the_grid(make):
    simulator, x = make("two_moons")
    target = log_posterior(SimulatorLikelihood(simulator, x), simulator.prior)
    grid = grid_posterior(target, simulator.prior)
    ours = grid.sample(2_000, torch.Generator().manual_seed(1)).numpy()
    assert LOW <= gate(simulator, x, ours) <= HIGH


@pytest.mark.statistical
def test_gate_of_the_chains_on_two_crescents(make):
    simulator, x = make("two_moons")
    ours = chains(simulator, x, ess=4_000)
    assert 0.4 < (ours.sum(axis=1) > 0).mean() < 0.6
    assert LOW <= gate(simulator, x, ours, n=4_000) <= HIGH


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("name", ["slcp", "gaussian_linear"])
def test_gate_of_the_chains(make, name):
    simulator, x = make(name)
    ours = chains(simulator, x, ess=3_000)
    if name == "slcp":  # both signs of both
        modes = [((ours[:, 2:4] > 0) == signs).all(1).mean() for signs in np.ndindex(2, 2)]
        assert min(modes) > 0.2
    assert LOW <= gate(simulator, x, ours) <= HIGH
