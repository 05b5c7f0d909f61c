import pytest
import torch
from zuko.transforms import MonotonicRQSTransform

from lfi_mflow.flows.spline import BinsFirstSpline


def parameters(*shape, bins=6):
    generator = torch.Generator().manual_seed(3)
    sizes = (bins, bins, bins - 1)
    return [
        2.0 * torch.randn(*shape, size, generator=generator, dtype=torch.float64) for size in sizes
    ]


@pytest.mark.parametrize("shape", [(3,), (50, 3), (1, 3), (4, 50, 3)])
def test_it_is_the_spline_of_zuko(shape):
    x = torch.linspace(-6.0, 6.0, 150, dtype=torch.float64).reshape(50, 3)
    ours, theirs = (kind(*parameters(*shape)) for kind in (BinsFirstSpline, MonotonicRQSTransform))
    for mine, other in zip(ours.call_and_ladj(x), theirs.call_and_ladj(x), strict=True):
        torch.testing.assert_close(mine, other)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.inv(x), theirs.inv(x))


def test_back_and_forth():
    x = torch.linspace(-7.0, 7.0, 201).reshape(67, 3)
    spline = BinsFirstSpline(*(values.float() for values in parameters(67, 3)))
    torch.testing.assert_close(spline.inv(spline(x)), x, atol=1e-4, rtol=0)


def test_derivatives_are_finite_everywhere_and_right_inside():
    x = torch.tensor([-9.0, -5.0, -1.0, 0.3, 5.0, 9.0], dtype=torch.float64, requires_grad=True)
    spline = BinsFirstSpline(*(values.requires_grad_() for values in parameters(6)))
    y, log_slope = spline.call_and_ladj(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    torch.testing.assert_close(slope[2:4].log(), log_slope[2:4])
    torch.testing.assert_close(slope[[0, -1]], torch.ones(2, dtype=torch.float64))
    (bend,) = torch.autograd.grad(log_slope.sum() + slope.sum(), x)
    assert torch.isfinite(bend).all()
