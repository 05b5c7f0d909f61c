"""The manifold flow: what the laws do not say."""

import pytest
import torch

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.flows import LatentFlow, LatentSettings, ManifoldFlow, manifold
from lfi_mflow.geometry import (
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)


def test_encoded_events(make_flow, dtype):
    flow = make_flow(dtype=dtype)
    x = torch.randn(12, 3).to(dtype)
    encoded = flow.encode_events(x)
    assert torch.equal(encoded.u, flow.encode(x))
    torch.testing.assert_close(encoded.distance, flow.reconstruction_error(x))
    torch.testing.assert_close(encoded.log_constant, -flow.log_volume(encoded.u))
    assert encoded.distance.median() > 0.01


def test_the_scale_of_the_observables_is_in_the_volume(make_flow):
    """In units a thousand times smaller the density falls by 1000 per dimension."""
    flow = make_flow()
    x, theta = torch.randn(5, 3).double(), torch.rand(5, 1).double()
    before = flow.log_prob(x, theta)
    flow.standardisation.scale *= 1000
    after = flow.log_prob(1000 * x, theta)
    torch.testing.assert_close(after, before - 2 * torch.tensor(1000.0).double().log())


@pytest.mark.parametrize(
    ("d", "n", "method"), [(2, 1, "push"), (4, 1, "push"), (6, 5, "push"), (7, 6, "minor")]
)
def test_the_cheaper_method_is_taken(make_flow, monkeypatch, d, n, method):
    taken = []
    for name, function in (("push", log_volume_by_push), ("minor", log_volume_by_minor)):

        def noted(*arguments, name=name, function=function):
            taken.append(name)
            return function(*arguments)

        monkeypatch.setattr(manifold, f"log_volume_by_{name}", noted)
    flow, u = make_flow(d, n), torch.randn(3, n).double()
    volume = flow.log_volume(u)
    assert taken == [method]
    torch.testing.assert_close(volume, log_volume_by_tangents(flow.decode, u))


class Paraboloid(Chart):
    """A chart without a bijection: (a, b) -> (a, b, a^2 + b^2)."""

    def encode(self, x, theta=None):
        return x[:, :2]

    def decode(self, u, theta=None):
        return torch.cat([u, u.square().sum(dim=-1, keepdim=True)], dim=-1)


def test_a_chart_without_a_bijection():
    latent = LatentFlow(2, 0, LatentSettings(transforms=1, bins=2, hidden=4))
    flow = ManifoldFlow(Standardisation(3), Paraboloid(3, 2), latent).double()
    u = torch.randn(6, 2).double()
    exact = 0.5 * (1 + 4 * u.square().sum(dim=-1)).log()
    torch.testing.assert_close(flow.log_volume(u), exact)
    x = torch.cat([u, torch.zeros(6, 1).double()], dim=1)
    torch.testing.assert_close(flow.encode_events(x).distance, u.square().sum(dim=-1))


@pytest.mark.parametrize("rows", [0, 1])
def test_few_events(make_flow, rows):
    flow = make_flow()
    encoded = flow.encode_events(torch.zeros(rows, 3).double())
    assert encoded.u.shape == (rows, 2)
    assert encoded.distance.shape == encoded.log_constant.shape == (rows,)


def test_the_density_can_be_differentiated_in_everything(make_flow):
    """Weights of both parts, events and theta get finite gradients."""
    flow = make_flow()
    x = torch.randn(8, 3).double().requires_grad_()
    theta = torch.rand(8, 1).double().requires_grad_()
    flow.log_prob(x, theta).sum().backward()
    for name, value in [("x", x), ("theta", theta), *flow.named_parameters()]:
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name


def test_a_nan_event_gives_nan_and_spoils_no_other(make_flow):
    flow, theta = make_flow(), torch.rand(4, 1).double()
    x = torch.randn(4, 3).double()
    good = flow.log_prob(x, theta)
    x[1, 2] = torch.nan
    spoilt = flow.log_prob(x, theta)
    assert spoilt[1].isnan()
    torch.testing.assert_close(spoilt[[0, 2, 3]], good[[0, 2, 3]])
