"""What the laws have in common: precisions, weights that are not those of the start.

A new chart, bijection or preset fails in the folder's tests until it stands in
their tables, and then has to obey. Tolerances are roundings of the precision
under test times what the maps magnify.
"""

import pytest
import torch

from lfi_mflow.charts import Standardisation


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def scaling():
    """A function that makes a standardisation with anisotropic scales and turned axes."""

    def make(d):
        scaling = Standardisation(d).double()
        mixing = torch.diag(torch.logspace(-1, 1, d).double()) + 0.03
        mean = torch.linspace(-1, 2, d)
        scaling.fit(mean, mixing @ mixing.T, range(d))
        return scaling

    return make


@pytest.fixture
def perturb():
    """A function that moves all weights of a module away from where they start."""

    @torch.no_grad()
    def move(module, size=0.2):
        generator = torch.Generator().manual_seed(5)
        for parameter in module.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
        return module

    return move
