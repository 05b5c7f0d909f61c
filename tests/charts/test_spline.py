"""Rational-quadratic splines: a monotone bijection of the line with exact derivatives."""

import pytest
import torch
from torch.func import jvp, vmap

from lfi_mflow.charts import RationalQuadraticSpline

BOUND = 4.0

# torch compiles its rules of forward mode with its own deprecated tool, once
forward_mode = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


def spline_of(parameters):
    """Splines with parameters (3 K - 1, *)."""
    bins = (len(parameters) + 1) // 3
    return RationalQuadraticSpline(*parameters.split([2 * bins, bins - 1]), BOUND)


@pytest.fixture
def parameters(generator, dtype):
    """Parameters of 6 bins for a batch of shape (2, 500)."""
    return torch.randn(17, 2, 500, generator=generator, dtype=torch.float64).to(dtype)


@pytest.fixture
def points(generator, dtype):
    """Points inside, outside, on the bounds and at zero, with shape (2, 500)."""
    x = 1.5 * BOUND * (2 * torch.rand(2, 500, generator=generator, dtype=torch.float64) - 1)
    x[:, :5] = torch.tensor([-BOUND, BOUND, 0.0, 1e3, -1e3])
    return x.to(dtype)


def test_round_trip(parameters, points, dtype):
    spline = spline_of(parameters)
    y = spline(points)
    eps = torch.finfo(dtype).eps
    assert y.dtype == dtype
    assert y.shape == points.shape
    # in y the error is a rounding; in x a flat piece magnifies it by 1/slope
    assert ((spline(spline.inverse(y)) - y).abs() < 100 * eps * (1 + y.abs())).all()
    error = (spline.inverse(y) - points).abs() * spline.log_derivative(points).exp().clamp_max(1)
    assert (error < 300 * eps * (1 + points.abs())).all()


@pytest.mark.parametrize("size", [0.0, 1.0, 5.0])
def test_it_is_monotone_and_stays_in_its_interval(generator, dtype, size):
    # one spline for all points: its parameters have batch shape (1,)
    parameters = size * torch.randn(17, 1, generator=generator, dtype=torch.float64)
    spline = spline_of(parameters.expand(17, 4001).to(dtype))
    x = torch.linspace(-1.2 * BOUND, 1.2 * BOUND, 4001, dtype=torch.float64).to(dtype)
    y = spline(x)
    assert (y.diff() > -10 * torch.finfo(dtype).eps * BOUND).all()
    inside = x.abs() <= BOUND
    assert y[inside].abs().max() <= BOUND * (1 + 10 * torch.finfo(dtype).eps)
    assert (y[-1] - y[0]) == pytest.approx(2.4 * BOUND, rel=1e-6)


def test_log_derivative_is_the_derivative(parameters, points, dtype):
    points = points.requires_grad_()
    spline = spline_of(parameters)
    (slope,) = torch.autograd.grad(spline(points).sum(), points)
    error = spline.log_derivative(points).exp() / slope - 1
    assert slope.min() > 0
    assert slope.detach().std() > 0.3
    assert error.abs().max() < 2e3 * torch.finfo(dtype).eps


def test_zero_parameters_give_the_identity(points, dtype):
    spline = spline_of(torch.zeros(17, *points.shape, dtype=dtype))
    eps = torch.finfo(dtype).eps
    for image in (spline(points), spline.inverse(points)):
        assert ((image - points).abs() < 10 * eps * (BOUND + points.abs())).all()
    assert spline.log_derivative(points).abs().max() < 50 * eps


def test_the_tails_are_the_identity(parameters, dtype):
    spline = spline_of(parameters)
    for x in (BOUND * 1.001, 50.0, -1e4):
        there = torch.full(parameters.shape[1:], x, dtype=dtype)
        # the last knot is a sum of bins: a rounding beside the bound
        eps = 100 * torch.finfo(dtype).eps * abs(x)
        assert (spline(there) - there).abs().max() < eps
        assert (spline.inverse(there) - there).abs().max() < eps
        assert not spline.log_derivative(there).any()


