"""Parameters that each event knows: the answer of a linear model is known."""

import math

import numpy as np
import pytest
import torch

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.inference import EventSetLikelihood, grid_posterior, log_posterior
from lfi_mflow.simulation.priors import Normal, Prior

NOISE = 0.5


class LineFlow(Flow):
    """x ~ N(a + b c, NOISE^2), with the parameters (a, c, b): c is what events know."""

    reference = "lebesgue"
    chart = None

    def __init__(self):
        super().__init__()
        self.data_dim = self.latent_dim = 1
        self.theta_dim = 3
        self.weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def encode(self, x, theta=None):
        return x

    def decode(self, u, theta=None):
        return u

    def encode_events(self, x, theta=None):
        return EncodedEvents(x, x.new_zeros(len(x)), x.new_zeros(len(x)))

    def log_prob_latent(self, u, theta):
        a, c, b = theta.unbind(-1)
        pull = (u[..., 0] - a - b * c) / NOISE
        return -0.5 * pull**2 - math.log(NOISE) - 0.5 * math.log(2 * math.pi)

    def sample_latent(self, theta):
        raise NotImplementedError


@pytest.fixture
def line():
    rng = np.random.default_rng(4)
    c = rng.normal(1.0, 2.0, 60)
    x = 0.3 - 0.7 * c + NOISE * rng.standard_normal(60)
    return torch.tensor(x)[:, None], torch.tensor(c)


def test_the_posterior_is_that_of_a_regression(line):
    x, c = line
    prior = Prior((Normal(0.0, 1.0), Normal(0.0, 1.0)))
    likelihood = EventSetLikelihood(LineFlow(), x, known={1: c}, max_elements=1_000)
    grid = grid_posterior(log_posterior(likelihood, prior), prior)
    design = torch.stack([torch.ones_like(c), c], dim=1)
    covariance = torch.linalg.inv(design.T @ design / NOISE**2 + torch.eye(2))
    mean = covariance @ design.T @ x[:, 0] / NOISE**2
    torch.testing.assert_close(grid.mean, mean, atol=1e-3, rtol=0)
    torch.testing.assert_close(grid.sd, covariance.diag().sqrt(), atol=0, rtol=1e-2)


def test_several_sets_and_blocks_and_parts_change_nothing(line):
    x, c = line
    theta = torch.randn(3, 5, 2, dtype=torch.float64)
    sets = EventSetLikelihood(
        LineFlow(), x.reshape(3, 20, 1), known={1: c.reshape(3, 20)}, max_elements=7
    )(theta)
    for row in range(3):
        rows = slice(20 * row, 20 * row + 20)
        one = EventSetLikelihood(LineFlow(), x[rows], known={1: c[rows]})
        torch.testing.assert_close(sets[row], one(theta[row]))
    many = EventSetLikelihood(LineFlow(), x.repeat(200, 1), known={1: c.repeat(200)})
    (part,) = many.previews()
    ratio = many(theta[0]).diff() / part(theta[0]).diff()
    torch.testing.assert_close(ratio, torch.full_like(ratio, 12.0), rtol=0.3, atol=0)


def test_the_gradient_goes_to_what_is_not_known(line):
    x, c = line
    theta = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(EventSetLikelihood(LineFlow(), x, known={1: c})(theta), theta)
    expected = torch.stack([x.sum(), (x[:, 0] * c).sum()]) / NOISE**2
    torch.testing.assert_close(gradient, expected)


def test_what_does_not_fit_is_refused(line):
    x, c = line
    for known, message in [
        ({3: c}, "known parameters among 0 to 2"),
        ({0: c, 1: c, 2: c}, "one that is not known"),
        ({1: c[:5]}, r"shape \(5,\)"),
    ]:
        with pytest.raises(InputError, match=message):
            EventSetLikelihood(LineFlow(), x, known=known)
    c[7] = torch.nan
    with pytest.raises(DataError, match="row 7"):
        EventSetLikelihood(LineFlow(), x, known={1: c})
