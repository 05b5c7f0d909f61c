"""An atlas of charts: frames, numbers of charts, and charts that know only a centre."""

import pytest
import torch

from lfi_mflow.charts import AtlasChart, AtlasSettings, QuantiserSettings
from lfi_mflow.errors import ConfigError, UnknownNameError


def make(d=3, n=2, charts=4, **settings):
    chart = AtlasSettings(**{"layers": 2, "hidden": 8, "bins": 4} | settings)
    return AtlasChart(d, n, chart, QuantiserSettings(charts=charts, hidden=8)).double()


@pytest.fixture
def sphere():
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3)).double()
    return x / x.norm(dim=1, keepdim=True)


@torch.no_grad()
@pytest.mark.parametrize("raising", ["padding", "conformal"])
@pytest.mark.parametrize("base", ["spline", "realnvp", "maf"])
def test_charts_start_as_tangent_planes_of_their_own_size(sphere, base, raising):
    atlas = make(base=base, raising=raising)
    atlas.quantiser.start(sphere)
    atlas.place(sphere)
    for chart in range(4):
        own = sphere[atlas.quantiser.members(sphere)[:, chart]]
        number = torch.full((len(own),), chart)
        u = atlas.encode_in(own, number)
        assert u.square().mean() == pytest.approx(1.0, abs=1e-3)
        projected = atlas.decode_in(u, number)
        centred = own - own.mean(dim=0)
        least = torch.linalg.eigvalsh(centred.T @ centred / len(own))[0]
        assert (own - projected).square().sum(dim=1).mean().item() == pytest.approx(least.item())


def test_coordinates_begin_with_the_number_of_the_best_chart(perturb_atlas):
    atlas = perturb_atlas(make())
    chart = torch.tensor([2, 0, 3, 1, 1])
    u = torch.randn(5, 2).double()
    x = atlas.decode(torch.cat([chart[:, None], u], dim=1))
    torch.testing.assert_close(x, atlas.decode_in(u, chart))
    coordinates = atlas.encode(x)
    assert torch.equal(coordinates[:, 0].long(), chart)
    torch.testing.assert_close(coordinates[:, 1:], u)
    cover = atlas.cover(x)
    assert cover.u.shape == (5, 4, 2)
    assert torch.equal(cover.distance.argmin(dim=1), chart)


@torch.no_grad()
@pytest.mark.parametrize("raising", ["padding", "conformal"])
def test_charts_differ_by_their_centre_frame_and_features_alone(perturb_atlas, raising):
    """Two charts of one centre and one frame are one chart, unless their features differ."""
    for features in (0, 2):
        atlas = perturb_atlas(make(features=features, raising=raising))
        for values in (atlas.shift, atlas.rotation, atlas.scale, atlas.quantiser.centres):
            values[1] = values[0]
        u = torch.randn(20, 2).double()
        first, second, other = (atlas.decode_in(u, torch.full((20,), k)) for k in (0, 1, 2))
        assert (first - other).norm(dim=1).min() > 1e-2
        if features:
            assert (first - second).norm(dim=1).min() > 1e-3
            atlas.features[1] = atlas.features[0]
            second = atlas.decode_in(u, torch.full((20,), 1))
        assert torch.equal(first, second)


@pytest.fixture
def perturb_atlas():
    @torch.no_grad()
    def move(atlas):
        generator = torch.Generator().manual_seed(5)
        for values in (*atlas.parameters(), atlas.shift):
            values.add_(0.2 * torch.randn(values.shape, generator=generator))
        return atlas

    return move


def test_many_events_are_covered_in_blocks(perturb_atlas, monkeypatch):
    atlas = perturb_atlas(make())
    x = torch.randn(50, 3).double()
    whole = atlas.cover(x)
    monkeypatch.setattr("lfi_mflow.charts.atlas._PAIRS", 30)
    for values, expected in zip(atlas.cover(x), whole, strict=True):
        torch.testing.assert_close(values, expected)


def test_a_chart_of_too_few_events_is_refused(sphere):
    atlas = make(charts=40)
    with pytest.raises(ConfigError, match=r"more than n = 2 events in each of 40 charts"):
        atlas.place(sphere[:3])


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"base": "nsf"}, UnknownNameError, "base"),
        ({"raising": "zeros"}, UnknownNameError, "raising"),
        ({"layers": 0}, ConfigError, "layers >= 1"),
        ({"features": -1}, ConfigError, "features >= 0"),
        ({"bins": 1}, ConfigError, "2 <= bins"),
        ({"tolerance": 0.0}, ConfigError, "tolerance > 0"),
    ],
)
def test_settings_that_cannot_be(settings, error, match):
    with pytest.raises(error, match=match):
        make(**settings)
