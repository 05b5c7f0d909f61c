import math

import pytest
import torch

from lfi_mflow.inference.coordinates import PriorCoordinates
from lfi_mflow.inference.likelihood import log_prior
from lfi_mflow.simulation.priors import Normal, Prior, Uniform

PRIOR = Prior((Uniform(-1.0, 3.0), Normal(5.0, 0.1)))


def test_the_prior_is_standard_normal_in_phi():
    phi = torch.randn(50, 2, dtype=torch.float64)
    coordinates = PriorCoordinates(PRIOR)
    density = log_prior(PRIOR)(coordinates.theta(phi)) + coordinates.log_jacobian(phi)
    expected = (-0.5 * phi**2 - 0.5 * math.log(2 * math.pi)).sum(-1)
    torch.testing.assert_close(density, expected)


def test_jacobian_is_that_of_autograd():
    coordinates = PriorCoordinates(PRIOR)
    phi = torch.tensor([0.3, -1.2], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(coordinates.theta, phi)
    torch.testing.assert_close(coordinates.log_jacobian(phi), torch.linalg.slogdet(jacobian)[1])


@pytest.mark.parametrize("value", [-40.0, -9.0, 9.0, 40.0])
def test_extreme_coordinates_stay_in_the_support(value):
    prior = Prior((Uniform(0.1, 0.7),))
    theta = PriorCoordinates(prior).theta(torch.tensor([[value]], dtype=torch.float64))
    assert prior.contains(theta.numpy()).all()
