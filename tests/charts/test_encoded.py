"""Charts with a free encoder: what the laws do not say."""

import pytest
import torch

from lfi_mflow.charts import AutoencoderChart, EncodedChart, NetworkSettings, ResidualNetwork
from lfi_mflow.errors import ConfigError

NETWORK = NetworkSettings(hidden=16, blocks=1)


@pytest.fixture(params=["me-flow", "pae"])
def make(request, settings):
    """A function that makes either chart."""
    if request.param == "pae":
        return lambda d, n: AutoencoderChart(d, n, NETWORK, NETWORK)
    return lambda d, n: EncodedChart(d, n, settings, NETWORK)


def _on_a_parabola(generator, rows):
    t = 2 * torch.rand(rows, 1, generator=generator).double() - 1
    return torch.cat([t, t**2 - 1 / 3], dim=1)


def test_training_makes_the_encoder_a_left_inverse(make, generator):
    """Which no architecture does here: before, and off the data, it need not be one."""
    chart = make(2, 1).double()
    optimiser = torch.optim.Adam(chart.parameters(), lr=1e-2)
    for _ in range(250):
        x = _on_a_parabola(generator, 64)
        loss = (x - chart.decode(chart.encode(x))).square().sum(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        x = _on_a_parabola(generator, 500)
        u = chart.encode(x)
        again = chart.encode(chart.decode(u))
        far = chart.encode(chart.decode(u + 20)) - (u + 20)
    assert loss < 1e-3
    assert (again - u).abs().max() < 0.1 * u.std()
    assert far.abs().mean() > 10 * (again - u).abs().mean()


def test_encoder_and_decoder_share_no_weights(make):
    """Otherwise it would be no free encoder, and the model file would hold weights twice."""
    chart = make(3, 2)
    names = {name for name, _ in chart.named_parameters()}
    assert set(chart.state_dict()) == names | {"theta_mean", "theta_scale"}
    encoder = {name for name in names if name.startswith("encoder.")}
    x = torch.randn(9, 3)
    chart.encode(x).sum().backward()
    touched = {name for name, value in chart.named_parameters() if value.grad is not None}
    assert touched == encoder


def test_only_the_bijective_decoder_has_a_bijection(settings):
    assert AutoencoderChart(3, 2, NETWORK, NETWORK).bijection is None
    chart = EncodedChart(3, 2, settings, NETWORK)
    u = torch.randn(7, 2)
    padded = torch.cat([u, torch.zeros(7, 1)], dim=1)
    torch.testing.assert_close(chart.bijection(padded), chart.decode(u))


@pytest.mark.parametrize(("d", "n"), [(3, 3), (3, 0)])
def test_a_manifold_dimension_that_cannot_be(make, d, n):
    with pytest.raises(ConfigError, match=rf"1 <= n < d = {d}"):
        make(d, n)


@pytest.mark.parametrize(("name", "value"), [("hidden", 0), ("blocks", 0), ("blocks", -1)])
def test_networks_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=f"{name} >= 1.*found {value}"):
        NetworkSettings(**{name: value})


@pytest.mark.parametrize(("hidden", "blocks"), [(1, 1), (8, 3), (64, 2)])
def test_the_size_of_a_network_is_known_before_it_is_built(hidden, blocks):
    network = ResidualNetwork(5, 3, hidden, blocks)
    least = NetworkSettings(hidden, blocks).least_elements(5, 3)
    weights = sum(value.numel() for name, value in network.named_parameters() if "bias" not in name)
    assert least == weights
