"""The ambient flow: what the laws do not say."""

import math

import pytest
import torch

from lfi_mflow.charts import Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import AmbientFlow, Dimensions, LatentFlow, LatentSettings, build_flow

SETTINGS = {"latent": {"transforms": 1, "bins": 3, "hidden": 6, "components": 2}}


@pytest.fixture
def flow(dtype):
    flow = build_flow("af", Dimensions(3, 3, 1), SETTINGS)
    turn = torch.linalg.qr(torch.randn(3, 3)).Q
    flow.standardisation.axes.copy_(turn)
    flow.standardisation.scale.copy_(torch.tensor([0.1, 1.0, 50.0]))
    return flow.to(dtype).eval()


def test_the_density_is_per_volume_of_the_observables(flow, dtype):
    x, theta = torch.randn(6, 3).to(dtype), torch.rand(6, 1).to(dtype)
    before = flow.log_prob(x, theta)
    z = flow.standardisation.inverse(x)
    torch.testing.assert_close(before, flow.latent.log_prob(z, theta) - math.log(0.1 * 50.0))
    flow.standardisation.scale *= 1000
    torch.testing.assert_close(flow.log_prob(1000 * x, theta), before - 3 * math.log(1000.0))


def test_every_event_is_its_own_projection(flow, dtype):
    """Exactly: rounding would look like a distance that depends on the size of an event."""
    x = 1e4 * torch.randn(50, 3).to(dtype)
    assert torch.equal(flow.project(x), x)
    assert not flow.reconstruction_error(x).any()
    assert not flow.encode_events(x).distance.any()
    assert flow.encode_events(x[:0]).log_constant.shape == (0,)


@pytest.mark.parametrize("settings", [{}, {"latent": {"hidden": 6}}])
def test_it_has_more_splines_than_a_latent_flow(settings):
    """Whatever else is set."""
    names = build_flow("af", Dimensions(3, 3, 1), settings).latent.state_dict()
    assert any(".transforms.4." in name for name in names)
    assert not any(".transforms.5." in name for name in names)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_it_has_all_dimensions(n):
    with pytest.raises(ConfigError, match=rf"n = d = 3 .*found n = {n}; leave --latent-dim out"):
        build_flow("af", Dimensions(3, n, 1), SETTINGS)
    latent = LatentFlow(n, 0, LatentSettings(1, 2, 4, 1))
    with pytest.raises(ConfigError, match="n = d = 3"):
        AmbientFlow(Standardisation(3), latent)
