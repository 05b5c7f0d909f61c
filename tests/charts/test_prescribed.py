"""Prescribed charts against geometry: angles, areas, nearest points."""

import math

import pytest
import torch
from torch.func import jacfwd, jacrev, vmap

from lfi_mflow.charts import PRESCRIBED, SphereChart, Standardisation, TorusChart
from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import log_volume_by_tangents

CHARTS = [(SphereChart, 1), (SphereChart, 2), (TorusChart, 1), (TorusChart, 3)]
AREAS = {
    (SphereChart, 1): 2.0 * math.pi * 1.7,
    (SphereChart, 2): 4.0 * math.pi * 1.7**2,
    (TorusChart, 1): 2.0 * math.pi * 1.7,
    (TorusChart, 3): (2.0 * math.pi * 1.7) ** 3,
}


@pytest.fixture(params=CHARTS, ids=lambda case: f"{case[0].__name__}-{case[1]}")
def chart(request):
    family, n = request.param
    return family(n, radius=1.7)


@pytest.fixture
def u(chart, generator, dtype):
    """Coordinates of the bulk, the tails, and zero."""
    scales = torch.tensor([1.0, 1e-3, 3.0]).repeat(20)[:, None]
    rows = (scales * torch.randn(60, chart.latent_dim, generator=generator)).clamp(-5.0, 5.0)
    rows[-1] = 0.0
    return rows.to(dtype)


def test_round_trip(chart, u, dtype):
    x = chart.decode(u)
    again = chart.encode(x)
    assert x.dtype == again.dtype == dtype
    torch.testing.assert_close(again, u, atol=200 * torch.finfo(dtype).eps, rtol=1e-5)
    torch.testing.assert_close(chart.decode(again), x)


def test_images_lie_on_the_manifold(chart, u):
    parts = chart.decode(u)
    if isinstance(chart, TorusChart):
        parts = parts.unflatten(-1, (-1, 2))
    norm = parts.norm(dim=-1)
    torch.testing.assert_close(norm, torch.full_like(norm, 1.7))


