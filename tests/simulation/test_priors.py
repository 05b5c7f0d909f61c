import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from lfi_mflow.errors import ConfigError, InputError, UnknownNameError
from lfi_mflow.simulation import (
    Normal,
    Parameter,
    Prior,
    Uniform,
    default_prior,
    parse_prior,
    prior_from_mapping,
)

THETA = Parameter("theta", -1.0, 1.0)
RHO = Parameter("rho")
MARGINALS = [Uniform(-1.0, 3.0), Normal(0.5, 2.0)]
NUMBERS = st.floats(-1e6, 1e6)


@pytest.mark.parametrize("marginal", MARGINALS)
def test_density_integrates_to_one_and_to_the_cdf(marginal):
    low, high = max(marginal.low, -20.0), min(marginal.high, 21.0)
    for end in (0.3, high):
        area, _ = integrate.quad(lambda v: math.exp(marginal.log_prob(np.array(v))), low, end)
        assert area == pytest.approx(float(marginal.cdf(np.array(end))), abs=1e-8)
    assert float(marginal.cdf(np.array(high))) == pytest.approx(1.0)


@pytest.mark.statistical
@pytest.mark.parametrize("marginal", MARGINALS)
def test_samples_follow_the_cdf(marginal):
    draws = marginal.sample(20_000, np.random.default_rng(1))
    assert stats.kstest(draws, marginal.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (Uniform, (1.0, 1.0)),
        (Uniform, (2.0, 1.0)),
        (Uniform, (-math.inf, 1.0)),
        (Uniform, (math.nan, 1.0)),
        (Normal, (0.0, 0.0)),
        (Normal, (0.0, -1.0)),
        (Normal, (math.nan, 1.0)),
    ],
)
def test_impossible_numbers(kind, numbers):
    with pytest.raises(ConfigError):
        kind(*numbers)


def test_prior_is_the_product_of_its_marginals():
    prior = Prior((Uniform(-1.0, 1.0), Normal(0.0, 2.0)))
    theta = np.array([[0.5, 1.0], [-0.5, -3.0]])
    expected = stats.uniform(-1, 2).logpdf(theta[:, 0]) + stats.norm(0, 2).logpdf(theta[:, 1])
    np.testing.assert_allclose(prior.log_prob(theta), expected, rtol=1e-12)
    assert prior.dim == 2
    np.testing.assert_array_equal(prior.low, [-1.0, -np.inf])
    np.testing.assert_array_equal(prior.high, [1.0, np.inf])


def test_support():
    prior = Prior((Uniform(-1.0, 1.0), Normal(0.0, 2.0)))
    theta = np.array([[0.0, 9.0], [1.0, 0.0], [1.1, 0.0], [math.nan, 0.0], [0.0, math.inf]])
    assert prior.contains(theta).tolist() == [True, True, False, False, False]
    assert np.isneginf(prior.log_prob(theta[2:3])).all()
    assert prior.contains(prior.sample(1000, np.random.default_rng(0))).all()


def test_samples_have_their_own_column_and_seed():
    prior = Prior((Uniform(0.0, 1.0), Uniform(5.0, 6.0)))
    theta = prior.sample(100, np.random.default_rng(3))
    assert theta.shape == (100, 2)
    assert theta[:, 0].max() < 1.0
    assert theta[:, 1].min() >= 5.0
    np.testing.assert_array_equal(theta, prior.sample(100, np.random.default_rng(3)))


def test_theta_of_another_width():
    with pytest.raises(InputError, match=r"theta of shape \(N, 1\), found shape \(3,\)"):
        Prior((Uniform(0.0, 1.0),)).log_prob(np.zeros(3))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(mean=NUMBERS, sd=st.floats(1e-6, 1e6), low=NUMBERS, width=st.floats(1e-3, 1e6))
def test_text_and_table_round_trips(mean, sd, low, width):
    prior = Prior((Normal(mean, sd), Uniform(low, low + width)))
    parameters = [Parameter("a"), Parameter("b")]
    assert parse_prior(prior.describe(["a", "b"]), parameters) == prior
    assert Prior.from_table(json.loads(json.dumps(prior.to_table()))) == prior


@pytest.mark.parametrize(
    "table", [[{"kind": "uniform", "low": 0.0}], [{"kind": "normal", "mean": 0, "sd": 1, "x": 2}]]
)
def test_table_of_another_form(table):
    with pytest.raises(ConfigError, match="the keys"):
        Prior.from_table(table)


def test_one_marginal_serves_every_parameter():
    prior = parse_prior(" uniform( -1 , 1e0 ) ", [THETA, RHO])
    assert prior.marginals == (Uniform(-1.0, 1.0), Uniform(-1.0, 1.0))


def test_marginals_take_the_order_of_the_parameters():
    prior = parse_prior("rho ~ normal(0, 2); theta ~ uniform(-1, 0.5);", [THETA, RHO])
    assert prior.marginals == (Uniform(-1.0, 0.5), Normal(0.0, 2.0))
    table = {"rho": "normal(0, 2)", "theta": "uniform(-1, 0.5)"}
    assert prior_from_mapping(table, [THETA, RHO]) == prior


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("unifrom(-1, 1)", UnknownNameError, "did you mean 'uniform'"),
        ("theta ~ uniform(-1, 1); roh ~ normal(0, 1)", UnknownNameError, "did you mean 'rho'"),
        ("theta ~ uniform(-1, 1)", ConfigError, r"none for \['rho'\]"),
        ("theta ~ uniform(-1, 1); theta ~ uniform(0, 1)", ConfigError, "one prior for 'theta'"),
        ("theta ~ uniform(-1, 1); normal(0, 1)", ConfigError, "found 'normal"),
        ("uniform(-1)", ConfigError, "two numbers"),
        ("uniform(-1, one)", ConfigError, "two numbers"),
        ("uniform(1, -1)", ConfigError, "low < high"),
        ("", ConfigError, "for every parameter"),
        ("uniform(-2, 1)", InputError, r"'theta' within \[-1, 1\], found uniform\(-2, 1\)"),
        ("normal(0, 0.1)", InputError, "'theta' within"),
    ],
)
def test_text_that_is_no_prior(text, error, message):
    with pytest.raises(error, match=message):
        parse_prior(text, [THETA, RHO])


def test_default_prior_fills_the_bounds():
    assert default_prior([THETA, Parameter("b", 2.0, 3.0)]) == Prior(
        (Uniform(-1.0, 1.0), Uniform(2.0, 3.0))
    )
    with pytest.raises(ConfigError, match="--prior 'rho ~ normal"):
        default_prior([THETA, RHO])
    with pytest.raises(ConfigError, match="'half'"):
        default_prior([Parameter("half", 0.0)])
