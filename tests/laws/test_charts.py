"""The laws of bijections and charts, one table for all of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch.autograd.functional import jacobian

from lfi_mflow.charts import (
    AffineCoupling,
    AtlasChart,
    AutoencoderChart,
    Bijection,
    Chart,
    Composition,
    ConformalChart,
    ConformalSettings,
    ConvolutionalChart,
    CouplingChart,
    CouplingSettings,
    EncodedChart,
    GeneratorChart,
    HypersurfaceChart,
    ImageSettings,
    Leading,
    MaskedAffine,
    NetworkSettings,
    Rotation,
    Scaling,
    Shift,
    SpecialConformal,
    SphereChart,
    SplineCoupling,
    Standardisation,
    TorusChart,
    TriangularLinear,
)
from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.geometry import (
    log_volume_bound,
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)


@dataclass(frozen=True)
class ChartCase:
    """How to make a chart, the dimensions (d, n) to try, and what it is excused from."""

    make: Callable[[int, int], Chart]
    dims: list[tuple[int, int]]
    exact_left_inverse: bool = True
    encodes: bool = True
    starts_as_a_plane: bool = True


SMALL = CouplingSettings(layers=3, bins=4, bound=4.0, hidden=8, blocks=1)
SMALL_NETWORK = NetworkSettings(hidden=8, blocks=1)
CHART_DIMS = [(2, 1), (3, 2), (5, 2)]
CHARTS = {
    AutoencoderChart: ChartCase(
        lambda d, n: AutoencoderChart(d, n, SMALL_NETWORK, SMALL_NETWORK),
        CHART_DIMS,
        exact_left_inverse=False,
    ),
    ConformalChart: ChartCase(
        lambda d, n: ConformalChart(d, n, ConformalSettings(layers=2)), CHART_DIMS
    ),
    ConvolutionalChart: ChartCase(
        lambda d, n: ConvolutionalChart(
            *(d, n, ImageSettings(height=d // 4, width=2, channels=2, filters=8, levels=1)),
            *(SMALL_NETWORK, SMALL_NETWORK),
        ),
        [(8, 1), (12, 3)],
        exact_left_inverse=False,
    ),
    CouplingChart: ChartCase(lambda d, n: CouplingChart(d, n, SMALL), CHART_DIMS),
    EncodedChart: ChartCase(
        lambda d, n: EncodedChart(d, n, SMALL, SMALL_NETWORK),
        CHART_DIMS,
        exact_left_inverse=False,
    ),
    GeneratorChart: ChartCase(
        lambda d, n: GeneratorChart(d, n, SMALL_NETWORK),
        CHART_DIMS,
        exact_left_inverse=False,
        encodes=False,
    ),
    HypersurfaceChart: ChartCase(
        lambda d, n: HypersurfaceChart(d, n, SMALL_NETWORK),
        [(2, 1), (3, 2), (5, 4)],
        starts_as_a_plane=False,
    ),
    SphereChart: ChartCase(
        lambda d, n: SphereChart(n, 1.5), [(2, 1), (3, 2), (5, 4)], starts_as_a_plane=False
    ),
    TorusChart: ChartCase(
        lambda d, n: TorusChart(n, 1.5), [(2, 1), (4, 2)], starts_as_a_plane=False
    ),
}
# class: how to make one of dimension d, given the fixture ``scaling``
BIJECTIONS = {
    AffineCoupling: lambda d, scaling: AffineCoupling(d, 1, SMALL_NETWORK, moves_head=True),
    MaskedAffine: lambda d, scaling: MaskedAffine(d, SMALL_NETWORK, backwards=True),
    Composition: lambda d, scaling: Composition(
        [TriangularLinear(d), scaling(d), TriangularLinear(d)]
    ),
    Leading: lambda d, scaling: Leading(scaling(2), 2),
    Rotation: lambda d, scaling: Rotation(d),
    Scaling: lambda d, scaling: Scaling(d),
    Shift: lambda d, scaling: Shift(d),
    SpecialConformal: lambda d, scaling: SpecialConformal(d),
    SplineCoupling: lambda d, scaling: SplineCoupling(d, 1, SMALL, moves_head=False),
    Standardisation: lambda d, scaling: scaling(d),
    TriangularLinear: lambda d, scaling: TriangularLinear(d),
}

CHART_CASES = [(kind, dims) for kind, case in CHARTS.items() for dims in case.dims]
EXACT_CHARTS = [(kind, dims) for kind, dims in CHART_CASES if CHARTS[kind].exact_left_inverse]
each_chart = pytest.mark.parametrize(("kind", "dims"), CHART_CASES)
each_bijection = pytest.mark.parametrize("kind", BIJECTIONS)


def _package_classes(base):
    """All final classes of the package below a base class."""
    found = set()
    for kind in base.__subclasses__():
        below = _package_classes(kind)
        if not below and kind.__module__.startswith("lfi_mflow."):
            found.add(kind)
        found |= below
    return found


# the coordinates of an atlas are no point of R^n: its laws stand in test_atlas.py
@pytest.mark.parametrize(
    ("base", "known"), [(Chart, {AtlasChart, *CHARTS}), (Bijection, {*BIJECTIONS})]
)
def test_no_chart_or_bijection_escapes(base, known):
    assert known == _package_classes(base)


@each_bijection
def test_bijections_invert_and_know_their_determinant(perturb, scaling, kind, dtype):
    bijection = perturb(BIJECTIONS[kind](4, scaling)).to(dtype)
    z = torch.randn(20, 4).to(dtype)
    x = bijection(z)
    back, log_det = bijection.inverse_and_log_det(x)
    exact = [torch.linalg.slogdet(jacobian(lambda r: bijection.inverse(r[None])[0], r)) for r in x]
    eps = torch.finfo(dtype).eps
    assert (back - z).abs().max() < 1e4 * eps
    assert torch.equal(bijection.inverse(x), back)
    tangents = torch.randn(len(z), 3, z.shape[-1]).to(dtype)
    point, pushed = bijection.push(z, tangents)
    torch.testing.assert_close(point, x)
    derivative = torch.stack([jacobian(lambda r: bijection(r[None])[0], row) for row in z])
    torch.testing.assert_close(pushed, tangents @ derivative.mT, rtol=1e-4, atol=1e-4)
    assert (log_det - torch.stack([d.logabsdet for d in exact])).abs().max() < 1e4 * eps


@pytest.mark.parametrize(
    ("kind", "dims"), [case for case in CHART_CASES if CHARTS[case[0]].starts_as_a_plane]
)
def test_charts_start_as_the_plane_of_the_first_axes(kind, dims, dtype):
    """After the standardisation these are the principal ones: training starts at PCA."""
    chart = CHARTS[kind].make(*dims).to(dtype)
    x = torch.randn(40, dims[0]).to(dtype)
    close = {"rtol": 0, "atol": 1e2 * torch.finfo(dtype).eps}
    if CHARTS[kind].encodes:
        torch.testing.assert_close(chart.encode(x), x[:, : dims[1]], **close)
    plane = torch.cat([x[:, : dims[1]], torch.zeros_like(x[:, dims[1] :])], dim=1)
    torch.testing.assert_close(chart.decode(x[:, : dims[1]]), plane, **close)


@each_chart
def test_charts_are_bent_maps_between_the_dimensions(perturb, kind, dims, dtype):
    chart = perturb(CHARTS[kind].make(*dims)).to(dtype)
    u = torch.randn(40, dims[1]).to(dtype)
    x = chart.decode(u)
    assert x.shape == (40, dims[0])
    assert x.dtype == dtype
    if CHARTS[kind].encodes:
        assert chart.encode(x).shape == (40, dims[1])
        assert chart.encode(x).dtype == dtype
    else:
        with pytest.raises(ModelMismatchError, match="a chart with an encoder"):
            chart.encode(x)
    bend = x + chart.decode(-u) - 2 * chart.decode(0 * u)
    assert bend.norm(dim=-1).median() > 1e-2


@pytest.mark.parametrize(("kind", "dims"), EXACT_CHARTS)
def test_charts_have_a_left_inverse(perturb, kind, dims, dtype):
    chart = perturb(CHARTS[kind].make(*dims)).to(dtype)
    u = torch.randn(40, dims[1]).to(dtype)
    x = chart.decode(u)
    eps = torch.finfo(dtype).eps
    assert (chart.encode(x) - u).abs().max() < 1e5 * eps
    around = torch.randn(40, dims[0]).to(dtype)
    once = chart.decode(chart.encode(around))
    assert (chart.decode(chart.encode(once)) - once).abs().max() < 1e5 * eps


@each_chart
def test_all_ways_to_the_volume(perturb, kind, dims, dtype):
    chart = perturb(CHARTS[kind].make(*dims)).to(dtype)
    u = torch.randn(10, dims[1]).to(dtype)
    J = torch.stack([jacobian(lambda r: chart.decode(r[None])[0], row) for row in u]).double()
    values = torch.linalg.svdvals(J)
    bound = 100 * torch.finfo(dtype).eps * (1e2 + (values[:, 0] / values[:, -1]) ** 2)
    exact = values.log().sum(dim=-1)
    assert ((log_volume_by_tangents(chart.decode, u) - exact).abs() < bound).all()
    assert (log_volume_bound(chart.decode, u) > exact - bound).all()
    identity, scaled = Standardisation(dims[0]).to(dtype), Standardisation(dims[0]).to(dtype)
    scaled.scale.fill_(3.0)
    known = [chart.log_volume(u, standardisation) for standardisation in (identity, scaled)]
    if known[0] is not None:
        assert ((known[0] - exact).abs() < bound).all()
        assert ((known[1] - exact - dims[1] * math.log(3.0)).abs() < bound).all()
    if chart.bijection is not None:
        inverse = chart.bijection.inverse_and_log_det
        minor = log_volume_by_minor(inverse, chart.decode(u), dims[1])
        assert ((minor - exact).abs() < bound).all()
        pushed = log_volume_by_push(chart.bijection.push, u, dims[0])
        assert ((pushed - exact).abs() < bound).all()


@pytest.mark.parametrize("dims", CHART_DIMS)
def test_a_conditional_chart_has_a_manifold_for_each_theta(perturb, dims, dtype):
    """And is, at each theta, a chart like any other."""
    chart = perturb(CouplingChart(*dims, SMALL, theta_dim=2)).to(dtype)
    chart.standardise_theta(torch.tensor([30.0, 0.0]), torch.tensor([2.0, 1.0]))
    assert chart.conditional
    assert not CouplingChart(*dims, SMALL).conditional
    u = torch.randn(20, dims[1]).to(dtype)
    theta = torch.tensor([[28.0, -1.0], [33.0, 1.0]]).to(dtype).repeat(10, 1)
    x = chart.decode(u, theta)
    eps = torch.finfo(dtype).eps
    assert (chart.encode(x, theta) - u).abs().max() < 1e5 * eps
    assert (chart.decode(u, theta.flip(0)) - x).norm(dim=-1).median() > 1e-2
    condition = chart.condition(theta)
    torch.testing.assert_close(condition[:, 0], (theta[:, 0] - 30) / 2)
    tangents = log_volume_by_tangents(chart.decode, u, theta)
    minor = log_volume_by_minor(chart.bijection.inverse_and_log_det, x, dims[1], condition)
    assert (tangents - minor).abs().max() < 1e5 * eps
    pushed = log_volume_by_push(chart.bijection.push, u, dims[0], condition)
    assert (tangents - pushed).abs().max() < 1e5 * eps
    with pytest.raises(InputError, match="give theta with the events"):
        chart.encode(x)
