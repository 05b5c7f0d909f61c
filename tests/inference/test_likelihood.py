import math

import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.inference import EventSetLikelihood, log_posterior, log_prior
from lfi_mflow.simulation.priors import Normal, Prior, Uniform


def exact_log_likelihood(x, theta, noise=0.7):
    pull = (x[..., None, :, :] - theta[..., :, None, :]) / noise
    terms = -0.5 * pull**2 - math.log(noise) - 0.5 * math.log(2 * math.pi)
    return terms.sum((-1, -2))


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(3, 50, 2))


def test_it_is_the_sum_of_log_prob_over_the_events(gaussian_flow, x):
    flow = gaussian_flow(2).double()
    theta = torch.randn(5, 2, dtype=torch.float64)
    value = EventSetLikelihood(flow, torch.tensor(x[0]))(theta)
    one_by_one = [
        flow.log_prob(torch.tensor(x[0]), point.expand(50, 2)).sum().item() for point in theta
    ]
    np.testing.assert_allclose(value, one_by_one, rtol=1e-12)
    np.testing.assert_allclose(value, exact_log_likelihood(x[0], theta.numpy()), rtol=1e-12)
    assert not value.requires_grad


@pytest.mark.parametrize("max_elements", [1, 7, 49, 50, 120, 10_000])
def test_blocks_change_nothing_and_bound_every_call(gaussian_flow, x, max_elements):
    flow = gaussian_flow(2).double()
    theta = torch.randn(3, 4, 2, dtype=torch.float64)
    likelihood = EventSetLikelihood(flow, torch.tensor(x), max_elements=max_elements)
    np.testing.assert_allclose(
        likelihood(theta), exact_log_likelihood(x, theta.numpy()), rtol=1e-12
    )
    assert flow.largest_call <= max_elements


@pytest.mark.parametrize("leading", [(), (4,), (4, 3), (0,)])
def test_leading_shapes(gaussian_flow, x, leading):
    flow = gaussian_flow(2)
    single = EventSetLikelihood(flow, torch.tensor(x[1]).float())
    several = EventSetLikelihood(flow, torch.tensor(x).float())
    theta = torch.randn(3, *leading, 2)
    assert several(theta).shape == (3, *leading)
    assert several(theta).dtype == torch.float64
    torch.testing.assert_close(several(theta)[1], single(theta[1]))


def test_events_are_encoded_once(gaussian_flow, x, monkeypatch):
    flow = gaussian_flow(2)
    likelihood = EventSetLikelihood(flow, torch.tensor(x).float())
    assert likelihood.encoded.u.shape == (3, 50, 2)
    assert likelihood.encoded.distance.shape == (3, 50)
    monkeypatch.setattr(flow, "encode_events", None)
    likelihood(torch.zeros(3, 2))


def test_gradient_in_theta(gaussian_flow, x):
    likelihood = EventSetLikelihood(gaussian_flow(2).double(), torch.tensor(x[0]), max_elements=64)
    theta = torch.tensor([[0.1, -0.4], [0.3, 0.2]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(likelihood(theta).sum(), theta)
    expected = (x[0].sum(0) - 50 * theta.detach().numpy()) / 0.7**2
    np.testing.assert_allclose(gradient, expected, rtol=1e-10)


def test_float32_terms_are_added_up_in_float64(gaussian_flow):
    x = np.random.default_rng(0).normal(size=(1_000_000, 1)).astype(np.float32)
    theta = torch.tensor([[0.0], [0.003]])
    likelihood = EventSetLikelihood(gaussian_flow(1), torch.tensor(x))
    exact = exact_log_likelihood(x.astype(np.float64), theta.double().numpy())
    # A constant of the float32 terms drops out; a float32 sum is off by about 0.5.
    assert abs(likelihood(theta).diff().item() - np.diff(exact).item()) < 0.01


def test_wrong_shapes_are_refused(gaussian_flow, x):
    flow = gaussian_flow(2)
    with pytest.raises(InputError, match=r"shape \(50, 3\)"):
        EventSetLikelihood(flow, torch.zeros(50, 3))
    with pytest.raises(InputError, match=r"N >= 1"):
        EventSetLikelihood(flow, torch.zeros(0, 2))
    likelihood = EventSetLikelihood(flow, torch.tensor(x).float())
    for shape in [(2, 2), (3, 1), (3, 4, 3), ()]:
        with pytest.raises(InputError, match="theta of shape"):
            likelihood(torch.zeros(shape))


def test_events_that_cannot_be_encoded_are_named(gaussian_flow, x):
    events = torch.tensor(x[0]).float()
    events[17] = torch.nan
    with pytest.raises(DataError, match=r"1 of 50 .* row 17"):
        EventSetLikelihood(gaussian_flow(2), events)


def test_log_prior_is_that_of_the_prior():
    prior = Prior((Uniform(-1.0, 3.0), Normal(0.5, 2.0)))
    theta = np.random.default_rng(0).uniform(-4, 4, (200, 2))
    value = log_prior(prior)(torch.tensor(theta).reshape(10, 20, 2))
    np.testing.assert_allclose(value.flatten(), prior.log_prob(theta))
    assert torch.isneginf(value).any()
    assert torch.isfinite(value).any()
    with pytest.raises(InputError, match="one column per parameter"):
        log_prior(prior)(torch.zeros(4, 3))


def test_gradient_of_log_prior_is_finite_everywhere():
    theta = torch.tensor([[0.2, 1.0], [9.0, 1.0]], requires_grad=True)
    log_prior(Prior((Uniform(-1.0, 1.0), Normal(0.5, 2.0))))(theta).sum().backward()
    torch.testing.assert_close(theta.grad, torch.tensor([[0.0, -0.125], [0.0, -0.125]]))


def test_outside_the_prior_a_broken_likelihood_does_not_matter():
    density = log_posterior(lambda theta: torch.log(theta[..., 0]), Prior((Uniform(0.0, 2.0),)))
    value = density(torch.tensor([[1.0], [-1.0], [3.0]], dtype=torch.float64))
    assert value.tolist() == [-math.log(2.0), -math.inf, -math.inf]
