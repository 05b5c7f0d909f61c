"""Presets and the flows that are built from tables."""

import pytest
import torch

from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows import PRESETS, Dimensions, ModelSettings, build_flow, get_preset


def test_presets_say_where_they_come_from():
    for name, preset in PRESETS.items():
        assert preset.name == name
        assert preset.summary
        assert preset.limits
        assert issubclass(preset.settings, ModelSettings)
        assert "arXiv:" in preset.source
        assert preset.reference in {"lebesgue", "hausdorff", "bound", "ratio", "none"}
        assert get_preset(name) is preset


def test_an_unknown_preset_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'm-flow'"):
        get_preset("mflow")
    with pytest.raises(UnknownNameError, match="lfi-mflow models"):
        build_flow("zzz", Dimensions(3, 2, 1), {})


def test_settings_reach_the_modules():
    settings = {
        "chart": {"layers": 3, "bins": 5, "bound": 2.5, "hidden": 12, "blocks": 2},
        "latent": {"transforms": 2, "bins": 6, "hidden": 14, "components": 5},
    }
    flow = build_flow("m-flow", Dimensions(4, 2, 1), settings)
    couplings = list(flow.chart.bijection.layers)[::2]
    assert len(couplings) == 3
    assert [layer.moves_head for layer in couplings] == [False, True, False]
    assert all(layer.bound == 2.5 for layer in couplings)
    assert all(len(layer.conditioner.blocks) == 2 for layer in couplings)
    assert couplings[0].conditioner.last.weight.shape == (2 * 3 * 5, 12)
    shapes = {name: tuple(value.shape) for name, value in flow.latent.state_dict().items()}
    assert shapes["flow.transform.transforms.1.hyper.2.weight"] == (14, 14)
    assert shapes["flow.transform.transforms.1.hyper.4.weight"] == (2 * (3 * 6 - 1), 14)
    assert shapes["flow.base.hyper.4.weight"] == (5 * (2 * 2 + 1), 14)
    assert not any(".transforms.2." in name for name in shapes)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"chrt": {}}, "did you mean 'chart'"),
        ({"chart": {"layer": 3}}, "did you mean 'layers'"),
        ({"latent": {"hiden": 3}}, "did you mean 'hidden'"),
    ],
)
def test_an_unknown_setting_offers_the_nearest(settings, match):
    with pytest.raises(UnknownNameError, match=match):
        build_flow("m-flow", Dimensions(3, 2, 1), settings)


@pytest.mark.parametrize(
    "settings", [{"chart": {"layers": 2.0}}, {"chart": {"layers": 0}}, {"latent": {"bins": "10"}}]
)
def test_a_setting_that_cannot_be(settings):
    with pytest.raises(ConfigError):
        build_flow("m-flow", Dimensions(3, 2, 1), settings)


@pytest.mark.parametrize("name", [n for n, p in PRESETS.items() if p.reference == "ratio"])
def test_ratio_estimators_have_one_network(name):
    flow = build_flow(name, Dimensions(3, 3, 1), {"network": {"hidden": 12, "blocks": 3}})
    assert flow.network.first.weight.shape == (12, 4)
    assert len(flow.network.blocks) == 3
    with pytest.raises(UnknownNameError, match=f"settings of {name}"):
        build_flow(name, Dimensions(3, 3, 1), {"latent": {"hidden": 10}})


@pytest.mark.parametrize("name", [n for n, p in PRESETS.items() if p.reference != "ratio"])
def test_every_preset_has_settings_of_its_own(name):
    """What belongs to the chart of one is no setting of another."""
    d = 3
    dimensions = Dimensions(d, d if PRESETS[name].ambient else 2, 1)
    flow = build_flow(name, dimensions, {"latent": {"transforms": 3, "hidden": 10}})
    assert any(".transforms.2." in key for key in flow.latent.state_dict())
    networks = {"encoder", "decoder"}
    parts = {"af": set(), "fom": set(), "me-flow": {"chart", "encoder"}, "gan": {"decoder"}}
    parts |= {"pae": networks, "rif": networks, "vae": networks, "fif": networks}
    parts |= {"cef": set(), "hypersurface": set()}
    allowed = parts.get(name, {"chart"})
    for part in ("chart", "encoder", "decoder"):
        table = {part: {"hidden": 12, "blocks": 1}}
        if part not in allowed:
            with pytest.raises(UnknownNameError, match=f"settings of {name}"):
                build_flow(name, dimensions, table)
            continue
        shapes = [value.shape for value in build_flow(name, dimensions, table).chart.parameters()]
        assert torch.Size([12, 12]) in shapes


def test_charts_see_theta_if_they_are_asked_to():
    for name in ("m-flow", "pie"):
        assert not build_flow(name, Dimensions(3, 2, 1), {}).conditional
        assert build_flow(name, Dimensions(3, 2, 1), {"conditional_chart": True}).conditional
    assert build_flow("pie-original", Dimensions(3, 2, 1), {}).conditional
    # where there is no theta, there is nothing to depend on
    assert not build_flow("pie-original", Dimensions(3, 2, 0), {}).conditional


def test_prescribed_manifolds():
    torus = build_flow("fom", Dimensions(4, 2, 1), {"manifold": "torus", "radius": 2.0})
    x = torus.sample(torch.zeros(50, 1))
    torch.testing.assert_close(x.unflatten(-1, (2, 2)).norm(dim=-1), torch.full((50, 2), 2.0))
    with pytest.raises(UnknownNameError, match="did you mean 'sphere'"):
        build_flow("fom", Dimensions(3, 2, 1), {"manifold": "spere"})
    sphere = build_flow("fom", Dimensions(5, 4, 1), {"radius": 2.0}).sample(torch.zeros(50, 1))
    torch.testing.assert_close(sphere.norm(dim=-1), torch.full((50,), 2.0))
    with pytest.raises(ConfigError, match=r"d = 3 observables for the sphere.*n = 2, found d = 5"):
        build_flow("fom", Dimensions(5, 2, 1), {})


def test_dimensions_that_cannot_be():
    with pytest.raises(ConfigError, match="1 <= n < d = 3"):
        build_flow("m-flow", Dimensions(3, 3, 1), {})
    with pytest.raises(ConfigError, match=r"dimensions >= 0.*theta=-1"):
        Dimensions(3, 2, -1)


def test_hypersurfaces_have_one_dimension_less():
    with pytest.raises(ConfigError, match=r"n = d - 1 = 3 for a hypersurface, found n = 2"):
        build_flow("hypersurface", Dimensions(4, 2, 1), {})


def test_images_have_as_many_pixels_as_there_are_observables():
    image = {"image": {"height": 2, "width": 3, "levels": 1}}
    flow = build_flow("fif", Dimensions(6, 2, 0), image)
    assert flow.sample(torch.zeros(4, 0)).shape == (4, 6)
    with pytest.raises(ConfigError, match=r"1 x 2 x 3 .*= 6 observables, found d = 5"):
        build_flow("fif", Dimensions(5, 2, 0), image)
    with pytest.raises(ConfigError, match=r"key 'height' in the settings of fif, key 'image'"):
        build_flow("fif", Dimensions(6, 2, 0), {"image": {"width": 3}})
