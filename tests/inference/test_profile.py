import numpy as np
import torch

from lfi_mflow.inference.profile import profile

ENDS = np.full(3, -3.0), np.full(3, 3.0)


def quadratic(theta):
    """A correlated normal log-density with precision matrix A."""
    shift = theta - torch.tensor([0.2, -0.1, 0.4], dtype=torch.float64)
    return -0.5 * torch.einsum("...i,ij,...j->...", shift, A, shift)


A = torch.tensor([[4.0, 1.0, -1.0], [1.0, 3.0, 0.5], [-1.0, 0.5, 2.0]], dtype=torch.float64)


def test_a_quadratic_is_profiled_exactly():
    theta = torch.zeros(9, 3, dtype=torch.float64)
    theta[:, 0] = torch.linspace(-1, 1, 9)
    found, value = profile(quadratic, theta, (1, 2), np.array([0.5, 0.7]), ENDS)
    # The profile of a normal density has the variance of the marginal one.
    variance = torch.linalg.inv(A)[0, 0]
    expected = -0.5 * (theta[:, 0] - 0.2) ** 2 / variance
    torch.testing.assert_close(value, expected, atol=1e-8, rtol=0)
    torch.testing.assert_close(found[:, 0], theta[:, 0])
    torch.testing.assert_close(quadratic(found), value)


def test_where_it_is_not_concave_it_still_climbs():
    def density(theta):
        return torch.cos(theta[..., 1]) - 0.1 * theta[..., 0] ** 2

    theta = torch.tensor([[0.0, 2.5, 0.0], [1.0, -2.0, 0.0]], dtype=torch.float64)
    found, value = profile(density, theta, (1,), np.array([1.0]), ENDS)
    torch.testing.assert_close(value, torch.tensor([1.0, 0.9]).double(), atol=1e-6, rtol=0)
    assert found[:, 1].abs().max() < 1e-3


def test_it_stays_in_the_range():
    theta = torch.zeros(4, 3, dtype=torch.float64)
    found, value = profile(lambda t: t[..., 2].double(), theta, (2,), np.ones(1), ENDS)
    assert found[:, 2].tolist() == [3.0] * 4
    assert value.tolist() == [3.0] * 4


def test_without_free_parameters_points_are_evaluated():
    theta = torch.randn(5, 3, dtype=torch.float64)
    found, value = profile(quadratic, theta, (), np.zeros(0), ENDS)
    torch.testing.assert_close(found, theta)
    torch.testing.assert_close(value, quadratic(theta))
