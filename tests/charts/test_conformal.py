"""Conformal maps: angles, factors, and the manifolds that they reach."""

import pytest
import torch
from torch.func import jacrev, vmap

from lfi_mflow.charts import (
    ConformalChart,
    ConformalSettings,
    Rotation,
    Scaling,
    Shift,
    SpecialConformal,
    Standardisation,
)
from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import log_volume_by_tangents

LAYERS = (Rotation, Scaling, Shift, SpecialConformal)


@pytest.fixture
def make_chart(perturb):
    """A function that makes a bent conformal chart."""

    def make(d, n, layers=2):
        return perturb(ConformalChart(d, n, ConformalSettings(layers))).double()

    return make


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_keep_angles_and_know_their_factor(perturb, generator, kind):
    """J^T J = lambda^2, against autograd and with its sign."""
    layer = perturb(kind(4), size=0.4).double()
    z = torch.randn(20, 4, generator=generator).double()
    J = vmap(jacrev(lambda row: layer(row[None])[0]))(z)
    factor = layer.log_factor(z).exp()[:, None, None]
    unit = torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(J.mT @ J, factor**2 * unit)
    if kind in (Scaling, SpecialConformal):
        assert (factor - 1).abs().max() > 1e-2


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_start_as_the_identity(generator, kind):
    z = torch.randn(5, 3, generator=generator)
    torch.testing.assert_close(kind(3)(z), z)


def test_the_point_that_goes_to_infinity_stays_finite():
    layer = SpecialConformal(2)
    with torch.no_grad():
        layer.b.copy_(torch.tensor([0.5, 0.0]))
    assert layer.log_factor(torch.tensor([[2.0, 0.0]])).isfinite().all()
    assert (layer(torch.tensor([[2.0, 1e-3]])).norm(dim=-1) > 1e3).all()


@pytest.mark.parametrize(("d", "n"), [(2, 1), (3, 2), (5, 2)])
def test_the_volume_of_a_chart_and_a_similarity(make_chart, generator, d, n):
    chart, u = make_chart(d, n), torch.randn(10, n, generator=generator).double()
    standardisation = Standardisation(d).double()
    standardisation.scale.fill_(0.3)
    standardisation.axes.copy_(torch.linalg.qr(torch.randn(d, d, generator=generator)).Q)
    volume = chart.log_volume(u, standardisation)
    exact = log_volume_by_tangents(lambda rows: standardisation(chart.decode(rows)), u)
    # the axes are rounded to single precision
    torch.testing.assert_close(volume, exact, rtol=1e-5, atol=1e-5)
    assert volume.std() > 1e-2
    standardisation.scale[0] = 0.4
    assert chart.log_volume(u, standardisation) is None


def test_the_image_of_a_line_is_a_circle(make_chart):
    u = torch.linspace(-40, 40, 200)[:, None].double()
    with torch.no_grad():
        x = make_chart(2, 1).decode(u)
    # |x|^2 = 2 c.x + k for all points
    columns = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
    square = x.square().sum(dim=1, keepdim=True)
    solution = torch.linalg.lstsq(columns, square).solution
    torch.testing.assert_close(columns @ solution, square)


@pytest.mark.parametrize("layers", [0, -1])
def test_layers_that_cannot_be(layers):
    with pytest.raises(ConfigError, match=f"layers >= 1, found {layers}"):
        ConformalSettings(layers)