def test_volume_in_closed_form(chart, u, dtype):
    """Where there is one, and whatever the points go through afterwards."""
    standardisation = Standardisation(chart.data_dim).to(dtype)
    standardisation.scale.copy_(torch.linspace(0.3, 2.0, chart.data_dim))
    volume = chart.log_volume(u, standardisation)
    if isinstance(chart, TorusChart):
        assert volume is None
        return
    exact = log_volume_by_tangents(lambda rows: standardisation(chart.decode(rows)), u)
    bound = {torch.float32: 1e-4, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(volume, exact, atol=bound, rtol=bound)


def test_volume_is_the_normal_density_times_the_area(chart, u, dtype):
    area = AREAS[type(chart), chart.latent_dim]
    normal = -0.5 * (u.square() + math.log(2.0 * math.pi)).sum(dim=-1)
    volume = log_volume_by_tangents(chart.decode, u)
    bound = {torch.float32: 1e-4, torch.float64: 1e-9}[dtype]
    torch.testing.assert_close(volume, normal + math.log(area), atol=bound, rtol=bound)


def test_encode_projects_to_the_nearest_point(chart, generator):
    """The way back is orthogonal to the manifold, and no other point is nearer."""
    x = torch.randn(40, chart.data_dim, generator=generator, dtype=torch.float64)
    u = chart.encode(x)
    nearest = chart.decode(u)
    tangents = vmap(jacfwd(lambda row: chart.decode(row[None])[0]))(u)
    torch.testing.assert_close(
        torch.einsum("bdn,bd->bn", tangents, x - nearest),
        torch.zeros_like(u),
        atol=1e-9,
        rtol=0.0,
    )
    others = chart.decode(torch.randn(500, chart.latent_dim, generator=generator).double())
    assert (torch.cdist(x, others).amin(dim=1) >= (x - nearest).norm(dim=1)).all()


def test_derivatives_of_both_modes_agree_and_are_inverse(chart, u):
    u = u.double()
    x = chart.decode(u)
    forward = vmap(jacfwd(lambda row: chart.decode(row[None])[0]))(u)
    reverse = vmap(jacrev(lambda row: chart.decode(row[None])[0]))(u)
    back = vmap(jacrev(lambda row: chart.encode(row[None])[0]))(x)
    torch.testing.assert_close(forward, reverse)
    unit = torch.eye(chart.latent_dim, dtype=u.dtype).expand(len(u), -1, -1)
    torch.testing.assert_close(back @ forward, unit, atol=1e-6, rtol=0.0)


def test_the_centre_of_the_chart_and_its_pole(dtype):
    for n in (1, 2):
        chart = SphereChart(n)
        e1 = torch.eye(n + 1, dtype=dtype)[:1]
        torch.testing.assert_close(chart.decode(torch.zeros(1, n, dtype=dtype)), e1)
        torch.testing.assert_close(chart.encode(3.0 * e1), torch.zeros(1, n, dtype=dtype))
        pole = (-e1).requires_grad_()
        u = chart.encode(pole)
        assert u.isfinite().all()
        assert u.norm() > 10.0
        torch.testing.assert_close(chart.decode(u), -e1, atol=1e-6, rtol=0.0)
        u.sum().backward()
        assert pole.grad.isfinite().all()


def test_both_sides_of_the_pole_are_far_apart(dtype):
    angle = torch.tensor([1e-6], dtype=dtype)
    sides = torch.stack([-torch.cos(angle), torch.sin(angle)], dim=-1)
    above, below = SphereChart(1).encode(torch.cat([sides, sides * torch.tensor([1.0, -1.0])]))
    # the angle from the pole over 2 pi is the probability beyond u
    expected = -torch.special.ndtri(angle / (2.0 * math.pi))
    torch.testing.assert_close(above, expected, rtol=1e-4, atol=0.0)
    torch.testing.assert_close(below, -expected, rtol=1e-4, atol=0.0)


@pytest.mark.statistical
def test_uniform_points_become_standard_normal(generator):
    """Mean, variance and fourth moment within 4.5 standard deviations (1e-5 false alarms each)."""
    n = 40_000
    for dim in (1, 2):
        x = torch.randn(n, dim + 1, generator=generator, dtype=torch.float64)
        u = SphereChart(dim, radius=0.3).encode(x)
        for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (4, 3.0, 96.0)):
            bound = 4.5 * math.sqrt(variance / n)
            assert ((u**power).mean(dim=0) - moment).abs().max() < bound


def test_torus_is_a_product_of_circles(generator):
    u = torch.randn(20, 3, generator=generator)
    circles = [SphereChart(1, radius=2.0).decode(u[:, [i]]) for i in range(3)]
    torch.testing.assert_close(TorusChart(3, radius=2.0).decode(u), torch.cat(circles, dim=1))


def test_nothing_is_learned_and_theta_does_not_matter(chart, u):
    assert list(chart.parameters()) == []
    assert chart.bijection is None
    theta = torch.ones(len(u), 1, dtype=u.dtype)
    torch.testing.assert_close(chart.decode(u, theta), chart.decode(u))
    torch.testing.assert_close(chart.encode(chart.decode(u), theta), chart.encode(chart.decode(u)))


def test_names():
    assert dict(PRESCRIBED) == {"sphere": SphereChart, "torus": TorusChart}


@pytest.mark.parametrize(
    ("family", "n", "radius", "message"),
    [
        (SphereChart, 0, 1.0, "found n = 0"),
        (SphereChart, 1, 0.0, "expected a radius > 0, found 0"),
        (TorusChart, 2, math.nan, "expected a radius > 0, found nan"),
        (TorusChart, 0, 1.0, "found n = 0"),
    ],
)
def test_what_cannot_be_is_refused(family, n, radius, message):
    with pytest.raises(ConfigError, match=message):
        family(n, radius)
