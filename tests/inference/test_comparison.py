"""Comparing models by the density of events."""

import pytest
import torch

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.inference import compare_densities

SMALL = {"latent": {"transforms": 1, "hidden": 8}}


@pytest.fixture
def build():
    def make(name, seed=0):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return build_flow(name, Dimensions(3, 3 if name == "af" else 2, 1), SMALL).eval()

    return make


@pytest.fixture
def events():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(300, 3, generator=generator), torch.rand(300, 1, generator=generator)


def test_means_and_paired_differences(build, events):
    x, theta = events
    flows = {"one": build("m-flow", 1), "two": build("pae", 2)}
    found = compare_densities(flows, x, theta)
    with torch.no_grad():
        values = {name: flow.log_prob(x, theta).double() for name, flow in flows.items()}
        error = flows["two"].reconstruction_error(x).mean().item()
    difference = values["two"] - values["one"]
    assert found["one"].advantage == found["one"].advantage_error == 0
    assert found["two"].log_prob == pytest.approx(values["two"].mean().item())
    assert found["two"].advantage == pytest.approx(difference.mean().item())
    assert found["two"].advantage_error == pytest.approx(difference.std().item() / 300**0.5)
    assert found["two"].reconstruction_error == pytest.approx(error, rel=1e-5)


def test_many_events_come_in_blocks(build, events, monkeypatch):
    monkeypatch.setattr("lfi_mflow.inference.comparison._BATCH", 64)
    flow = build("af")
    with torch.no_grad():
        expected = flow.log_prob(*events).double().mean().item()
    assert compare_densities({"af": flow}, *events)["af"].log_prob == pytest.approx(expected)


def test_what_the_true_model_gains(build, events):
    """Events drawn from one model are likelier under it than under another."""
    flows = {"true": build("af", 1), "other": build("af", 5)}
    theta = events[1]
    with torch.no_grad():
        x = flows["true"].sample(theta, torch.Generator().manual_seed(3))
    found = compare_densities(flows, x, theta)["other"]
    assert found.advantage < -3 * found.advantage_error


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["af", "m-flow"], "af to lebesgue, m-flow to hausdorff"),
        (["m-flow", "pie"], "m-flow to hausdorff, pie to lebesgue"),
        (["rif", "rif"], "rif to bound"),
        (["vae", "vae"], "vae to none"),
    ],
)
def test_different_measures_are_not_compared(build, events, names, said):
    with pytest.raises(ModelMismatchError, match=f"one measure.*found {said}"):
        compare_densities({name: build(name) for name in names}, *events)


def test_too_little_to_compare(build, events):
    x, theta = events
    with pytest.raises(InputError, match="a model and two events at least, found 0 and 300"):
        compare_densities({}, x, theta)
    with pytest.raises(InputError, match="found 1 and 1"):
        compare_densities({"af": build("af")}, x[:1], theta[:1])
