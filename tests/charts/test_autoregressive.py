"""The autoregressive transform: its inverse in one pass is that in n passes."""

import pytest
import torch
import zuko
from torch import nn
from zuko.transforms import AutoregressiveTransform

from lfi_mflow.charts.autoregressive import MaskedAutoregressiveTransform
from lfi_mflow.flows.spline import BinsFirstSpline

SHAPES = {"univariate": BinsFirstSpline, "shapes": [(4,), (4,), (3,)]}


@pytest.fixture
def layer():
    """A function that makes a transform of n coordinates and p parameters, in double precision."""

    def make(n, p, *, hidden=(16, 16), order=None):
        torch.manual_seed(1)
        order = torch.arange(n) if order is None else torch.as_tensor(order)
        network = {"hidden_features": hidden, "activation": nn.SiLU}
        made = MaskedAutoregressiveTransform(n, p, order=order, **network, **SHAPES)
        return made.double()

    return make


@pytest.mark.parametrize("hidden", [(16, 16), (16,), (5, 20, 7)])
@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize(("n", "p"), [(2, 0), (2, 1), (7, 0), (7, 2), (14, 3)])
def test_one_pass_finds_what_n_passes_find(layer, n, p, flipped, hidden):
    order = torch.arange(n).flip(0) if flipped else torch.arange(n)
    _check_the_inverse(layer(n, p, hidden=hidden, order=order), n, p)


@pytest.mark.parametrize("order", [[0, 0, 0, 1, 1], [1, 1, 0, 0, 0], [2, 0, 1, 0, 2]])
@pytest.mark.parametrize("p", [0, 2])
def test_coordinates_of_one_place_are_found_together(layer, order, p):
    made = layer(5, p, order=order)
    _check_the_inverse(made, 5, p)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    y = made(torch.zeros(p, dtype=torch.float64) if p else None)(x)
    for i in range(5):
        (slope,) = torch.autograd.grad(y[i], x, retain_graph=True)
        depends = {j for j in range(5) if slope[j] != 0}
        assert depends == {i} | {j for j in range(5) if order[j] < order[i]}


def _check_the_inverse(made, n, p):
    """Compare the inverse in one pass with that in n passes, and with the transform."""
    transform = made(torch.randn(20, p, dtype=torch.float64) if p else None)
    y = 2.0 * torch.randn(20, n, dtype=torch.float64)
    x = transform.inv(y)
    torch.testing.assert_close(x, AutoregressiveTransform._inverse(transform, y))
    torch.testing.assert_close(transform(x), y)


def test_gradients_are_those_of_n_passes(layer):
    made = layer(5, 2)
    theta, y = (torch.randn(20, k, dtype=torch.float64, requires_grad=True) for k in (2, 5))
    transform = made(theta)
    inputs = [y, theta, *made.parameters()]
    ours = torch.autograd.grad(transform.inv(y).square().sum(), inputs)
    usual = AutoregressiveTransform._inverse(transform, y).square().sum()
    for found, wanted in zip(ours, torch.autograd.grad(usual, inputs), strict=True):
        torch.testing.assert_close(found, wanted)


def test_leading_shapes_broadcast(layer):
    made = layer(3, 2)
    theta, y = torch.randn(4, 1, 2, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    x = made(theta).inv(y)
    assert x.shape == (4, 5, 3)
    torch.testing.assert_close(x[2, 1], made(theta[2, 0]).inv(y[1]))


def test_of_one_coordinate_it_is_element_wise(layer):
    made = layer(1, 2)
    assert isinstance(made, zuko.flows.ElementWiseTransform)
