"""The pseudo-invertible encoder: what the laws do not say."""

import math

import pytest
import torch
from torch.autograd.functional import jacobian

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import (
    Dimensions,
    LatentFlow,
    LatentSettings,
    PseudoInvertibleEncoder,
    build_flow,
)

SETTINGS = {
    "chart": {"layers": 2, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 1, "bins": 4, "hidden": 8, "components": 2},
}


@pytest.fixture
def make_flow():
    """A function that makes a bent one with anisotropic scales."""

    @torch.no_grad()
    def make(epsilon, d=3, n=2):
        flow = build_flow("pie", Dimensions(d, n, 1), {**SETTINGS, "epsilon": epsilon})
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        flow.standardisation.scale.copy_(torch.logspace(-1, 1, d))
        return flow.double().eval()

    return make


@pytest.mark.parametrize(("d", "n"), [(2, 1), (3, 2), (4, 1)])
def test_the_density_is_that_of_the_base_and_the_volume(make_flow, d, n):
    flow = make_flow(0.5, d, n)
    x, theta = torch.randn(5, d).double(), torch.rand(5, 1).double()

    def latents(row):
        return flow.chart.bijection.inverse(flow.standardisation.inverse(row[None]))[0]

    z = torch.stack([latents(row) for row in x])
    volume = torch.stack([torch.linalg.slogdet(jacobian(latents, row)).logabsdet for row in x])
    off = torch.distributions.Normal(0.0, 0.5).log_prob(z[:, n:]).sum(dim=-1)
    expected = flow.latent.log_prob(z[:, :n], theta) + off + volume
    torch.testing.assert_close(flow.log_prob(x, theta), expected)
    torch.testing.assert_close(flow.encode_events(x).log_constant, off + volume)


def test_samples_lie_where_the_density_is_largest(make_flow):
    """At v = 0, whatever epsilon is: they do not follow the density."""
    theta = torch.rand(40, 1).double()
    for epsilon in (0.01, 1.0):
        flow = make_flow(epsilon)
        z = flow.chart.bijection.inverse(flow.standardisation.inverse(flow.sample(theta)))
        assert z[:, 2:].abs().max() < 1e-10
        assert flow.reconstruction_error(flow.sample(theta)).max() < 1e-10


def test_what_it_says_of_theta_does_not_depend_on_epsilon(make_flow):
    flow = make_flow(0.01)
    x, theta = torch.randn(5, 3).double(), torch.rand(5, 1).double()
    ratio = flow.log_prob(x, theta) - flow.log_prob(x, theta + 1)
    flow.epsilon = 10.0
    torch.testing.assert_close(flow.log_prob(x, theta) - flow.log_prob(x, theta + 1), ratio)


def test_the_published_epsilon_is_the_default():
    assert build_flow("pie", Dimensions(3, 2, 1), SETTINGS).epsilon == 0.01


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf])
def test_an_epsilon_that_cannot_be(epsilon):
    with pytest.raises(ConfigError, match="0 < epsilon"):
        build_flow("pie", Dimensions(3, 2, 1), {**SETTINGS, "epsilon": epsilon})


class Line(Chart):
    """A chart without a bijection."""

    def encode(self, x, theta=None):
        return x[:, :1]

    def decode(self, u, theta=None):
        return torch.cat([u, 0 * u], dim=-1)


def test_a_chart_without_a_bijection_is_refused():
    latent = LatentFlow(1, 0, LatentSettings(1, 2, 4, 1))
    with pytest.raises(ConfigError, match="chart with a bijection"):
        PseudoInvertibleEncoder(Standardisation(2), Line(2, 1), latent, 0.01)
