"""What the phases minimise."""

import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import OBJECTIVES, PenalisedLikelihood
from lfi_mflow.training.objectives import trained_part


@pytest.fixture
def flow(make_flow):
    """A bent chart with scales that are not one."""
    flow = make_flow()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        flow.standardisation.scale.copy_(torch.tensor([2.0, 30.0]))
    return flow


@pytest.fixture
def theta():
    return torch.linspace(-1, 1, 20).double()[:, None]


def _prepared(name, flow):
    x = torch.linspace(-40, 50, 40).double().reshape(20, 2)
    return x, OBJECTIVES[name].prepare(flow, x)


def test_reconstruction_is_the_squared_distance_in_standardised_coordinates(flow, theta):
    x, prepared = _prepared("reconstruction", flow)
    loss = OBJECTIVES["reconstruction"].loss(flow, prepared, theta)
    residual = (x - flow.project(x)) / torch.tensor([2.0, 30.0])
    torch.testing.assert_close(loss, residual.square().sum(dim=-1))
    assert loss.median() > 1e-3
    on_it = flow.standardisation.inverse(flow.project(x))
    assert OBJECTIVES["reconstruction"].loss(flow, on_it, theta).max() < 1e-12


def test_the_likelihood_is_that_of_the_latents(flow, theta):
    x, prepared = _prepared("latent-likelihood", flow)
    loss = OBJECTIVES["latent-likelihood"].loss(flow, prepared, theta)
    torch.testing.assert_close(prepared, flow.encode(x))
    torch.testing.assert_close(loss, -flow.log_prob_latent(flow.encode(x), theta))


def test_the_likelihood_of_all_parts_is_the_exact_one(flow, theta):
    x, prepared = _prepared("likelihood", flow)
    loss = OBJECTIVES["likelihood"].loss(flow, prepared, theta)
    torch.testing.assert_close(loss, -flow.log_prob(x, theta))
    (gradient,) = torch.autograd.grad(
        loss.sum(), flow.chart.bijection.layers[0].conditioner.last.bias
    )
    # the volume takes part: without it the gradient is another one
    latent = -flow.log_prob_latent(flow.encode(x), theta)
    (without,) = torch.autograd.grad(
        latent.sum(), flow.chart.bijection.layers[0].conditioner.last.bias
    )
    assert (gradient - without).norm() > 0.1 * gradient.norm()


def test_the_penalty_is_the_reconstruction(flow, theta):
    x, prepared = _prepared("penalised-likelihood", flow)
    loss = PenalisedLikelihood(7.0).loss(flow, prepared, theta)
    _, standardised = _prepared("reconstruction", flow)
    distance = OBJECTIVES["reconstruction"].loss(flow, standardised, theta)
    torch.testing.assert_close(loss, 7 * distance - flow.log_prob(x, theta))
    standard = OBJECTIVES["penalised-likelihood"].loss(flow, prepared, theta)
    torch.testing.assert_close(standard, 100 * distance - flow.log_prob(x, theta))


@pytest.mark.parametrize("name", ["latent-likelihood", "likelihood", "penalised-likelihood"])
def test_what_trains_the_density_fits_its_standardisation_first(flow, theta, name):
    x, prepared = _prepared(name, flow)
    OBJECTIVES[name].begin(flow, prepared, theta)
    torch.testing.assert_close(flow.latent.u_mean, flow.encode(x).mean(dim=0))
    torch.testing.assert_close(flow.latent.theta_mean, theta.mean(dim=0))


def test_a_flow_without_a_chart_has_none_to_train():
    flow = build_flow("af", Dimensions(2, 2, 1), {})
    assert trained_part(flow, "latent") is flow.latent
    assert trained_part(flow, "all") is flow
    with pytest.raises(ConfigError, match=r"a model with a chart to train.*has none"):
        trained_part(flow, "chart")


def test_the_parts_of_a_flow(flow):
    assert trained_part(flow, "chart") is flow.chart
    assert trained_part(flow, "latent") is flow.latent
    assert trained_part(flow, "all") is flow
