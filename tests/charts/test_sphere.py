"""Maps to unit spheres of any dimension: round trips, volumes, totals."""

import math

import pytest
import torch

from lfi_mflow.charts.sphere import decode_sphere, encode_sphere, log_volume_sphere
from lfi_mflow.geometry import log_volume_by_tangents

each_n = pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 20])


@pytest.fixture
def make_u(generator, dtype):
    """A function that makes coordinates of the bulk, the tails, and zero."""

    def make(n):
        scales = torch.tensor([1.0, 1e-3, 2.0]).repeat(20)[:, None]
        u = (scales * torch.randn(60, n, generator=generator)).clamp(-5.0, 5.0)
        u[-1] = 0.0
        return u.to(dtype)

    return make


@each_n
def test_round_trip(make_u, n, dtype):
    u = make_u(n)
    x = decode_sphere(u)
    assert x.shape == (60, n + 1)
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(60, dtype=dtype))
    again = encode_sphere(3.0 * x)
    torch.testing.assert_close(again, u, atol=500 * torch.finfo(dtype).eps, rtol=1e-4)


@each_n
def test_the_volume_is_that_of_the_jacobian(make_u, n, dtype):
    u = make_u(n)
    bound = {torch.float32: 1e-3, torch.float64: 1e-9}[dtype]
    exact = log_volume_by_tangents(decode_sphere, u)
    torch.testing.assert_close(log_volume_sphere(u), exact, atol=bound, rtol=bound)


@each_n
def test_the_volumes_add_up_to_the_area(n):
    """In polar coordinates of u: the area of S^n is 2 pi^((n+1)/2) / Gamma((n+1)/2)."""
    s = torch.linspace(1e-4, 20.0, 200_001, dtype=torch.float64)
    u = torch.nn.functional.pad(s[:, None], (0, n - 1))
    shell = math.log(2) + 0.5 * n * math.log(math.pi) - math.lgamma(n / 2)
    total = torch.trapezoid((log_volume_sphere(u) + shell + (n - 1) * s.log()).exp(), s)
    area = 2 * math.pi ** ((n + 1) / 2) / math.gamma((n + 1) / 2)
    assert total.item() == pytest.approx(area, rel=2e-4)


@pytest.mark.parametrize("n", [3, 7])
def test_the_pole_is_far_and_finite(n, dtype):
    pole = (-torch.eye(n + 1, dtype=dtype)[:1]).requires_grad_()
    u = encode_sphere(pole)
    assert u.isfinite().all()
    assert u.norm() > 10.0
    u.sum().backward()
    assert pole.grad.isfinite().all()
