"""A small model with random weights and full metadata."""

import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow
from lfi_mflow.simulation import Observable, Parameter

SETTINGS = {
    "chart": {"layers": 2, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 2, "bins": 4, "hidden": 8, "components": 3},
}


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(autouse=True)
def _seed_of_new_weights():
    with torch.random.fork_rng():
        torch.manual_seed(41)
        yield


@pytest.fixture
def make_flow():
    """A function that makes a small M-flow with random weights and anisotropic scales."""

    @torch.no_grad()
    def make(d=3, n=2, p=1, dtype=torch.float64):
        flow = build_flow("m-flow", Dimensions(d, n, p), SETTINGS)
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        flow.standardisation.scale.copy_(torch.logspace(-1, 1, d))
        return flow.to(dtype).eval()

    return make


@pytest.fixture
def metadata():
    events = EventMetadata(
        parameters=(Parameter("theta", latex=r"\theta"),),  # without bounds
        observables=(Observable("px", "GeV"), Observable("py", "GeV"), Observable("η")),
        manifold_dim=2,
        simulator="toy",
        settings={"degree": 3, "names": ["a", "b"]},
        seed=3,
        prior=[{"kind": "normal", "mean": 0.0, "sd": 1.0}],
        provenance={"command": "pytest"},
        counts={"nonfinite": 2},
    )
    return ModelMetadata(
        preset="m-flow",
        dimensions=Dimensions(3, 2, 1),
        settings=SETTINGS,
        events=events,
        digest="ab12",
        n_events=1000,
        training={"seed": 4, "distance_quantiles": [0.0, 1 / 3, 1e-300]},
        history={"phases": [{"name": "chart", "epochs": [{"epoch": 0, "train": 0.1}]}]},
        mapping={"observables": ["px", "py", "eta"]},
        provenance={"created": "today"},
    )


@pytest.fixture
def model(make_flow, metadata):
    return Model(make_flow(), metadata)
