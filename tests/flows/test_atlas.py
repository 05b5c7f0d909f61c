"""VQ-flows: codes of events, and settings that reach the parts."""

import pytest
import torch

from lfi_mflow.charts import AffineCoupling, MaskedAffine, SplineCoupling
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows import AtlasFlow, Dimensions, build_flow
from lfi_mflow.flows.atlas_latent import ABSENT, Slots, pack, unpack


@pytest.mark.parametrize(
    ("base", "layer"),
    [("spline", SplineCoupling), ("realnvp", AffineCoupling), ("maf", MaskedAffine)],
)
@pytest.mark.parametrize(("raising", "dim"), [("padding", 4), ("conformal", 2)])
def test_settings_reach_the_parts(base, layer, raising, dim):
    settings = {
        "quantiser": {"charts": 5, "embedding": 3, "neighbours": 3},
        "chart": {"base": base, "raising": raising, "layers": 2, "hidden": 9, "tolerance": 0.3},
        "latent": {"components": 6},
    }
    flow = build_flow("vq-flow", Dimensions(4, 2, 1), settings)
    assert isinstance(flow, AtlasFlow)
    assert flow.chart.n_charts == flow.latent.n_charts == 5
    assert flow.chart.quantiser.centres.shape == (5, 3)
    assert [type(part) for part in flow.chart.layers.layers] == [layer, layer]
    shapes = [parameter.shape[0] for parameter in flow.chart.layers.parameters()]
    assert 9 in shapes
    assert (flow.chart.bend is not None) == (raising == "conformal")
    z = torch.randn(3, dim)
    assert flow.chart.layers(z, torch.randn(3, 3)).shape == (3, dim)


def test_settings_that_cannot_be():
    with pytest.raises(ConfigError, match="1 <= n < d = 3"):
        build_flow("vq-flow", Dimensions(3, 3, 1), {})
    with pytest.raises(ConfigError, match="embedding <= d = 3"):
        build_flow("vq-flow", Dimensions(3, 2, 1), {"quantiser": {"embedding": 4}})
    with pytest.raises(UnknownNameError, match="settings of vq-flow"):
        build_flow("vq-flow", Dimensions(3, 2, 1), {"encoder": {"hidden": 3}})


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"axes": "simple"}, 'axes = "given" in an atlas'), ({"shared": 1}, "shared = 0 in an atlas")],
)
def test_the_charts_of_an_atlas_are_not_alike(setting, message):
    with pytest.raises(ConfigError, match=message):
        build_flow("vq-flow", Dimensions(3, 2, 1), {"latent": setting})


def test_codes_are_slots_in_a_row():
    slots = Slots(
        torch.tensor([[2, 0, 1]]),
        torch.tensor([[0.0, -0.3, ABSENT]]),
        torch.tensor([[[0.1, 0.2], [0.3, 0.4], [0.0, 0.0]]]),
    )
    code = pack(slots)
    assert code.shape == (1, 12)
    for found, expected in zip(unpack(code, 2), slots, strict=True):
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_one_chart_is_a_chart_like_any_other():
    """K = 1: no sum, no weights, and the density of the plane that it starts as."""
    flow = build_flow("vq-flow", Dimensions(3, 2, 0), {"quantiser": {"charts": 1}}).double()
    x, nothing = torch.randn(50, 3).double(), torch.zeros(50, 0).double()
    flow.latent.standardise(flow.latents(x), nothing)
    assert flow.latent.log_weights(nothing).abs().max() == 0
    torch.testing.assert_close(flow.project(x), x * torch.tensor([1.0, 1.0, 0.0]).double())
    condition = torch.ones(50, 1).double()
    expected = flow.latent.flow.log_prob(x[:, :2], condition)
    torch.testing.assert_close(flow.log_prob(x, nothing), expected)


@torch.no_grad()
def test_the_density_begins_with_charts_that_share_the_events():
    """Two planes that are one: events count in each by how near they are to its centre."""
    flow = build_flow("vq-flow", Dimensions(3, 2, 1), {"quantiser": {"charts": 2}}).double()
    flow.chart.shift.copy_(torch.tensor([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    generator = torch.Generator().manual_seed(1)
    side = torch.where(torch.rand(4000, 1, generator=generator) < 0.25, -1.0, 1.0).double()
    x = 0.4 * torch.randn(4000, 3, generator=generator).double()
    x = (x + 2 * side * torch.tensor([1.0, 0.0, 0.0])) * torch.tensor([1.0, 1.0, 0.0])
    theta = torch.rand(4000, 1, generator=generator).double()
    code = flow.latents(x)
    assert unpack(code, 2).log_weight.abs().max() < 1e-12
    flow.latent.standardise(code, theta)
    shares = flow.latent.log_weights(theta[:1]).exp()[0]
    assert shares[0].item() == pytest.approx(0.25, abs=0.06)
    weighted = torch.where(side[:, 0] < 0, 3.0, 1.0).double()
    flow.latent.standardise(code, theta, weighted)
    shares = flow.latent.log_weights(theta[:1]).exp()[0]
    assert shares[0].item() == pytest.approx(0.5, abs=0.06)
