import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.errors import ConfigError, DataError, InputError
from lfi_mflow.inference.experiment import (
    Constraint,
    DataSet,
    asimov_data,
    domain_of,
    with_measured,
)
from lfi_mflow.inference.likelihood import EventSetLikelihood
from lfi_mflow.simulation import Normal, Prior, Uniform


def test_it_is_the_extended_likelihood(counting):
    x = np.random.default_rng(0).normal(size=(17, 1))
    nuisance = Constraint(1, measured=0.4, width=0.2)
    components = [20.0, 1.0, 3.0, 2.0, 0.0, 1.0]
    experiment = counting(components, ("theta", "nu"), constraints=(nuisance,))
    theta = np.random.default_rng(1).uniform(-1, 1, (5, 2))
    found = experiment.log_likelihood(DataSet(x))(torch.tensor(theta))
    a, b = theta.T
    expected = 20.0 + a + 3.0 * b + 2.0 * a**2 + b**2
    exact = (
        stats.poisson.logpmf(17, expected)
        + stats.norm.logpdf(x, a).sum(axis=0)
        + stats.norm.logpdf(0.4, b, 0.2)
    )
    np.testing.assert_allclose(np.diff(found), np.diff(exact), rtol=1e-10)


def test_shape_only_leaves_the_number_out(counting):
    x = np.random.default_rng(0).normal(size=(17, 1))
    found = counting(None).log_likelihood(DataSet(x))(torch.tensor([[0.0], [1.0]]).double())
    exact = stats.norm.logpdf(x, np.array([0.0, 1.0])).sum(axis=0)
    assert found.diff().item() == pytest.approx(np.diff(exact).item())
    assert counting(None).expected([0.0]) is None


def test_a_weight_of_two_is_an_event_twice(counting):
    x = np.random.default_rng(0).normal(size=(60, 1))
    theta = torch.tensor([[[0.0], [1.0]], [[-0.5], [0.2]]], dtype=torch.float64)
    for experiment in (counting(None), counting([20.0, 1.0, 2.0])):
        twice = experiment.log_likelihood(DataSet(np.concatenate([x, x])))(theta)
        weighted = experiment.log_likelihood(DataSet(x, np.full(60, 2.0)))(theta)
        torch.testing.assert_close(weighted, twice)


def test_a_weighted_likelihood_of_a_flow_is_differentiable(gaussian_flow, counting):
    flow = gaussian_flow(1).double()
    x = np.random.default_rng(0).normal(size=(80, 1))
    weight = np.random.default_rng(1).uniform(0.5, 1.5, 80)
    experiment = counting(None)
    object.__setattr__(experiment, "likelihood", lambda x: EventSetLikelihood(flow, x))
    theta = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    density = experiment.log_likelihood(DataSet(x, weight))
    (slope,) = torch.autograd.grad(density(theta), theta)
    assert slope.item() == pytest.approx((weight * (x[:, 0] - 0.3)).sum() / 0.7**2)


def test_asimov_events_stand_for_the_expected_ones(counting, normal_events):
    experiment = counting([20.0, 2.0, 1.0])
    data = asimov_data(experiment, normal_events, [1.0], sample=4000, seed=1)
    assert data.count == pytest.approx(23.0)
    assert data.size == pytest.approx(4000)
    mean = float((data.weight @ data.x[:, 0]) / data.count)
    assert mean == pytest.approx(1.0, abs=4 / math.sqrt(4000))
    again = asimov_data(experiment, normal_events, [1.0], sample=4000, seed=1)
    assert np.array_equal(data.x, again.x)
    shape = asimov_data(counting(None), normal_events, [1.0], sample=100, count=12, seed=1)
    assert shape.count == pytest.approx(12)


def test_asimov_auxiliary_measurements_are_those_of_the_point(counting):
    experiment = counting(None, ("theta", "nu"), constraints=(Constraint(1, 0.0, 0.2),))
    assert with_measured(experiment, [0.5, 0.7]).constraints[0] == Constraint(1, 0.7, 0.2)


def test_bad_asimov_points_are_refused(counting, normal_events):
    experiment = counting()
    with pytest.raises(InputError, match=r"an Asimov point with theta in \[-3, 3\], .* found 3.5"):
        asimov_data(experiment, normal_events, [3.5], sample=100)
    with pytest.raises(InputError, match="a value for theta, found 2 values"):
        asimov_data(experiment, normal_events, [0.0, 0.0], sample=100)
    with pytest.raises(ConfigError, match="a number of events"):
        asimov_data(counting(None), normal_events, [0.0], sample=100)


def test_events_worth_too_few_are_refused(counting):
    def source(theta, seed):
        weight = np.ones(len(theta))
        weight[0] = 1e4
        return theta, weight

    with pytest.raises(DataError, match=r"at least 50 of weighted events, found 1.02 of 100"):
        asimov_data(counting(), source, [0.0], sample=100)
    with pytest.raises(DataError, match="negative ones"):
        DataSet(np.zeros((100, 1)), np.linspace(-0.1, 1, 100))


def test_every_parameter_has_one_role(counting):
    three = ("a", "b", "c")
    assert counting(None, ("a", "b")).interest == (0, 1)
    with pytest.raises(ConfigError, match="one or two parameters of interest, found 3: a, b, c"):
        counting(None, three)
    with pytest.raises(ConfigError, match="neither for c"):
        counting(None, three, interest=(0, 1))
    nuisance = Constraint(1, 0.0, 1.0)
    assert counting(None, three, constraints=(nuisance,)).interest == (0, 2)
    with pytest.raises(ConfigError, match="found b as both"):
        counting(None, three, constraints=(nuisance,), interest=(1, 2))
    with pytest.raises(ConfigError, match="found 0: none"):
        counting(None, constraints=(Constraint(0, 0.0, 1.0),))
    with pytest.raises(ConfigError, match="positive width"):
        Constraint(0, 0.0, 0.0)


def test_the_range_is_the_support_of_the_prior():
    low, high = domain_of(Prior((Uniform(-1.0, 2.0), Normal(0.5, 0.1))))
    np.testing.assert_allclose(low, [-1.0, 0.1])
    np.testing.assert_allclose(high, [2.0, 0.9])
