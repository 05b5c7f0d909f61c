import numpy as np
import pytest
import torch

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.inference.experiment import Constraint
from lfi_mflow.inference.toys import EventPool, draw_pool, make_table

TRUTHS = np.array([[-1.0], [0.0], [1.0]])
GRID = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]


def test_rows_of_the_pool_follow_every_truth(counting, normal_events):
    likelihood = counting(None).likelihood
    pool = draw_pool(normal_events, likelihood, TRUTHS, size=30_000, seed=1)
    assert pool.x.shape == (30_000, 1)
    mean = pool.probability @ pool.x[:, 0]
    spread = pool.probability @ pool.x[:, 0] ** 2 - mean**2
    np.testing.assert_allclose(mean, TRUTHS[:, 0], atol=0.03)
    np.testing.assert_allclose(spread, 1.0, atol=0.05)
    np.testing.assert_allclose(pool.probability.sum(axis=1), 1.0)
    assert pool.probability.max() <= 3.0 / 30_000 * 1.05
    assert 8_000 < pool.size < 30_000


def test_without_a_density_toys_are_made_of_events_at_their_truth(normal_events):
    pool = draw_pool(normal_events, None, TRUTHS, size=500, seed=1)
    assert pool.x.shape == (1500, 1)
    np.testing.assert_allclose(pool.probability, np.kron(np.eye(3), np.ones(500)) / 500)


def test_weights_of_events_count(counting):
    def source(theta, seed):  # events twice as wide, with the weights that undo it
        z = 2.0 * np.random.default_rng(seed).normal(size=theta.shape)
        return theta + z, np.exp(-0.5 * z**2 + 0.5 * (z / 2) ** 2)[:, 0]

    for density in (counting(None).likelihood, None):
        pool = draw_pool(source, density, TRUTHS, size=20_000, seed=2)
        mean = pool.probability @ pool.x[:, 0]
        spread = pool.probability @ pool.x[:, 0] ** 2 - mean**2
        np.testing.assert_allclose(mean, TRUTHS[:, 0], atol=0.05)
        np.testing.assert_allclose(spread, 1.0, atol=0.07)


def test_toys_have_the_likelihood_of_their_events(counting, normal_events):
    pool = draw_pool(normal_events, counting(None).likelihood, TRUTHS, size=20_000, seed=1)
    table = make_table(counting(None), pool, GRID, count=40)
    toys = table.log_likelihoods(2, pool.probability[1], 2000, np.random.default_rng(0))
    # The maximum of a parabola through three points is the mean of the events.
    left, middle, right = toys[:, 1], toys[:, 2], toys[:, 3]
    mean = 0.25 * (right - left) / (2 * middle - left - right)
    assert mean.mean() == pytest.approx(0.0, abs=0.02)
    assert mean.std() == pytest.approx(1 / np.sqrt(40), rel=0.06)
    assert (2 * middle - left - right) == pytest.approx(40 * 0.25, rel=1e-3)


def test_both_ways_to_add_up_rows_agree(counting, normal_events):
    """Many events per toy are added up by a matrix product, few row by row."""
    pool = draw_pool(normal_events, counting(None).likelihood, TRUTHS, size=1_000, seed=1)
    widths = []
    for count in (40, 80):
        table = make_table(counting(None), pool, GRID, count=count)
        toys = table.log_likelihoods(2, pool.probability[1], 4000, np.random.default_rng(0))
        widths.append((toys[:, 3] - toys[:, 1]).std() / np.sqrt(count))
    assert widths[0] == pytest.approx(widths[1], rel=0.05)


def test_numbers_of_events_fluctuate_where_there_is_a_rate(counting, normal_events):
    experiment = counting([15.0, 5.0, 0.0])
    pool = draw_pool(normal_events, experiment.likelihood, TRUTHS, size=20_000, seed=1)
    table = make_table(experiment, pool, GRID, count=1)
    toys = table.log_likelihoods(2, pool.probability[1], 4000, np.random.default_rng(0))
    # sum(x - 0) * theta - n theta^2 / 2 + n ln(mu / mu_0) - mu + mu_0
    mean = 15.0 * (-0.125 + np.log(17.5 / 15.0)) - 2.5
    assert (toys[:, 3] - toys[:, 2]).mean() == pytest.approx(mean, abs=0.15)
    empty = counting([1e-9])
    none = make_table(empty, pool, GRID, count=1)
    toys = none.log_likelihoods(2, pool.probability[1], 60, np.random.default_rng(0))
    assert np.ptp(toys) == 0.0


def test_auxiliary_measurements_fluctuate(counting, normal_events):
    experiment = counting(None, ("theta", "nu"), constraints=(Constraint(1, 0.3, 0.5),))
    pool = draw_pool(normal_events, None, np.zeros((1, 2)), size=1_000, seed=1)
    grid = torch.tensor([[0.0, -0.5], [0.0, 0.0], [0.0, 0.5]], dtype=torch.float64)
    toys = make_table(experiment, pool, grid, 10).log_likelihoods(
        2, pool.probability[0], 4000, np.random.default_rng(0)
    )
    measured = (toys[:, 2] - toys[:, 0]) * 0.25
    assert measured.mean() == pytest.approx(0.5, abs=0.03)
    assert measured.std() == pytest.approx(0.5, rel=0.05)


def test_the_same_seed_gives_the_same_toys(counting, normal_events):
    def make(seed):
        pool = draw_pool(normal_events, counting(None).likelihood, TRUTHS, size=1_000, seed=seed)
        table = make_table(counting(None), pool, GRID, count=9)
        return table.log_likelihoods(0, pool.probability[0], 60, np.random.default_rng(seed))

    assert np.array_equal(make(1), make(1))
    assert not np.array_equal(make(1), make(2))


def test_poor_pools_and_huge_tables_are_refused(counting, normal_events):
    def source(theta, seed):
        return theta, np.exp(np.linspace(0, 400, len(theta)))

    with pytest.raises(DataError, match="worth at least 50 at every point, found"):
        draw_pool(source, counting(None).likelihood, TRUTHS, size=1_000, seed=1)
    with pytest.raises(DataError, match="negative ones"):
        draw_pool(lambda theta, seed: (theta, theta[:, 0]), None, TRUTHS, size=100, seed=1)
    pool = EventPool(np.zeros((2**16, 1)), np.ones((1, 2**16)))
    with pytest.raises(ConfigError, match="65536 events at 20000 points"):
        make_table(counting(None), pool, torch.zeros(20_000, 1), 1)
