"""Precisions, seeded noise and small charts with weights that are not those of the start."""

import pytest
import torch

from lfi_mflow.charts import CouplingChart, CouplingSettings


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(11)


@pytest.fixture(autouse=True)
def _seed_of_new_weights():
    with torch.random.fork_rng():
        torch.manual_seed(12)
        yield


@pytest.fixture
def settings():
    return CouplingSettings(layers=4, bins=5, bound=3.0, hidden=8, blocks=1)


@pytest.fixture
def perturb(generator):
    """A function that moves all weights of a module away from where they start."""

    @torch.no_grad()
    def move(module, size=0.2):
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
        return module

    return move


@pytest.fixture
def make_chart(perturb, settings):
    """A function that makes a bent coupling chart."""

    def make(d, n, dtype):
        return perturb(CouplingChart(d, n, settings)).to(dtype)

    return make
