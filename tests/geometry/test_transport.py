"""The Sinkhorn divergence against assignments, known distances and a converged reference."""

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.geometry import sinkhorn_divergence


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(30)


@pytest.fixture
def clouds(generator):
    """Two clouds of different sizes, shapes and weights."""
    x = torch.randn(9, 2, generator=generator, dtype=torch.float64)
    y = 0.7 * torch.randn(7, 2, generator=generator, dtype=torch.float64) + 0.4
    log_a = torch.randn(9, generator=generator, dtype=torch.float64)
    log_b = torch.randn(7, generator=generator, dtype=torch.float64)
    return x, y, log_a, log_b


def converged(x, y, log_a, log_b, blur):
    """Reference: plain alternating steps until nothing moves, and the primal value."""

    def transport(x, y, log_a, log_b):
        cost = (x[:, None, :] - y[None, :, :]).pow(2).sum(dim=-1) / 2
        f = torch.zeros_like(log_a)
        for _ in range(5_000):
            g = -(blur**2) * (log_a[:, None] + (f[:, None] - cost) / blur**2).logsumexp(0)
            new = -(blur**2) * (log_b[None, :] + (g[None, :] - cost) / blur**2).logsumexp(1)
            f, move = new, (new - f).abs().max()
            if move < 1e-12:
                break
        log_density = (f[:, None] + g[None, :] - cost) / blur**2
        plan = (log_density + log_a[:, None] + log_b[None, :]).exp()
        return (plan * cost).sum() + blur**2 * (plan * log_density).sum()

    log_a, log_b = log_a.log_softmax(0), log_b.log_softmax(0)
    own = transport(x, x, log_a, log_a) + transport(y, y, log_b, log_b)
    return transport(x, y, log_a, log_b) - own / 2


def by_differences(function, arguments, index, step=1e-4):
    """Gradient of a function by one of its arguments, entry by entry."""
    gradient = torch.zeros_like(arguments[index])
    for place in range(gradient.numel()):
        values = []
        for sign in (1.0, -1.0):
            moved = [argument.clone() for argument in arguments]
            moved[index].view(-1)[place] += sign * step
            values.append(function(*moved))
        gradient.view(-1)[place] = (values[0] - values[1]) / (2.0 * step)
    return gradient


@pytest.mark.parametrize("blur", [0.6, 1.0, 5.0])
@pytest.mark.parametrize(("scaling", "bound"), [(0.5, 1e-3), (0.9, 1e-5)])
def test_value_is_that_of_the_converged_reference(clouds, blur, scaling, bound):
    expected = converged(*clouds, blur)
    result = sinkhorn_divergence(*clouds, blur=blur, scaling=scaling)
    assert result.value.item() == pytest.approx(expected.item(), rel=bound)
    log_a, log_b = clouds[2:]
    terms = log_a.softmax(0) @ result.x_terms + log_b.softmax(0) @ result.y_terms
    assert terms.item() == pytest.approx(result.value.item(), rel=1e-12)


@pytest.mark.parametrize("index", range(4), ids=["x", "y", "log_a", "log_b"])
def test_gradients_are_those_of_the_converged_reference(clouds, index):
    blur = 1.0
    expected = by_differences(lambda *moved: converged(*moved, blur), clouds, index)
    inputs = [tensor.clone().requires_grad_() for tensor in clouds]
    value = sinkhorn_divergence(*inputs, blur=blur, scaling=0.8).value
    gradient = torch.autograd.grad(value, inputs)[index]
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-4)