@pytest.mark.parametrize("size", [1.0, 20.0])
def test_gradients_are_finite_everywhere(generator, dtype, size):
    parameters = size * torch.randn(17, 7, generator=generator, dtype=torch.float64)
    parameters = parameters.to(dtype).requires_grad_()
    just_inside = torch.nextafter(torch.tensor(BOUND, dtype=dtype), torch.tensor(0.0, dtype=dtype))
    x = torch.tensor([-BOUND, BOUND, just_inside, -just_inside, 0.0, 1e6, -1e30], dtype=dtype)
    x.requires_grad_()
    spline = spline_of(parameters)
    for image in (spline(x), spline.inverse(x), spline.log_derivative(x)):
        gradients = torch.autograd.grad(image.sum(), (x, parameters), retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_parameters_have_the_gradient_of_a_finite_difference(generator):
    """Reverse mode through softmax, cumulative sums and look-up, in both directions."""
    parameters = torch.randn(8, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([-1.3, 0.2, 3.1], dtype=torch.float64, requires_grad=True)

    def both(parameters, x):
        spline = spline_of(parameters)
        return spline(x), spline.inverse(x), spline.log_derivative(x)

    assert torch.autograd.gradcheck(both, (parameters, x))
    assert torch.autograd.gradgradcheck(both, (parameters, x))


@forward_mode
def test_forward_mode_and_vmap_pass_through(generator):
    parameters = torch.randn(17, 40, generator=generator, dtype=torch.float64)
    x = torch.linspace(-6, 6, 40, dtype=torch.float64)
    spline = spline_of(parameters)
    slope = spline.log_derivative(x).exp()

    def push(tangent):
        return jvp(spline, (x,), (tangent * torch.ones_like(x),))[1]

    pushed = vmap(push)(torch.tensor([1.0, -2.0], dtype=torch.float64))
    torch.testing.assert_close(pushed, torch.stack([slope, -2 * slope]))
    backwards = jvp(spline.inverse, (spline(x),), (torch.ones_like(x),))[1]
    torch.testing.assert_close(backwards, 1 / slope)
    # one conditioner per row, as a vmap over events would see it
    by_row = vmap(lambda row, point: spline_of(row)(point), in_dims=(1, 0))
    torch.testing.assert_close(by_row(parameters, x), spline(x))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 1, 4)])
@pytest.mark.parametrize("bins", [2, 7])
def test_the_bins_come_first(generator, shape, bins):
    """A batch of any shape is the same as its elements one by one."""
    parameters = torch.randn(3 * bins - 1, *shape, generator=generator, dtype=torch.float64)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    y = spline_of(parameters)(x)
    assert y.shape == shape
    rows = parameters.reshape(3 * bins - 1, -1)
    single = [spline_of(rows[:, [i]])(value[None]) for i, value in enumerate(x.flatten())]
    torch.testing.assert_close(y.flatten(), torch.cat(single))


@pytest.mark.parametrize("dtype", [torch.float32], ids=["float32"])
def test_gradients_are_finite_at_the_knots_of_flat_and_steep_splines(generator, dtype):
    """There the discriminant of the inverse may round to less than zero, whose root has none."""
    parameters = 6 * torch.randn(29, 100_000, generator=generator, dtype=dtype)
    parameters[20:] = 5 * torch.randn(9, 100_000, generator=generator, dtype=dtype) - 20
    parameters.requires_grad_()
    spline = spline_of(parameters)
    chosen = torch.randint(0, 11, (1, 100_000), generator=generator)
    knots = spline._knots[1].detach().gather(0, chosen)[0]
    step = torch.randint(-3, 4, (100_000,), generator=generator)
    y = (knots * (1 + 1e-7 * step)).requires_grad_()
    x = spline.inverse(y)
    assert x.isfinite().all()
    for gradient in torch.autograd.grad(x.sum(), (parameters, y)):
        assert gradient.isfinite().all()
