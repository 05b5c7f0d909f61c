import numpy as np
import pytest

from lfi_mflow_simulators.h4l.couplings import components, expand, log_gradient

MATRIX = np.array([[2.0, 0.3, -0.4], [0.3, 1.0, 0.2], [-0.4, 0.2, 0.7]])


def form(theta):
    return np.einsum("ni,ij,nj->n", theta, MATRIX, theta)


def test_coefficients_of_a_known_form():
    np.testing.assert_allclose(components(form), [[2.0, 0.6, -0.8, 1.0, 0.4, 0.7]])


def test_coefficients_give_the_form_back():
    theta = np.random.default_rng(0).normal(size=(50, 3))
    np.testing.assert_allclose(expand(theta) @ components(form)[0], form(theta))


@pytest.mark.parametrize("rows", [1, 20])
def test_gradient_is_that_of_finite_differences(rows):
    theta = np.random.default_rng(1).normal(size=(rows, 3))
    gradient = log_gradient(components(form), theta)
    for i in range(3):
        step = 1e-6 * np.eye(3)[i]
        difference = (np.log(form(theta + step)) - np.log(form(theta - step))) / 2e-6
        np.testing.assert_allclose(gradient[:, i], difference, rtol=1e-6, atol=1e-8)
