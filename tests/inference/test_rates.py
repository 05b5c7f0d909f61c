import numpy as np
import pytest
import torch

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.inference.rates import ExpectedEvents, polynomial_cross_section, rate_of
from lfi_mflow.simulation import get_simulator


def test_it_is_luminosity_times_cross_section_times_efficiency():
    rate = ExpectedEvents(lambda theta: 2.0 + theta[:, 0], luminosity=30.0, efficiency=0.5)
    theta = torch.tensor([[[0.0], [1.0]], [[2.0], [3.0]]], dtype=torch.float64)
    torch.testing.assert_close(rate(theta), 15.0 * (2.0 + theta[..., 0]))
    assert rate(theta[0, 0]).shape == ()


def test_gradients_of_a_quadratic_are_exact():
    components = np.array([1.0, 0.5, -0.2, 0.3, 0.1, 0.4])
    rate = ExpectedEvents(polynomial_cross_section(components, 2), luminosity=7.0)
    theta = torch.tensor([[0.3, -2.0], [5.0, 1.0]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(rate(theta).sum(), theta)
    a, b = theta.detach().T
    expected = 7.0 * torch.stack([0.5 + 0.6 * a + 0.1 * b, -0.2 + 0.1 * a + 0.8 * b], dim=1)
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-7)


def test_a_process_without_parameters_has_a_rate():
    rate = ExpectedEvents(polynomial_cross_section([2.0], 0), luminosity=3.0)
    assert rate(torch.zeros(4, 5, 0)).tolist() == [[6.0] * 5] * 4


def test_the_rate_of_a_simulator_is_its_cross_section():
    simulator = get_simulator("higgs-eft")
    theta = torch.tensor([[0.2, -0.3]], dtype=torch.float64)
    found = rate_of(simulator, luminosity=36.0)(theta)
    np.testing.assert_allclose(found, 36.0 * simulator.cross_section(theta.numpy()))


@pytest.mark.parametrize("name", ["luminosity", "efficiency"])
@pytest.mark.parametrize("value", [-1.0, 0.0, np.inf, np.nan])
def test_what_is_not_positive_is_refused(name, value):
    with pytest.raises(InputError, match=f"expected a positive {name}"):
        ExpectedEvents(lambda theta: theta[:, 0], **{"luminosity": 1.0, name: value})


def test_a_luminosity_without_a_cross_section_is_refused():
    with pytest.raises(
        InputError, match="a cross-section to go with the luminosity, found none of sphere"
    ):
        rate_of(get_simulator("sphere"), luminosity=1.0)


def test_components_that_fit_no_polynomial_are_refused():
    with pytest.raises(ConfigError, match=r"1 or 6 components .* found 3"):
        polynomial_cross_section([1.0, 2.0, 3.0], 2)
    assert polynomial_cross_section([2.5], 2)(np.zeros((3, 2))).tolist() == [2.5] * 3
