"""The laws of an atlas: densities on all its charts together, and where charts meet.

Those that it shares with all flows stand in test_flows.py.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.flows.atlas_latent import ABSENT, unpack

SMALL = {
    "quantiser": {"charts": 3, "hidden": 8, "blocks": 1, "neighbours": 2},
    "latent": {"transforms": 2, "bins": 4, "hidden": 8, "components": 3},
}
CHART = {"layers": 3, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1, "tolerance": 1e-3}
BASES = [
    (base, raising) for base in ("spline", "realnvp", "maf") for raising in ("padding", "conformal")
]
each_base = pytest.mark.parametrize(("base", "raising"), BASES)
THETA = torch.full((1, 1), 1.0, dtype=torch.float64)


@pytest.fixture
def make_atlas(perturb, scaling):
    """A function that makes a flow on an atlas with random weights, charts apart."""

    def make(d, n, p=1, dtype=torch.float64, apart=4.0, **chart):
        flow = perturb(build_flow("vq-flow", Dimensions(d, n, p), SMALL | {"chart": CHART | chart}))
        flow.double()
        flow.standardisation.load_state_dict(scaling(d).state_dict())
        generator = torch.Generator().manual_seed(2)
        flow.chart.shift.copy_(apart * torch.randn(flow.chart.shift.shape, generator=generator))
        u = torch.randn(2000, n).double()
        coordinates = torch.cat([torch.arange(2000)[:, None] % 3, u], dim=-1)
        theta = 3 * torch.rand(2000, p).double()
        flow.latent.standardise(flow.latents(flow.decode(coordinates)), theta)
        return flow.to(dtype).eval()

    return make


def _same_charts(flow):
    """Make all charts of an atlas one and the same: every point then lies on all of them."""
    flow.chart.shift.copy_(flow.chart.shift[:1].clone().expand_as(flow.chart.shift))
    centres = flow.chart.quantiser.centres
    centres.copy_(centres[:1].clone().expand_as(centres))
    return flow


def _integral(flow, cells):
    """Integral of the density over the union of the charts, and of those alone with no sum.

    Curves are sums of chords between decoded points: no Jacobian is involved. A point on m
    charts is met m times.
    """
    total = 0.0
    drawn = flow.sample_latent(THETA.expand(20_000, -1))[:, 1]
    margin = 0.3 * (drawn.max() - drawn.min())
    for chart in range(flow.chart.n_charts):
        low, high = drawn.min() - margin, drawn.max() + margin
        edges = torch.linspace(low, high, cells + 1).double()
        number = torch.full((cells + 1, 1), float(chart)).double()
        corners = flow.decode(torch.cat([number, edges[:, None]], dim=-1))
        middles = torch.cat([number[1:], ((edges[1:] + edges[:-1]) / 2)[:, None]], dim=-1)
        x = flow.decode(middles)
        code = flow.latents(x)
        times = (unpack(code, 1).log_weight > 0.5 * ABSENT).sum(dim=-1)
        density = flow.log_prob(x, THETA.expand(cells, -1)).exp()
        total += (density * corners.diff(dim=0).norm(dim=-1) / times).sum().item()
    return total


@each_base
@torch.no_grad()
def test_the_density_integrates_to_one_over_all_charts(make_atlas, base, raising):
    """In the units of the observables, whatever the weights are."""
    flow = make_atlas(3, 1, base=base, raising=raising)
    assert _integral(flow, 4_000) == pytest.approx(1.0, abs=2e-3)


@torch.no_grad()
def test_nothing_is_lost_or_counted_twice_where_charts_coincide(make_atlas):
    """Three charts on one manifold: the sum is over all, whichever of them reproduces best."""
    flow = _same_charts(make_atlas(3, 1))
    slots = unpack(flow.latents(flow.sample(THETA.expand(500, -1))), 1)
    assert (slots.log_weight > 0.5 * ABSENT).all()
    assert _integral(flow, 4_000) == pytest.approx(1.0, abs=2e-3)


@torch.no_grad()
def test_one_chart_alone_loses_mass(make_atlas):
    """The trap: a sum that is cut to the best chart does not integrate to one."""
    flow = _same_charts(make_atlas(3, 1))
    whole = flow.latents

    def cut(x, theta=None):
        code = whole(x)
        code.unflatten(-1, (3, -1))[:, 1:, 1] = ABSENT
        return code

    x = flow.sample(THETA.expand(2000, -1))
    lost = flow.log_prob_latent(whole(x), THETA) - flow.log_prob_latent(cut(x), THETA)
    assert lost.min() > 0
    assert lost.exp().mean() > 1.5


@each_base
def test_the_density_of_a_point_is_that_of_its_chart(make_atlas, base, raising, dtype):
    """Charts that pass elsewhere do not contribute."""
    flow = make_atlas(4, 2, dtype=dtype, base=base, raising=raising)
    theta = torch.linspace(0, 3, 30)[:, None].to(dtype)
    u = flow.sample_latent(theta, torch.Generator().manual_seed(1))
    x = flow.decode(u)
    chart, inner = u[:, 0].long(), u[:, 1:]
    condition = torch.cat([theta, torch.nn.functional.one_hot(chart, 3).to(theta)], dim=-1)
    share = flow.latent.log_weights(theta).gather(-1, chart[:, None]).squeeze(-1)
    expected = share + flow.latent.flow.log_prob(inner, condition) - flow.log_volume(u)
    found = flow.log_prob(x, theta)
    assert (found - expected).abs().max() < 1e5 * torch.finfo(dtype).eps * expected.abs().max()
    assert torch.equal(flow.infer(x, theta)[:, 0].long(), chart)


@each_base
def test_the_volume_is_that_of_autograd(make_atlas, base, raising):
    flow = make_atlas(4, 2, base=base, raising=raising)
    u = flow.sample_latent(THETA.expand(10, -1), torch.Generator().manual_seed(1))
    for common in (False, True):
        if common:  # then conformal charts know it in closed form
            flow.standardisation.scale.fill_(2.0)
        for row, volume in zip(u, flow.log_volume(u), strict=True):
            J = torch.autograd.functional.jacobian(
                lambda inner, row=row: flow.decode(torch.cat([row[:1], inner])[None])[0], row[1:]
            )
            assert volume.item() == pytest.approx(0.5 * torch.logdet(J.T @ J).item(), abs=1e-8)


@torch.no_grad()
def test_charts_that_coincide_share_a_point_by_their_densities(make_atlas):
    """p(k | x, theta) is what Bayes says, and sums to one."""
    flow = _same_charts(make_atlas(3, 2))
    theta = torch.linspace(0, 3, 50)[:, None].double()
    x = flow.sample(theta)
    coordinates = flow.encode(x)
    terms = []
    for chart in range(3):
        condition = torch.cat([theta, torch.eye(3)[chart].double().expand(50, -1)], dim=-1)
        log_q = flow.latent.flow.log_prob(coordinates[:, 1:], condition)
        terms.append(flow.latent.log_weights(theta)[:, chart] + log_q)
    expected = torch.stack(terms, dim=-1)
    torch.testing.assert_close(flow.chart_probabilities(x, theta), expected.softmax(dim=-1))
    volume = flow.log_volume(coordinates)
    torch.testing.assert_close(flow.log_prob(x, theta), expected.logsumexp(dim=-1) - volume)
    probable = flow.infer(x, theta)
    assert torch.equal(probable[:, 0].long(), expected.argmax(dim=-1))
    torch.testing.assert_close(flow.decode(probable), x)


@pytest.mark.statistical
@torch.no_grad()
def test_sampling_and_density_agree_on_every_chart(make_atlas):
    """Counts of charts and of coordinates in them against p_k q; false alarm 1e-3."""
    flow, draws = make_atlas(3, 1), 30_000
    u = flow.sample_latent(THETA.expand(draws, -1), torch.Generator().manual_seed(8))
    observed, expected = [], []
    for chart in range(3):
        condition = torch.cat([THETA, torch.eye(3)[[chart]].double()], dim=-1)
        edges = torch.linspace(u[:, 1].min(), u[:, 1].max(), 3001).double()
        middles = ((edges[1:] + edges[:-1]) / 2)[:, None]
        density = flow.latent.flow.log_prob(middles, condition).exp() * edges.diff()
        mass = flow.latent.log_weights(THETA)[0, chart].exp() * density
        expected += mass.unflatten(0, (30, 100)).sum(dim=-1).tolist()
        own = u[u[:, 0] == chart, 1]
        observed += np.histogram(own.numpy(), edges[::100].numpy())[0].tolist()
    counts, mass = np.array(observed), np.array(expected)
    assert mass.sum() == pytest.approx(1.0, abs=1e-3)
    many = mass * draws > 10
    rest = draws - counts[many].sum()
    observed, expected = [*counts[many], rest], [*mass[many], 1 - mass[many].sum()]
    assert stats.chisquare(observed, draws * np.array(expected)).pvalue > 1e-3


def test_weights_of_charts_know_theta(make_atlas):
    flow = make_atlas(3, 1)
    theta = torch.linspace(0, 3, 5)[:, None].double().requires_grad_()
    shares = flow.latent.log_weights(theta).exp()
    torch.testing.assert_close(shares.sum(dim=-1), torch.ones(5).double())
    assert shares.std(dim=0).min() > 1e-4
    x = flow.sample(theta.detach())
    (score,) = torch.autograd.grad(flow.log_prob(x, theta).sum(), theta)
    step = 1e-5
    ahead, behind = (flow.log_prob(x, theta + sign * step) for sign in (1, -1))
    torch.testing.assert_close(score[:, 0], (ahead - behind) / (2 * step), rtol=1e-5, atol=1e-6)


def test_codes_are_finite_and_computed_once(make_atlas):
    """An event file may hold anything: also what is far from all charts."""
    flow = make_atlas(3, 1)
    x = torch.cat([flow.sample(THETA.expand(20, -1)), 1e3 * torch.randn(20, 3).double()])
    encoded = flow.encode_events(x)
    assert encoded.u.isfinite().all()
    assert encoded.u.shape == (40, 3 * (2 + 1))
    torch.testing.assert_close(flow.latents(x), encoded.u)
    first = unpack(encoded.u, 1)
    coordinates = torch.cat([first.chart[:, :1].double(), first.u[:, 0]], dim=-1)
    torch.testing.assert_close(coordinates, flow.encode(x))
    assert flow.log_prob(x, THETA.expand(40, -1)).isfinite().all()
    assert math.isclose(ABSENT, float(torch.tensor(ABSENT)), rel_tol=1e-6)
