"""Spline couplings and the coupling chart."""

import math
from dataclasses import replace

import pytest
import torch

from lfi_mflow.charts import Composition, CouplingChart, CouplingSettings, SplineCoupling
from lfi_mflow.errors import ConfigError

DIMENSIONS = [(2, 1), (3, 1), (3, 2), (6, 4)]


def exact_log_det(function, x):
    rows = [torch.autograd.functional.jacobian(lambda r: function(r[None])[0], row) for row in x]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet


@pytest.mark.parametrize("moves_head", [True, False])
@pytest.mark.parametrize(("dim", "split"), [(2, 1), (5, 3)])
def test_one_coupling(perturb, settings, generator, dtype, dim, split, moves_head):
    layer = perturb(SplineCoupling(dim, split, settings, moves_head=moves_head)).to(dtype)
    z = 2 * torch.randn(40, dim, generator=generator).to(dtype)
    x = layer(z)
    moved, fixed = (slice(split), slice(split, None))[:: 1 if moves_head else -1]
    assert torch.equal(x[:, fixed], z[:, fixed])
    assert (x[:, moved] - z[:, moved]).abs().mean() > 0.05
    eps = torch.finfo(dtype).eps
    back, log_det = layer.inverse_and_log_det(x)
    assert torch.equal(back, layer.inverse(x))
    # where the inverse is steep it magnifies the rounding of x
    steep = 1 + log_det.abs().exp()
    assert ((back - z).abs().amax(dim=-1) < 1e2 * eps * steep).all()
    assert ((log_det - exact_log_det(layer.inverse, x)).abs() < 1e3 * eps * steep).all()


def test_the_shift_reaches_beyond_the_bound(settings):
    """One layer can draw a graph x_b = t(x_a) of any height."""
    layer = SplineCoupling(2, 1, settings, moves_head=False)
    with torch.no_grad():
        layer.conditioner.last.bias[0] = 100.0
    x = layer(torch.zeros(1, 2))
    torch.testing.assert_close(x, torch.tensor([[0.0, 100.0]]))
    torch.testing.assert_close(layer.inverse(x), torch.zeros(1, 2), rtol=0, atol=1e-4)


@pytest.mark.parametrize(("d", "n"), DIMENSIONS)
def test_the_whole_bijection(make_chart, generator, dtype, d, n):
    bijection = make_chart(d, n, dtype).bijection
    z = torch.randn(30, d, generator=generator).to(dtype)
    x = bijection(z)
    back, log_det = bijection.inverse_and_log_det(x)
    eps = torch.finfo(dtype).eps
    assert (back - z).abs().max() < 1e4 * eps
    assert torch.equal(back, bijection.inverse(x))
    # where the inverse is steep it magnifies the rounding of x
    error = (log_det - exact_log_det(bijection.inverse, x)).abs()
    assert (error < 1e3 * eps * (1 + log_det.exp())).all()


def test_a_composition_of_nothing_is_the_identity():
    x = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    z, log_det = Composition([]).inverse_and_log_det(x)
    assert torch.equal(z, x)
    assert torch.equal(log_det, torch.zeros(3))


@pytest.mark.parametrize(("d", "n"), DIMENSIONS)
def test_it_starts_as_the_plane_of_the_first_axes(settings, generator, dtype, d, n):
    """After the standardisation the first n axes are the principal ones: PCA."""
    chart = CouplingChart(d, n, settings).to(dtype)
    x = 5 * torch.randn(20, d, generator=generator).to(dtype)
    tolerance = 100 * torch.finfo(dtype).eps
    torch.testing.assert_close(chart.encode(x), x[:, :n], rtol=tolerance, atol=tolerance)
    plane = torch.cat([x[:, :n], torch.zeros(20, d - n, dtype=dtype)], dim=1)
    torch.testing.assert_close(chart.decode(x[:, :n]), plane, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("d", "n"), DIMENSIONS)
def test_encode_is_a_left_inverse_of_decode(make_chart, generator, dtype, d, n):
    chart = make_chart(d, n, dtype)
    u = torch.randn(50, n, generator=generator).to(dtype)
    x = chart.decode(u)
    assert x.shape == (50, d)
    assert x.dtype == dtype
    assert x[:, n:].std() > 0.05  # it is bent
    assert (chart.encode(x) - u).abs().max() < 1e4 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("d", "n"), DIMENSIONS)
def test_the_projection_is_idempotent(make_chart, generator, dtype, d, n):
    chart = make_chart(d, n, dtype)
    x = torch.randn(50, d, generator=generator).to(dtype)
    once = chart.decode(chart.encode(x))
    twice = chart.decode(chart.encode(once))
    assert (once - x).norm(dim=-1).median() > 0.1
    assert (twice - once).abs().max() < 1e4 * torch.finfo(dtype).eps


def test_the_projection_does_not_depend_on_what_is_off_the_manifold(make_chart, generator):
    """Points with equal first n latents have one projection: the fibres of the chart."""
    chart = make_chart(3, 2, torch.float64)
    z = torch.randn(2, 3, generator=generator).double()
    z[1, :2] = z[0, :2]
    x = chart.bijection(z)
    assert (x[0] - x[1]).norm() > 0.1
    projection = chart.decode(chart.encode(x))
    torch.testing.assert_close(projection[0], projection[1])


def test_every_weight_gets_a_gradient(make_chart, generator):
    chart = make_chart(3, 2, torch.float64)
    x = torch.randn(200, 3, generator=generator).double()
    (x - chart.decode(chart.encode(x))).square().sum().backward()
    dead = [name for name, value in chart.named_parameters() if not value.grad.any()]
    assert not dead


def test_axes_beyond_the_rank_are_left_alone(perturb, settings, generator):
    chart = perturb(CouplingChart(6, 2, replace(settings, rank=4))).double()
    small = CouplingChart(4, 2, settings).double()
    small.bijection.load_state_dict(chart.bijection.inner.state_dict())
    x = torch.randn(30, 6, generator=generator).double()
    u = chart.encode(x)
    torch.testing.assert_close(u, small.encode(x[:, :4]))
    decoded = chart.decode(u)
    torch.testing.assert_close(decoded[:, :4], small.decode(u))
    assert not decoded[:, 4:].any()
    z, log_det = chart.bijection.inverse_and_log_det(x)
    torch.testing.assert_close(chart.bijection(z), x)
    torch.testing.assert_close(z, chart.bijection.inverse(x))
    torch.testing.assert_close(log_det, exact_log_det(chart.bijection.inverse, x))


@pytest.mark.parametrize("rank", [2, 4, -1])
def test_a_rank_that_cannot_be(settings, rank):
    with pytest.raises(ConfigError, match=f"n = 2 < rank <= d = 3, found {rank}"):
        CouplingChart(3, 2, replace(settings, rank=rank))


@pytest.mark.parametrize(("d", "n"), [(3, 3), (3, 4), (3, 0), (3, -1), (1, 1)])
def test_a_manifold_dimension_that_cannot_be(settings, d, n):
    with pytest.raises(ConfigError, match=rf"1 <= n < d = {d}.*found n = {n}.*--latent-dim"):
        CouplingChart(d, n, settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("layers", 0),
        ("hidden", 0),
        ("blocks", 0),
        ("blocks", -3),
        ("bins", 1),
        ("bins", 1000),  # their least widths would fill the interval
        ("bound", 0.0),
        ("bound", -2.0),
        ("bound", math.nan),
        ("bound", math.inf),
    ],
)
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=name):
        CouplingSettings(**{name: value})