def test_terms_are_the_derivative_by_the_measure(clouds):
    """Mass moved from one point to another changes the divergence by the terms' difference."""
    x, y, log_a, log_b = clouds
    blur, step, a = 1.0, 1e-4, log_a.softmax(0)
    move = torch.zeros_like(a)
    move[2], move[5] = 1.0, -1.0
    up, down = (converged(x, y, (a + s * move).log(), log_b, blur) for s in (step, -step))
    terms = sinkhorn_divergence(*clouds, blur=blur, scaling=0.8).x_terms
    assert (terms[2] - terms[5]).item() == pytest.approx(((up - down) / 2 / step).item(), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("blur", [0.03, 0.3, 30.0])
def test_equal_clouds_have_none_whatever_their_order(generator, dtype, blur):
    x = torch.randn(60, 3, generator=generator, dtype=dtype).requires_grad_()
    order = torch.randperm(60, generator=generator)
    log_a = torch.randn(60, generator=generator, dtype=dtype)
    result = sinkhorn_divergence(x, x.detach()[order], log_a, log_a[order], blur=blur)
    assert result.value.dtype == dtype
    result.value.backward()
    # of clouds that are 3/2 |x|^2 large, and float32 at a large blur rounds eps
    assert abs(result.value.item()) < 1e-3 + 1e-6 * blur**2
    assert x.grad.abs().max() < 1e-3


def test_symmetric(clouds):
    x, y, log_a, log_b = clouds
    there = sinkhorn_divergence(x, y, log_a, log_b, blur=0.8, scaling=0.9)
    back = sinkhorn_divergence(y, x, log_b, log_a, blur=0.8, scaling=0.9)
    assert there.value.item() == pytest.approx(back.value.item(), rel=1e-5)
    torch.testing.assert_close(there.x_terms, back.y_terms, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("blur", [0.01, 0.3, 10.0])
def test_a_shift_costs_half_its_square(generator, blur):
    """A translation is the optimal plan at any blur: the debiased value has no error."""
    x = torch.randn(80, 3, generator=generator, dtype=torch.float64)
    shift = torch.tensor([3.0, -1.0, 0.5], dtype=torch.float64)
    value = sinkhorn_divergence(x, x + shift, blur=blur, scaling=0.8).value
    assert value.item() == pytest.approx(shift.square().sum().item() / 2, rel=1e-3)


def test_small_blur_is_the_best_assignment(generator):
    x = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    y = 2.0 * torch.rand(40, 2, generator=generator, dtype=torch.float64)
    cost = (x[:, None, :] - y).pow(2).sum(dim=-1) / 2
    rows, columns = linear_sum_assignment(cost.numpy())
    x.requires_grad_()
    value = sinkhorn_divergence(x, y, blur=0.01, scaling=0.9).value
    assert value.item() == pytest.approx(cost[rows, columns].mean().item(), rel=2e-3)
    value.backward()
    assert (40 * x.grad - (x - y[columns])).abs().mean() < 0.05


def test_normal_distributions_on_a_grid():
    """W2 between normals on a line: (m - m')^2 + (s - s')^2; the entropy is removed."""
    grid = torch.linspace(-6.0, 8.0, 400, dtype=torch.float64)[:, None]
    log_a = -0.5 * (grid[:, 0] / 0.8).square()
    log_b = -0.5 * ((grid[:, 0] - 1.0) / 1.5).square()
    value = sinkhorn_divergence(grid, grid, log_a, log_b, blur=0.05, scaling=0.7).value
    assert value.item() == pytest.approx((1.0 + 0.7**2) / 2, rel=2e-3)


def test_not_negative_and_finite(generator):
    for trial in range(30):
        size, dim = 2 + trial, 1 + trial % 5
        x = torch.randn(size, dim, generator=generator)
        y = torch.randn(2 * size, dim, generator=generator)
        log_b = 10.0 * torch.randn(2 * size, generator=generator)
        for blur in (0.01, 0.3, 5.0):
            value = sinkhorn_divergence(x, y, None, log_b, blur=blur).value
            assert value.isfinite()
            assert value > -1e-5


def test_a_point_without_weight_does_not_count(clouds):
    x, y, log_a, log_b = clouds
    far = torch.full((1, 2), 50.0, dtype=x.dtype)
    none = torch.full((1,), -math.inf, dtype=x.dtype)
    expected = sinkhorn_divergence(x, y, log_a, log_b, blur=0.4, scaling=0.9)
    more, log_more = torch.cat([x, far]).requires_grad_(), torch.cat([log_a, none])
    log_more.requires_grad_()
    result = sinkhorn_divergence(more, y, log_more, log_b, blur=0.4, scaling=0.9)
    assert result.value.item() == pytest.approx(expected.value.item(), rel=1e-5)
    result.value.backward()
    assert more.grad.isfinite().all()
    assert log_more.grad.isfinite().all()


def test_far_clouds_and_units(generator):
    """The divergence scales with the square of the unit, also where exponents are extreme."""
    x = torch.randn(50, 3, generator=generator)
    y = torch.randn(50, 3, generator=generator) + 30.0
    value = sinkhorn_divergence(x, y, blur=0.05).value
    for unit in (1e-6, 1e6):
        scaled = sinkhorn_divergence(unit * x, unit * y, blur=0.05 * unit).value
        assert scaled.item() == pytest.approx(unit**2 * value.item(), rel=1e-3)
    rows, columns = linear_sum_assignment(torch.cdist(x, y).square().numpy())
    exact = (x[rows] - y[columns]).square().sum(dim=1).mean() / 2
    assert value.item() == pytest.approx(exact.item(), rel=1e-3)


def test_not_a_number_comes_out(clouds):
    x, y, log_a, log_b = clouds
    x[3, 0] = math.nan
    assert sinkhorn_divergence(x, y, log_a, log_b, blur=0.4).value.isnan()


def test_second_derivatives_are_refused(clouds):
    x, y, log_a, log_b = clouds
    value = sinkhorn_divergence(x.requires_grad_(), y, log_a, log_b, blur=0.4).value
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"once_differentiable|does not require grad"):
        torch.autograd.grad(gradient.square().sum(), x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blur": 0.0}, "expected a blur > 0, found 0"),
        ({"scaling": 1.0}, "expected a scaling between 0 and 1, found 1"),
        ({"y": torch.zeros(7, 3)}, r"points y with shape \(M, 2\), found \(7, 3\)"),
        ({"x": torch.zeros(0, 2), "log_a": None}, r"points x with .* N >= 1, found \(0, 2\)"),
        ({"log_b": torch.zeros(9)}, r"each of 7 points y, found shape \(9,\)"),
    ],
)
def test_what_cannot_be_used_is_named(clouds, changes, message):
    options = dict(zip(("x", "y", "log_a", "log_b"), clouds, strict=True))
    with pytest.raises((ConfigError, DataError), match=message):
        sinkhorn_divergence(**{**options, "blur": 0.4, **changes})
