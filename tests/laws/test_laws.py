"""The laws of charts, bijections and flows, one table for all of them.

A new preset, chart or bijection fails here until it stands in its table, and then
has to obey. Tolerances are roundings of the precision under test times what the
maps magnify.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.autograd.functional import jacobian

from lfi_mflow.charts import (
    Bijection,
    Chart,
    Composition,
    CouplingChart,
    CouplingSettings,
    SplineCoupling,
    Standardisation,
    TriangularLinear,
)
from lfi_mflow.config import from_table
from lfi_mflow.data import EventMetadata
from lfi_mflow.flows import (
    PRESETS,
    Dimensions,
    Flow,
    FlowSettings,
    Model,
    ModelMetadata,
    build_flow,
    load_model,
    save_model,
)
from lfi_mflow.geometry import log_volume_by_minor, log_volume_by_tangents
from lfi_mflow.simulation import Observable, Parameter
from lfi_mflow.training import OBJECTIVES


def _scaling(d):
    """Anisotropic scales and turned axes."""
    scaling = Standardisation(d).double()
    mixing = torch.diag(torch.logspace(-1, 1, d).double()) + 0.03
    mean = torch.linspace(-1, 2, d)
    scaling.fit(mean, mixing @ mixing.T, range(d))
    return scaling


SMALL = CouplingSettings(layers=3, bins=4, bound=4.0, hidden=8, blocks=1)

M_FLOW = {
    "chart": {"layers": 3, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 2, "bins": 4, "hidden": 8, "components": 3},
}
# name: settings, and the dimensions (d, n, p) to try
FLOWS = {"m-flow": (M_FLOW, [(2, 1, 1), (3, 2, 1), (4, 1, 0), (5, 3, 2)])}
# class: how to make one, and the dimensions (d, n) to try
CHARTS = {CouplingChart: (lambda d, n: CouplingChart(d, n, SMALL), [(2, 1), (3, 2), (5, 2)])}
# class: how to make one of dimension d
BIJECTIONS = {
    Composition: lambda d: Composition([TriangularLinear(d), _scaling(d), TriangularLinear(d)]),
    SplineCoupling: lambda d: SplineCoupling(d, 1, SMALL, moves_head=False),
    Standardisation: _scaling,
    TriangularLinear: TriangularLinear,
}

FLOW_CASES = [(name, dims) for name, (_, all_dims) in FLOWS.items() for dims in all_dims]
CHART_CASES = [(kind, dims) for kind, (_, all_dims) in CHARTS.items() for dims in all_dims]
each_flow = pytest.mark.parametrize(("name", "dims"), FLOW_CASES)
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


@torch.no_grad()
def _perturb(module, size=0.2):
    """Move all weights away from where they start."""
    generator = torch.Generator().manual_seed(5)
    for parameter in module.parameters():
        parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return module


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(31)
        yield


@pytest.fixture
def make_flow():
    """A function that makes a flow with random weights and anisotropic scales."""

    def make(name, dims, dtype=torch.float64):
        flow = _perturb(build_flow(name, Dimensions(*dims), FLOWS[name][0])).double()
        flow.standardisation.load_state_dict(_scaling(dims[0]).state_dict())
        u = torch.randn(4000, dims[1]).double() * 1.5 + 0.2
        flow.latent.standardise(u, 3 * torch.rand(4000, dims[2]).double())
        return flow.to(dtype).eval()

    return make


def _theta(rows, p, dtype=torch.float64):
    return 3 * torch.rand(rows, p, dtype=torch.float64).to(dtype)


# -- the tables are complete


def test_no_preset_escapes():
    assert set(FLOWS) == set(PRESETS)


@pytest.mark.parametrize(("base", "table"), [(Chart, CHARTS), (Bijection, BIJECTIONS)])
def test_no_chart_or_bijection_escapes(base, table):
    assert set(table) == _package_classes(base)


# -- bijections and charts


@each_bijection
def test_bijections_invert_and_know_their_determinant(kind, dtype):
    bijection = _perturb(BIJECTIONS[kind](4)).to(dtype)
    z = torch.randn(20, 4).to(dtype)
    x = bijection(z)
    back, log_det = bijection.inverse_and_log_det(x)
    exact = [torch.linalg.slogdet(jacobian(lambda r: bijection.inverse(r[None])[0], r)) for r in x]
    eps = torch.finfo(dtype).eps
    assert (back - z).abs().max() < 1e4 * eps
    assert torch.equal(bijection.inverse(x), back)
    assert (log_det - torch.stack([d.logabsdet for d in exact])).abs().max() < 1e4 * eps


@each_chart
def test_charts_have_a_left_inverse(kind, dims, dtype):
    chart = _perturb(CHARTS[kind][0](*dims)).to(dtype)
    u = torch.randn(40, dims[1]).to(dtype)
    x = chart.decode(u)
    eps = torch.finfo(dtype).eps
    assert x.shape == (40, dims[0])
    assert (chart.encode(x) - u).abs().max() < 1e5 * eps
    around = torch.randn(40, dims[0]).to(dtype)
    once = chart.decode(chart.encode(around))
    assert (chart.decode(chart.encode(once)) - once).abs().max() < 1e5 * eps


@each_chart
def test_three_ways_to_the_volume(kind, dims, dtype):
    chart = _perturb(CHARTS[kind][0](*dims)).to(dtype)
    u = torch.randn(10, dims[1]).to(dtype)
    J = torch.stack([jacobian(lambda r: chart.decode(r[None])[0], row) for row in u]).double()
    values = torch.linalg.svdvals(J)
    bound = 100 * torch.finfo(dtype).eps * (1e2 + (values[:, 0] / values[:, -1]) ** 2)
    exact = values.log().sum(dim=-1)
    assert ((log_volume_by_tangents(chart.decode, u) - exact).abs() < bound).all()
    if chart.bijection is not None:
        inverse = chart.bijection.inverse_and_log_det
        minor = log_volume_by_minor(inverse, chart.decode(u), dims[1])
        assert ((minor - exact).abs() < bound).all()


# -- flows


@each_flow
def test_flows_say_what_they_are(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    assert isinstance(flow, Flow)
    assert (flow.data_dim, flow.latent_dim, flow.theta_dim) == dims
    assert flow.reference == PRESETS[name].reference
    assert PRESETS[name].name == name
    x = flow.sample(_theta(7, dims[2], dtype))
    assert x.shape == (7, dims[0])
    assert x.dtype == flow.log_prob(x, _theta(7, dims[2], dtype)).dtype == dtype


@each_flow
def test_latents_survive_the_data_space(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    u = torch.randn(40, dims[1]).to(dtype)
    x = flow.decode(u)
    scale = (1 + x.abs()).max()
    assert (flow.encode(x) - u).abs().max() < 1e5 * torch.finfo(dtype).eps
    assert flow.reconstruction_error(x).max() < 1e5 * torch.finfo(dtype).eps * scale
    off = x + 0.3 * torch.randn(40, dims[0]).to(dtype)
    torch.testing.assert_close(
        flow.encode_events(off).distance, (off - flow.decode(flow.encode(off))).norm(dim=-1)
    )


@each_flow
def test_the_density_has_two_parts(make_flow, name, dims):
    """log p(x | theta) is a constant of the event plus what depends on theta."""
    flow = make_flow(name, dims)
    theta, other = _theta(9, dims[2]), _theta(9, dims[2])
    x = flow.sample(theta)
    encoded = flow.encode_events(x)
    latent = flow.log_prob_latent(encoded.u, theta)
    torch.testing.assert_close(flow.log_prob(x, theta), encoded.log_constant + latent)
    # so likelihood ratios need no volume, if the chart is free of theta
    ratio = flow.log_prob(x, theta) - flow.log_prob(x, other)
    torch.testing.assert_close(ratio, latent - flow.log_prob_latent(encoded.u, other))


@each_flow
def test_leading_shapes_broadcast(make_flow, name, dims):
    flow = make_flow(name, dims)
    u, theta = torch.randn(6, 1, dims[1]).double(), _theta(4, dims[2])
    table = flow.log_prob_latent(u, theta)
    assert table.shape == (6, 4)
    for i, j in np.ndindex(6, 4):
        single = flow.log_prob_latent(u[i], theta[j : j + 1])
        torch.testing.assert_close(table[i, j], single[0])
    assert flow.log_prob_latent(u[0, 0], theta[0]).shape == ()
    assert flow.log_prob_latent(u, theta[:, None, None]).shape == (4, 6, 1)


def _mesh(flow, low, high, cells):
    """Pieces of the manifold: their centres in x, their sizes and their latents.

    Lengths and triangles between decoded points: no Jacobian is involved.
    """
    n = flow.latent_dim
    edges = [
        torch.linspace(a, b, cells + 1, dtype=torch.float64) for a, b in zip(low, high, strict=True)
    ]
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in edges]
    u = torch.cartesian_prod(*middles).reshape(-1, n)
    corners = flow.decode(torch.cartesian_prod(*edges).reshape(-1, n))
    corners = corners.unflatten(0, [cells + 1] * n)
    if n == 1:
        return u, corners.diff(dim=0).norm(dim=-1)
    a, b, c, d = corners[:-1, :-1], corners[1:, :-1], corners[:-1, 1:], corners[1:, 1:]
    sizes = _triangle(b - a, c - a) + _triangle(b - d, c - d)
    return u, sizes.flatten()


def _triangle(side, other):
    """Area of a triangle in any dimension."""
    gram = side.square().sum(-1) * other.square().sum(-1) - (side * other).sum(-1) ** 2
    return 0.5 * gram.clamp_min(0).sqrt()


def _span(flow, theta):
    """Where all the probability is: the latents of many samples, and some more."""
    u = flow.sample_latent(theta.expand(20_000, -1))
    margin = 0.3 * (u.amax(0) - u.amin(0))
    return (u.amin(0) - margin).tolist(), (u.amax(0) + margin).tolist()


HAUSDORFF = [
    (name, dims)
    for name, dims in FLOW_CASES
    if PRESETS[name].reference == "hausdorff" and dims[1] <= 2
]


@pytest.mark.parametrize(("name", "dims"), HAUSDORFF)
@torch.no_grad()
def test_the_density_integrates_to_one_in_the_units_of_the_observables(make_flow, name, dims):
    flow = make_flow(name, dims)
    theta = torch.full((1, dims[2]), 1.0, dtype=torch.float64)
    cells = {1: 20_000, 2: 300}[dims[1]]
    u, sizes = _mesh(flow, *_span(flow, theta), cells)
    density = flow.log_prob(flow.decode(u), theta.expand(len(u), -1)).exp()
    assert (density * sizes).sum() == pytest.approx(1.0, abs=2e-3)
    assert flow.log_volume(u).std() > 0.1  # the area element is no constant


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "dims"), [case for case in FLOW_CASES if case[1][1] <= 2])
@torch.no_grad()
def test_sampling_and_density_agree(make_flow, name, dims):
    """Counts in latent cells against the integral of the density; false alarm 1e-3."""
    flow = make_flow(name, dims)
    n, draws = dims[1], 40_000
    theta = torch.full((1, dims[2]), 2.0, dtype=torch.float64)
    x = flow.sample(theta.expand(draws, -1), torch.Generator().manual_seed(8))
    assert flow.reconstruction_error(x).max() < 1e-8
    low, high = _span(flow, theta)
    fine, coarse = {1: (10_000, 50), 2: (400, 10)}[n]
    u, _ = _mesh(flow, low, high, fine)
    cell = math.prod((b - a) / fine for a, b in zip(low, high, strict=True))
    mass = flow.log_prob_latent(u, theta).exp().reshape([fine] * n).numpy() * cell
    for axis in range(n):
        mass = np.add.reduceat(mass, np.arange(0, fine, fine // coarse), axis=axis)
    edges = [np.linspace(a, b, coarse + 1) for a, b in zip(low, high, strict=True)]
    counts = np.histogramdd(flow.encode(x).numpy(), edges)[0]
    many = mass * draws > 10
    assert many.sum() > 5
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    observed = [*counts[many], draws - counts[many].sum()]
    expected = np.array([*mass[many], 1 - mass[many].sum()])
    assert stats.chisquare(observed, draws * expected).pvalue > 1e-3


@each_flow
def test_seeded_samples_leave_the_global_state_alone(make_flow, name, dims, dtype):
    flow, theta = make_flow(name, dims, dtype), _theta(50, dims[2], dtype)
    before = torch.get_rng_state()
    first, again, other = (
        flow.sample(theta, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    u = flow.sample_latent(theta, torch.Generator().manual_seed(1))
    assert torch.equal(flow.decode(u), first)


@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
@each_flow
def test_gradients_reach_exactly_the_part_that_trains(make_flow, objective, name, dims):
    flow, theta = make_flow(name, dims), _theta(60, dims[2])
    prepared = objective.prepare(flow, torch.randn(60, dims[0]).double()).detach()
    objective.loss(flow, prepared, theta).sum().backward()
    touched = {key for key, value in flow.named_parameters() if value.grad is not None}
    part = "" if objective.part == "all" else f"{objective.part}."
    expected = {key for key, _ in flow.named_parameters() if key.startswith(part)}
    assert touched == expected
    dead = {key for key in touched if not flow.get_parameter(key).grad.any()}
    assert dead == set()


@each_flow
def test_a_model_file_keeps_every_bit(make_flow, name, dims, dtype, tmp_path):
    flow = make_flow(name, dims, dtype)
    events = EventMetadata(
        parameters=tuple(Parameter(f"theta{i}") for i in range(dims[2])),
        observables=tuple(Observable(f"x{i}") for i in range(dims[0])),
    )
    metadata = ModelMetadata(name, Dimensions(*dims), FLOWS[name][0], events, "ab", 10)
    save_model(Model(flow, metadata), tmp_path / "a.mflow")
    loaded = load_model(tmp_path / "a.mflow")
    x, theta = flow.sample(_theta(20, dims[2], dtype)), _theta(20, dims[2], dtype)
    assert torch.equal(loaded.flow.log_prob(x, theta), flow.log_prob(x, theta))
    for key, value in flow.state_dict().items():
        assert loaded.flow.state_dict()[key].dtype == value.dtype
        assert torch.equal(loaded.flow.state_dict()[key], value)


@each_flow
def test_the_size_is_known_before_the_flow_is_built(make_flow, name, dims):
    """Headers of model files are held against it: below the truth, and not far below."""
    settings = from_table(FlowSettings, FLOWS[name][0], "the table")
    elements = sum(value.numel() for value in make_flow(name, dims).state_dict().values())
    assert elements / 6 < settings.least_elements(Dimensions(*dims)) <= elements


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@each_flow
def test_devices_agree(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    theta = _theta(100, dims[2], dtype)
    x = flow.sample(theta, torch.Generator().manual_seed(3))
    here = flow.log_prob(x, theta)
    there = flow.to("cuda").log_prob(x.cuda(), theta.cuda()).cpu()
    assert (here - there).abs().max() < 1e5 * torch.finfo(dtype).eps
