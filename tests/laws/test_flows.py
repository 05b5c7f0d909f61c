"""The laws of flows, one table for all of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.config import from_table
from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, InputError, ModelMismatchError
from lfi_mflow.flows import (
    PRESETS,
    Dimensions,
    Flow,
    Model,
    ModelMetadata,
    TiltedManifoldFlow,
    build_flow,
    load_model,
    save_model,
)
from lfi_mflow.simulation import Observable, Parameter
from lfi_mflow.training import ALGORITHMS, OBJECTIVES, Batch
from lfi_mflow.training.objectives import trained_part


@dataclass(frozen=True)
class FlowCase:
    """What the laws try, and what a flow is excused from.

    Arguments:
        settings: Its settings.
        dims: The dimensions (d, n, p) to try.
        exact_left_inverse: Whether decoded latents are encoded to themselves, whatever
            the weights; where an encoder is free, training has to see to it.
        refuses: Objectives for parts that it does not have.
        unmoved: By objective, what the names of weights begin with on which its loss
            does not depend.
        preset: Name of the preset, for a variant of it; the row's own name if empty.
    """

    settings: Mapping[str, object]
    dims: list[tuple[int, int, int]]
    exact_left_inverse: bool = True
    refuses: frozenset[str] = frozenset()
    unmoved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    preset: str = ""


SMALL_CHART = {"layers": 3, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1}
SMALL_LATENT = {"transforms": 2, "bins": 4, "hidden": 8, "components": 3}
MANIFOLDS = [(2, 1, 1), (3, 2, 1), (4, 1, 0), (5, 3, 2)]

SMALL_QUANTISER = {"charts": 3, "hidden": 8, "blocks": 1, "neighbours": 2}
# a narrow tolerance: random charts meet nowhere, however near they pass each other
SMALL_ATLAS = SMALL_CHART | {"tolerance": 1e-3}
SMALL_NETWORK = {"hidden": 8, "blocks": 1}
AUTOENCODER = {"encoder": SMALL_NETWORK, "decoder": SMALL_NETWORK, "latent": SMALL_LATENT}
SMALL_IMAGE = {"height": 3, "width": 2, "channels": 2, "filters": 8, "levels": 1}
SURROGATES = {"free-form", "nae", "rectangular"}
NEEDS_DENSITY = {"likelihood", "penalised-likelihood"} | SURROGATES
TELLS_THETA_APART = {"scandal", "contrastive-likelihood", "noise-contrast-scandal"}
CLASSIFIERS, JOINT_RATIOS = {"nre-a", "nre-c", "bnre"}, {"alice", "alices"}
RATIOS = CLASSIFIERS | JOINT_RATIOS
# what the models have for themselves that flows are compared with
ATLAS = {"vector-quantisation", "membership"}
CHART = {"reconstruction", "distance"}
TILTS = {"noise-contrast", "noise-contrast-scandal"}
CONTRASTS = {"elbo", "adversarial"} | RATIOS | ATLAS | TILTS
NO_RATIO = set(OBJECTIVES) - RATIOS

RATIO_DIMS = [(2, 2, 1), (4, 4, 2)]

FLOWS = {
    "af": FlowCase(
        {"latent": SMALL_LATENT},
        [(2, 2, 1), (3, 3, 0)],
        refuses=CONTRASTS | SURROGATES | CHART | {"penalised-likelihood", "transport"},
    ),
    "fom": FlowCase(
        {"manifold": "sphere", "latent": SMALL_LATENT},
        [(2, 1, 1), (3, 2, 2)],
        refuses=CONTRASTS | CHART,
    ),
    "m-flow": FlowCase(
        {"chart": SMALL_CHART, "latent": SMALL_LATENT}, MANIFOLDS, refuses=CONTRASTS
    ),
    "m-flow of couplings": FlowCase(
        {"chart": SMALL_CHART, "latent": SMALL_LATENT | {"kind": "coupling"}},
        [(3, 2, 1), (4, 1, 0), (5, 3, 2)],
        refuses=CONTRASTS,
        preset="m-flow",
    ),
    "me-flow": FlowCase(
        {"chart": SMALL_CHART, "encoder": SMALL_NETWORK, "latent": SMALL_LATENT},
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=CONTRASTS,
        # where the manifold is, as opposed to how it bends, is nothing to the likelihood
        unmoved={
            "likelihood": ("chart.bijection.layers.5.bias",),
            "transport": ("chart.encoder.",),
        },
    ),
    "mr-flow": FlowCase(
        {"chart": SMALL_CHART, "latent": SMALL_LATENT, "ratio": SMALL_NETWORK},
        [(3, 2, 1), (3, 1, 2), (4, 1, 0), (5, 3, 2)],
        refuses=set(OBJECTIVES) - CHART - {"latent-likelihood"} - TILTS,
    ),
    "pae": FlowCase(
        AUTOENCODER,
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=CONTRASTS,
        unmoved={"likelihood": ("chart.decoder.last.bias",), "transport": ("chart.encoder.",)},
    ),
    "fif": FlowCase(
        AUTOENCODER,
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=CONTRASTS,
        unmoved={"likelihood": ("chart.decoder.last.bias",), "transport": ("chart.encoder.",)},
    ),
    "fif of images": FlowCase(
        AUTOENCODER | {"image": SMALL_IMAGE},
        [(12, 2, 1), (12, 1, 0)],
        exact_left_inverse=False,
        refuses=CONTRASTS,
        unmoved={"likelihood": ("chart.decoder.1.last.bias",), "transport": ("chart.encoder.",)},
        preset="fif",
    ),
    "rf": FlowCase({"chart": SMALL_CHART, "latent": SMALL_LATENT}, MANIFOLDS, refuses=CONTRASTS),
    "cef": FlowCase({"chart": {"layers": 2}, "latent": SMALL_LATENT}, MANIFOLDS, refuses=CONTRASTS),
    "hypersurface": FlowCase(
        {"radius": SMALL_NETWORK, "latent": SMALL_LATENT},
        [(2, 1, 1), (3, 2, 1), (4, 3, 0)],
        refuses=CONTRASTS,
    ),
    "vq-flow": FlowCase(
        {"quantiser": SMALL_QUANTISER, "chart": SMALL_ATLAS, "latent": SMALL_LATENT},
        MANIFOLDS,
        refuses=RATIOS | TILTS | SURROGATES | {"elbo", "adversarial", "transport"},
        unmoved={
            **dict.fromkeys(OBJECTIVES, ("chart.quantiser.",)),
            "vector-quantisation": ("chart.layers.",),
        },
    ),
    "vq-flow with features": FlowCase(
        {
            "quantiser": SMALL_QUANTISER,
            "chart": SMALL_ATLAS | {"features": 2},
            "latent": SMALL_LATENT,
        },
        [(3, 2, 1)],
        refuses=RATIOS | TILTS | SURROGATES | {"elbo", "adversarial", "transport"},
        unmoved={
            **dict.fromkeys(OBJECTIVES, ("chart.quantiser.",)),
            "vector-quantisation": ("chart.layers.", "chart.features"),
        },
        preset="vq-flow",
    ),
    "rif": FlowCase(
        AUTOENCODER,
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=CONTRASTS | SURROGATES,
        unmoved={"likelihood": ("chart.decoder.last.bias",), "transport": ("chart.encoder.",)},
    ),
    "pie": FlowCase(
        {"chart": SMALL_CHART, "latent": SMALL_LATENT, "epsilon": 0.3},
        MANIFOLDS,
        refuses=CONTRASTS | SURROGATES,
    ),
    "pie-original": FlowCase(
        {"chart": SMALL_CHART, "latent": SMALL_LATENT, "epsilon": 0.3},
        [(2, 1, 1), (5, 3, 2)],
        refuses=CONTRASTS | SURROGATES | TELLS_THETA_APART,
    ),
    "vae": FlowCase(
        AUTOENCODER,
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=NEEDS_DENSITY | RATIOS | TILTS | ATLAS | {"adversarial"},
        unmoved={"transport": ("chart.encoder.", "log_spread.", "log_noise")},
    ),
    "gan": FlowCase(
        {"decoder": SMALL_NETWORK, "discriminator": SMALL_NETWORK, "latent": SMALL_LATENT},
        MANIFOLDS,
        exact_left_inverse=False,
        refuses=NEEDS_DENSITY
        | RATIOS
        | TILTS
        | ATLAS
        | CHART
        | TELLS_THETA_APART
        | {"latent-likelihood", "elbo"},
        unmoved={"transport": ("discriminator.",)},
    ),
    **{
        name: FlowCase(
            {"network": SMALL_NETWORK}, RATIO_DIMS, exact_left_inverse=False, refuses=refused
        )
        for names, refused in (
            (sorted(CLASSIFIERS), NO_RATIO | JOINT_RATIOS),
            (sorted(JOINT_RATIOS), NO_RATIO | CLASSIFIERS),
        )
        for name in names
    },
    "nre-c, quadratic": FlowCase(
        {"network": SMALL_NETWORK, "dependence": "quadratic"},
        [*RATIO_DIMS, (3, 3, 3)],
        exact_left_inverse=False,
        refuses=NO_RATIO | JOINT_RATIOS,
        preset="nre-c",
    ),
    "alices, quadratic": FlowCase(
        {"network": SMALL_NETWORK, "dependence": "quadratic"},
        RATIO_DIMS,
        exact_left_inverse=False,
        refuses=NO_RATIO | CLASSIFIERS,
        preset="alices",
    ),
}
PRESET_OF = {name: PRESETS[case.preset or name] for name, case in FLOWS.items()}
FLOW_CASES = [(name, dims) for name, case in FLOWS.items() for dims in case.dims]
EXACT_FLOWS = [(name, dims) for name, dims in FLOW_CASES if FLOWS[name].exact_left_inverse]
DENSE_FLOWS = [
    (name, dims) for name, dims in FLOW_CASES if PRESET_OF[name].reference not in {"none", "ratio"}
]
RATIO_CASES = [(name, dims) for name, dims in FLOW_CASES if PRESET_OF[name].reference == "ratio"]
GENERATORS = [case for case in FLOW_CASES if case not in RATIO_CASES]
each_flow = pytest.mark.parametrize(("name", "dims"), FLOW_CASES)
each_generator = pytest.mark.parametrize(("name", "dims"), GENERATORS)
each_ratio = pytest.mark.parametrize(("name", "dims"), RATIO_CASES)
each_with_a_density = pytest.mark.parametrize(("name", "dims"), DENSE_FLOWS)


@pytest.fixture
def make_flow(perturb, scaling):
    """A function that makes a flow with random weights and anisotropic scales."""

    def make(name, dims, dtype=torch.float64):
        flow = perturb(
            build_flow(PRESET_OF[name].name, Dimensions(*dims), FLOWS[name].settings)
        ).double()
        flow.standardisation.load_state_dict(scaling(dims[0]).state_dict())
        if flow.chart is not None:
            flow.chart.orient(flow.standardisation.axes)
        u = torch.randn(4000, dims[1]).double() * 1.5 + 0.2
        theta = 3 * torch.rand(4000, dims[2]).double()
        if flow.chart is not None and flow.chart.numbered:
            flow.chart.shift.copy_(4 * torch.randn(flow.chart.shift.shape))
            u = flow.latents(flow.decode(_latents(flow, 4000)))
        if flow.reference == "ratio":
            flow.standardise_theta(theta)
            flow.recalibrate(0.8, 0.1)
        else:
            flow.latent.standardise(u, theta)
        if isinstance(flow, TiltedManifoldFlow):
            flow.standardise_theta(theta)
            flow.normalise(torch.Generator().manual_seed(0), draws=2**18)
        if flow.conditional:
            flow.chart.standardise_theta(torch.full((dims[2],), 1.4), torch.full((dims[2],), 0.9))
        return flow.to(dtype).eval()

    return make


def _latents(flow, *shape):
    """Random latents, or charts and coordinates of an atlas, with a leading shape."""
    u = torch.randn(*shape, flow.latent_dim).to(next(flow.parameters()))
    if flow.chart is None or not flow.chart.numbered:
        return u
    chart = torch.randint(flow.chart.n_charts, (*shape, 1))
    return torch.cat([chart.to(u), u], dim=-1)


def _arguments(flow, *shape):
    """Random arguments of the latent density: latents, or what an atlas has in their place."""
    u = _latents(flow, *shape)
    if flow.chart is None or not flow.chart.numbered:
        return u
    return flow.latents(flow.decode(u.flatten(0, -2))).unflatten(0, shape)


def _theta(rows, p, dtype=torch.float64):
    return 3 * torch.rand(rows, p, dtype=torch.float64).to(dtype)


def _events(flow, theta):
    """Events of the flow, or others where it generates none: one per row of theta."""
    if "sample" in flow.lacks:
        return torch.randn(len(theta), flow.data_dim).to(theta)
    return flow.sample(theta)


def test_no_preset_escapes():
    assert {preset.name for preset in PRESET_OF.values()} == set(PRESETS)


@each_flow
def test_flows_say_what_they_are(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    assert isinstance(flow, Flow)
    assert (flow.data_dim, flow.latent_dim, flow.theta_dim) == dims
    assert flow.reference == PRESET_OF[name].reference
    assert PRESETS[PRESET_OF[name].name] is PRESET_OF[name]
    assert (flow.chart is None) == PRESET_OF[name].ambient == (dims[0] == dims[1])
    assert flow.conditional == (name == "pie-original")


@each_generator
def test_events_have_the_precision_of_the_flow(make_flow, name, dims, dtype):
    x = make_flow(name, dims, dtype).sample(_theta(7, dims[2], dtype))
    assert x.shape == (7, dims[0])
    assert x.dtype == dtype


@each_with_a_density
def test_densities_have_the_precision_of_the_flow(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    x, theta = flow.sample(_theta(7, dims[2], dtype)), _theta(7, dims[2], dtype)
    assert flow.log_prob(x, theta).dtype == dtype


@each_flow
def test_what_a_model_lacks_it_says(make_flow, name, dims):
    """And what it does not lack it gives."""
    flow, theta = make_flow(name, dims), _theta(5, dims[2])
    x, u = _events(flow, theta), _latents(flow, 5)
    argument = u if "log_prob" in flow.lacks else _arguments(flow, 5)
    tries = {
        "encode": [lambda: flow.encode(x, theta), lambda: flow.project(x, theta)],
        "log_prob": [
            lambda: flow.log_prob(x, theta),
            lambda: flow.encode_events(x, theta),
            lambda: flow.log_prob_latent(argument, theta),
        ],
        "sample": [
            lambda: flow.sample(theta),
            lambda: flow.sample_latent(theta),
            lambda: flow.decode(u, theta),
        ],
    }
    assert flow.lacks <= set(tries)
    assert ("log_prob" in flow.lacks) == (flow.reference in {"none", "ratio"})
    for quantity, calls in tries.items():
        for call in calls:
            if quantity in flow.lacks:
                with pytest.raises(ModelMismatchError, match="choose another model"):
                    call()
            else:
                call()


@pytest.mark.parametrize("dims", MANIFOLDS)
def test_the_relaxed_density_is_a_lower_bound(make_flow, dims):
    relaxed, exact = make_flow("rif", dims), make_flow("pae", dims)
    exact.load_state_dict(relaxed.state_dict())
    theta = _theta(50, dims[2])
    x = relaxed.sample(theta)
    gap = exact.log_prob(x, theta) - relaxed.log_prob(x, theta)
    assert gap.min() > -1e-9
    assert gap.abs().max() < 1e-9 if dims[1] == 1 else gap.median() > 1e-2


@pytest.mark.parametrize(("name", "dims"), EXACT_FLOWS)
def test_latents_survive_the_data_space(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    u, theta = _latents(flow, 40), _theta(40, dims[2], dtype)
    x = flow.decode(u, theta)
    scale = (1 + x.abs()).max()
    assert (flow.encode(x, theta) - u).abs().max() < 1e5 * torch.finfo(dtype).eps
    assert flow.reconstruction_error(x, theta).max() < 1e5 * torch.finfo(dtype).eps * scale


@each_with_a_density
def test_the_distance_is_that_to_the_projection(make_flow, name, dims):
    flow, theta = make_flow(name, dims), _theta(40, dims[2])
    x = flow.sample(theta) + 0.3 * torch.randn(40, dims[0]).double()
    distance = flow.encode_events(x, theta).distance
    projection = flow.decode(flow.encode(x, theta), theta)
    torch.testing.assert_close(distance, (x - projection).norm(dim=-1))
    torch.testing.assert_close(distance, flow.reconstruction_error(x, theta))
    assert (distance > 1e-3).any() != PRESET_OF[name].ambient


@each_with_a_density
def test_the_density_has_two_parts(make_flow, name, dims):
    """log p(x | theta) is what the chart says of the event, and the density of its latents."""
    flow = make_flow(name, dims)
    theta, other = _theta(9, dims[2]), _theta(9, dims[2])
    x = flow.sample(theta)
    encoded = flow.encode_events(x, theta)
    latent = flow.log_prob_latent(encoded.u, theta)
    torch.testing.assert_close(flow.log_prob(x, theta), encoded.log_constant + latent)
    if flow.conditional:
        assert (flow.encode(x, other) - encoded.u).abs().max() > 1e-3
        return
    # so likelihood ratios need no volume, if the chart is free of theta
    ratio = flow.log_prob(x, theta) - flow.log_prob(x, other)
    torch.testing.assert_close(ratio, latent - flow.log_prob_latent(encoded.u, other))


@each_with_a_density
def test_leading_shapes_broadcast(make_flow, name, dims):
    flow = make_flow(name, dims)
    u, theta = _arguments(flow, 6, 1), _theta(4, dims[2])
    table = flow.log_prob_latent(u, theta)
    assert table.shape == (6, 4)
    for i, j in np.ndindex(6, 4):
        single = flow.log_prob_latent(u[i], theta[j : j + 1])
        torch.testing.assert_close(table[i, j], single[0])
    assert flow.log_prob_latent(u[0, 0], theta[0]).shape == ()
    assert flow.log_prob_latent(u, theta[:, None, None]).shape == (4, 6, 1)


def _edges(low, high, cells):
    """Edges of cells along each axis."""
    return [
        torch.linspace(a, b, cells + 1, dtype=torch.float64) for a, b in zip(low, high, strict=True)
    ]


def _middles(low, high, cells):
    """Centres of cells in latent space, with shape (cells^n, n)."""
    middles = [(edge[1:] + edge[:-1]) / 2 for edge in _edges(low, high, cells)]
    return torch.cartesian_prod(*middles).reshape(-1, len(low))


def _mesh(flow, low, high, cells):
    """Pieces of the manifold: their centres in x, their sizes and their latents.

    Lengths and triangles between decoded points: no Jacobian is involved.
    """
    n, u = flow.latent_dim, _middles(low, high, cells)
    edges = _edges(low, high, cells)
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


def _with_reference(reference, cases):
    """The cases whose density refers to a measure."""
    return [(name, dims) for name, dims in cases if PRESET_OF[name].reference == reference]


# integrals over an atlas are those over all its charts: in test_atlas.py
ONE_CHART = [case for case in DENSE_FLOWS if not case[0].startswith("vq-flow")]
HAUSDORFF = _with_reference("hausdorff", [case for case in ONE_CHART if case[1][1] <= 2])
LEBESGUE = _with_reference("lebesgue", [case for case in FLOW_CASES if case[1][0] == 2])
LATENT = [case for case in ONE_CHART if case[1][1] <= 2]


@pytest.mark.parametrize(("name", "dims"), LEBESGUE)
@torch.no_grad()
def test_the_density_integrates_to_one_over_the_plane(make_flow, name, dims):
    """Midpoints of rectangles, in the units of the observables."""
    flow, cells = make_flow(name, dims), 700
    theta = torch.full((1, dims[2]), 1.0, dtype=torch.float64)
    x = flow.sample(theta.expand(20_000, -1))
    margin = 0.5 * (x.amax(0) - x.amin(0))
    low, high = x.amin(0) - margin, x.amax(0) + margin
    steps = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells
    middles = low + torch.cartesian_prod(steps, steps) * (high - low)
    density = flow.log_prob(middles, theta.expand(len(middles), -1)).exp()
    assert density.mean() * (high - low).prod() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(("name", "dims"), HAUSDORFF)
@torch.no_grad()
def test_the_density_integrates_to_one_in_the_units_of_the_observables(make_flow, name, dims):
    flow = make_flow(name, dims)
    theta = torch.full((1, dims[2]), 1.0, dtype=torch.float64)
    cells = {1: 20_000, 2: 300}[dims[1]]
    u, sizes = _mesh(flow, *_span(flow, theta), cells)
    density = (flow.log_prob_latent(u, theta) - flow.log_volume(u)).exp()
    assert (density * sizes).sum() == pytest.approx(1.0, abs=2e-3)
    assert flow.log_volume(u).std() > 0.1  # the area element is no constant


@pytest.mark.parametrize(
    ("name", "dims"), [c for c in _with_reference("hausdorff", EXACT_FLOWS) if c in ONE_CHART]
)
def test_the_density_of_a_point_is_that_of_its_latents(make_flow, name, dims):
    flow, theta = make_flow(name, dims), _theta(30, dims[2])
    u = torch.randn(30, dims[1]).double()
    expected = flow.log_prob_latent(u, theta) - flow.log_volume(u)
    torch.testing.assert_close(flow.log_prob(flow.decode(u), theta), expected)


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "dims"), LATENT)
@torch.no_grad()
def test_sampling_and_density_agree(make_flow, name, dims):
    """Counts in latent cells against the integral of the density; false alarm 1e-3."""
    flow = make_flow(name, dims)
    n, draws = dims[1], 40_000
    theta = torch.full((1, dims[2]), 2.0, dtype=torch.float64)
    drawn = flow.sample_latent(theta.expand(draws, -1), torch.Generator().manual_seed(8))
    low, high = _span(flow, theta)
    fine, coarse = {1: (10_000, 50), 2: (400, 10)}[n]
    u = _middles(low, high, fine)
    cell = math.prod((b - a) / fine for a, b in zip(low, high, strict=True))
    mass = flow.log_prob_latent(u, theta).exp().reshape([fine] * n).numpy() * cell
    for axis in range(n):
        mass = np.add.reduceat(mass, np.arange(0, fine, fine // coarse), axis=axis)
    edges = [np.linspace(a, b, coarse + 1) for a, b in zip(low, high, strict=True)]
    counts = np.histogramdd(drawn.numpy(), edges)[0]
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    mass /= mass.sum()  # what is missing is not what rare cells have together
    many = mass * draws > 10
    assert many.sum() > 5
    observed = [*counts[many], draws - counts[many].sum()]
    expected = np.array([*mass[many], 1 - mass[many].sum()])
    assert stats.chisquare(observed, draws * expected).pvalue > 1e-3


@each_generator
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
    assert torch.equal(flow.decode(u, theta), first)


def _objectives(name):
    """The objectives that a flow can be trained with."""
    return [objective for objective in OBJECTIVES if objective not in FLOWS[name].refuses]


def _batch(flow, objective, x, theta):
    """Events as an objective wants them, with a joint score and log-ratio."""
    prepared = objective.prepare(flow, x, theta).detach()
    score, log_ratio = torch.randn(theta.shape).double(), torch.randn(len(theta)).double()
    return Batch(prepared, theta, score=score, log_ratio=log_ratio)


OBJECTIVE_CASES = [
    (name, dims, objective)
    for name, dims in FLOW_CASES
    for objective in _objectives(name)
    if dims[2] or objective not in TELLS_THETA_APART
]


@pytest.mark.parametrize(("name", "dims", "objective"), OBJECTIVE_CASES)
def test_gradients_reach_exactly_the_part_that_trains(make_flow, name, dims, objective):
    flow, theta = make_flow(name, dims), _theta(60, dims[2])
    unmoved = FLOWS[name].unmoved.get(objective, ())
    objective = OBJECTIVES[objective]()
    batch = _batch(flow, objective, torch.randn(60, dims[0]).double(), theta)
    losses = objective.loss(flow, batch, torch.Generator().manual_seed(0))
    assert losses.shape == (60,)
    losses.sum().backward()
    touched = {key for key, value in flow.named_parameters() if value.grad is not None}
    part = "" if objective.part == "all" else f"{objective.part}."
    trained = {
        key
        for key, value in flow.named_parameters()
        if key.startswith(part) and value.requires_grad
    }
    assert touched <= trained
    sizes = {key: flow.get_parameter(key).grad.abs().max().item() for key in touched}
    rounding = 1e-11 * max(sizes.values())
    moved = {key for key, size in sizes.items() if size > rounding}
    assert trained - moved == {key for key in trained if key.startswith(unmoved or "-")}


@pytest.mark.parametrize(("name", "dims", "objective"), OBJECTIVE_CASES)
def test_losses_draw_from_the_generator_alone(make_flow, name, dims, objective):
    """And do without gradients, as in validation."""
    flow, theta = make_flow(name, dims), _theta(20, dims[2])
    objective = OBJECTIVES[objective]()
    batch = _batch(flow, objective, torch.randn(20, dims[0]).double(), theta)
    before = torch.get_rng_state()
    with torch.no_grad():
        first, again = (
            objective.loss(flow, batch, torch.Generator().manual_seed(4)) for _ in range(2)
        )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not first.requires_grad
    trained = objective.loss(flow, batch, torch.Generator().manual_seed(4))
    torch.testing.assert_close(trained.detach(), first)


@pytest.mark.parametrize(
    ("name", "objective"),
    [(n, objective) for n, c in FLOWS.items() for objective in sorted(c.refuses)],
)
def test_what_cannot_be_trained_is_refused(make_flow, name, objective):
    dims, objective = FLOWS[name].dims[0], OBJECTIVES[objective]()
    flow, theta = make_flow(name, dims), _theta(3, dims[2])
    with pytest.raises(InputError, match=r"choose a(nother)? model"):  # noqa: PT012 - any may
        trained_part(flow, objective.part)
        batch = _batch(flow, objective, torch.zeros(3, dims[0]).double(), theta)
        objective.begin(flow, batch)
        objective.loss(flow, batch, torch.Generator())


@pytest.mark.parametrize("name", FLOWS)
def test_the_algorithms_of_a_preset_exist_and_suit_it(make_flow, name):
    assert PRESET_OF[name].algorithms
    for algorithm in PRESET_OF[name].algorithms:
        used = {phase.objective for phase in ALGORITHMS[algorithm]()}
        assert used <= set(_objectives(name))


def _seeded():
    return torch.Generator().manual_seed(9)


@each_flow
def test_a_model_file_keeps_every_bit(make_flow, name, dims, dtype, tmp_path):
    flow = make_flow(name, dims, dtype)
    events = EventMetadata(
        parameters=tuple(Parameter(f"theta{i}") for i in range(dims[2])),
        observables=tuple(Observable(f"x{i}") for i in range(dims[0])),
    )
    metadata = ModelMetadata(
        PRESET_OF[name].name, Dimensions(*dims), FLOWS[name].settings, events, "ab", 10
    )
    save_model(Model(flow, metadata), tmp_path / "a.mflow")
    loaded = load_model(tmp_path / "a.mflow")
    x, theta = _events(flow, _theta(20, dims[2], dtype)), _theta(20, dims[2], dtype)
    if "log_prob" not in flow.lacks:
        assert torch.equal(loaded.flow.log_prob(x, theta), flow.log_prob(x, theta))
    if "sample" not in flow.lacks:
        assert torch.equal(*(f.sample(theta, _seeded()) for f in (loaded.flow, flow)))
    if flow.reference == "ratio":
        assert torch.equal(loaded.flow.log_ratio(x, theta), flow.log_ratio(x, theta))
        assert loaded.flow.denominator == flow.denominator
    for key, value in flow.state_dict().items():
        assert loaded.flow.state_dict()[key].dtype == value.dtype
        assert torch.equal(loaded.flow.state_dict()[key], value)


@each_flow
def test_the_size_is_known_before_the_flow_is_built(make_flow, name, dims):
    """Headers of model files are held against it: below the truth, and not far below."""
    settings = from_table(PRESET_OF[name].settings, FLOWS[name].settings, "the table")
    elements = sum(value.numel() for value in make_flow(name, dims).state_dict().values())
    assert elements / 6 < settings.least_elements(Dimensions(*dims)) <= elements


def _sizes(name):
    """The integers among the settings of a preset, as (part, key)."""
    return [
        (part, key)
        for part, table in FLOWS[name].settings.items()
        if isinstance(table, Mapping)
        for key, value in table.items()
        if isinstance(value, int)
    ]


@pytest.mark.parametrize(
    ("name", "part", "key"), [(name, *size) for name in FLOWS for size in _sizes(name)]
)
def test_no_setting_hides_a_size_from_that_bound(name, part, key):
    """Otherwise a hostile header could make the reader build what fills the memory."""
    settings = {**FLOWS[name].settings, part: {**FLOWS[name].settings[part], key: 10**9}}
    try:
        table = from_table(PRESET_OF[name].settings, settings, "the table")
    except ConfigError:
        return  # it cannot be that large
    assert table.least_elements(Dimensions(*FLOWS[name].dims[0])) > 10**9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@each_with_a_density
def test_devices_agree(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    theta = _theta(100, dims[2], dtype)
    x = flow.sample(theta, torch.Generator().manual_seed(3))
    here = flow.log_prob(x, theta)
    there = flow.to("cuda").log_prob(x.cuda(), theta.cuda()).cpu()
    assert (here - there).abs().max() < 1e5 * torch.finfo(dtype).eps


@each_ratio
def test_ratios_broadcast_and_know_theta(make_flow, name, dims, dtype):
    flow = make_flow(name, dims, dtype)
    x, theta = torch.randn(6, dims[0]).to(dtype), _theta(4, dims[2], dtype)
    z = flow.standardise_events(x)
    table = flow.log_ratio_standardised(z[:, None], theta)
    assert table.shape == (6, 4)
    assert table.dtype == dtype
    for j in range(4):
        torch.testing.assert_close(table[:, j], flow.log_ratio(x, theta[j].expand(6, -1)))
    assert flow.log_ratio_standardised(z[0], theta[0]).shape == ()
    assert table.std(dim=0).min() > 1e-3
    assert table.std(dim=1).min() > 1e-3


@each_ratio
def test_ratios_do_not_depend_on_the_units(make_flow, name, dims):
    """Whatever the scales of events and theta are, the network sees numbers of order one."""
    flow = make_flow(name, dims)
    z = torch.randn(5000, dims[0]).double() * flow.standardisation.spectrum.sqrt()
    whitened = flow.standardise_events(flow.standardisation(z))
    torch.testing.assert_close(whitened.std(dim=0), torch.ones(dims[0]).double(), atol=0.1, rtol=0)
    x, theta = torch.randn(9, dims[0]).double(), _theta(9, dims[2])
    expected = flow.log_ratio(x, theta)
    flow.theta_mean.mul_(7)
    flow.theta_scale.mul_(7)
    flow.standardisation.mean.mul_(50)
    flow.standardisation.scale.mul_(50)
    torch.testing.assert_close(flow.log_ratio(50 * x, 7 * theta), expected)
