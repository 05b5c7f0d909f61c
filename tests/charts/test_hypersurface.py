"""Star-like hypersurfaces against geometry that is known."""

import pytest
import torch

from lfi_mflow.charts import HypersurfaceChart, NetworkSettings, Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import log_volume_by_tangents

NETWORK = NetworkSettings(hidden=8, blocks=1)


@pytest.fixture
def make_chart(perturb):
    """A function that makes a hypersurface with dents."""

    def make(d):
        return perturb(HypersurfaceChart(d, d - 1, NETWORK)).double()

    return make


def test_it_starts_as_a_sphere_on_which_events_lie_on_average(generator):
    chart = HypersurfaceChart(4, 3, NETWORK).double()
    x = chart.decode(torch.randn(50, 3, generator=generator).double())
    torch.testing.assert_close(x.norm(dim=-1), torch.full((50,), 2.0).double())


@pytest.mark.parametrize("d", [2, 3, 4, 8])
def test_the_volume_by_the_normal(make_chart, generator, d):
    """With scales that are not those of a similarity, after which it is no sphere any more."""
    chart, u = make_chart(d), torch.randn(20, d - 1, generator=generator).double()
    standardisation = Standardisation(d).double()
    standardisation.scale.copy_(torch.linspace(0.3, 2.0, d))
    standardisation.axes.copy_(torch.linalg.qr(torch.randn(d, d, generator=generator).double()).Q)
    volume = chart.log_volume(u, standardisation)
    exact = log_volume_by_tangents(lambda rows: standardisation(chart.decode(rows)), u)
    torch.testing.assert_close(volume, exact, rtol=1e-9, atol=1e-9)
    direction = chart.decode(u) - chart.centre
    assert direction.norm(dim=-1).std() > 1e-2  # it is no sphere


def test_the_length_of_a_closed_curve(make_chart):
    """The integral of exp V over all u, against chords between decoded points."""
    chart = make_chart(2)
    u = torch.linspace(-7, 7, 20_001)[:, None].double()
    with torch.no_grad():
        x = chart.decode(u)
        volume = chart.log_volume(u, Standardisation(2).double())
    length = torch.trapezoid(volume.exp(), u[:, 0])
    chords = x.diff(dim=0).norm(dim=-1).sum()
    assert length.item() == pytest.approx(chords.item(), rel=1e-4)
    assert (x[0] - x[-1]).norm() < 1e-6  # it closes


def test_projections_lie_on_the_ray_from_the_centre(make_chart, generator):
    chart = make_chart(3)
    x = 2 * torch.randn(30, 3, generator=generator).double()
    projection = chart.decode(chart.encode(x))
    ray, other = x - chart.centre, projection - chart.centre
    cosine = (ray * other).sum(-1) / (ray.norm(dim=-1) * other.norm(dim=-1))
    torch.testing.assert_close(cosine, torch.ones(30).double())


def test_the_volume_has_gradients(make_chart, generator):
    chart, u = make_chart(3), torch.randn(5, 2, generator=generator).double()
    standardisation = Standardisation(3).double()
    weight = chart.radius.first.weight
    (found,) = torch.autograd.grad(chart.log_volume(u, standardisation).sum(), weight)
    (exact,) = torch.autograd.grad(log_volume_by_tangents(chart.decode, u).sum(), weight)
    assert exact.norm() > 1e-3
    torch.testing.assert_close(found, exact)


@pytest.mark.parametrize(("d", "n", "match"), [(4, 2, "n = d - 1 = 3"), (3, 0, "1 <= n < d = 3")])
def test_dimensions_that_cannot_be(d, n, match):
    with pytest.raises(ConfigError, match=match):
        HypersurfaceChart(d, n, NETWORK)
