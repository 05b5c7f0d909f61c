"""Products with Jacobians against the Jacobians."""

import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import (
    orthogonal_probes,
    pull_back,
    push_forward,
    recorded_pull_back,
    recorded_push_forward,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)


@pytest.fixture
def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.SiLU(), torch.nn.Linear(8, 5)
    ).double()


@pytest.mark.parametrize("probes", [1, 2, 4])
def test_probes_are_orthogonal_and_long(generator, probes):
    v = orthogonal_probes(torch.zeros(50, 4).double(), probes, generator)
    gram = torch.einsum("kbn,lbn->bkl", v, v)
    torch.testing.assert_close(gram, 4 * torch.eye(probes).double().expand(50, -1, -1))
    assert v[0, :, 0].std() > 0.5


def test_probes_measure_traces(generator):
    """On average with one of them, exactly with all."""
    A = torch.randn(4, 4, generator=generator).double()
    all_of_them = orthogonal_probes(torch.zeros(10, 4).double(), 4, generator)
    traces = torch.einsum("kbi,ij,kbj->b", all_of_them, A, all_of_them) / 4
    torch.testing.assert_close(traces, A.trace().expand(10))
    one = orthogonal_probes(torch.zeros(20_000, 4).double(), 1, generator)[0]
    draws = torch.einsum("bi,ij,bj->b", one, A, one)
    assert (draws.mean() - A.trace()).abs() < 4.5 * draws.std() / 20_000**0.5


@pytest.mark.parametrize("probes", [0, 5])
def test_numbers_of_probes_that_cannot_be(probes):
    with pytest.raises(ConfigError, match=f"1 <= probes <= n = 4, found {probes}"):
        orthogonal_probes(torch.zeros(3, 4), probes)


@pytest.mark.parametrize("vectors", [1, 3])
def test_all_products_are_those_of_the_jacobian(network, generator, vectors):
    u = torch.randn(6, 3, generator=generator).double()
    v = torch.randn(vectors, 6, 3, generator=generator).double()
    w = torch.randn(vectors, 6, 5, generator=generator).double()
    J = torch.stack([torch.autograd.functional.jacobian(network, row) for row in u])
    pushed, pulled = torch.einsum("bdn,kbn->kbd", J, v), torch.einsum("bdn,kbd->kbn", J, w)
    for value, product in (push_forward(network, u, v), (network(u), pushed)):
        torch.testing.assert_close(value, network(u))
        torch.testing.assert_close(product, pushed)
    value, product = pull_back(network, u, w)
    torch.testing.assert_close(value, network(u))
    torch.testing.assert_close(product, pulled)
    u.requires_grad_()
    recorded = network(u)
    torch.testing.assert_close(recorded_pull_back(recorded, u, w), pulled)
    for create_graph in (False, True):
        product = recorded_push_forward(recorded, u, v, create_graph=create_graph)
        torch.testing.assert_close(product, pushed)
        assert product.requires_grad == create_graph


def test_products_have_gradients(network, generator):
    """Those of the two recorded ways, which training takes, are those of the other two."""
    u = torch.randn(6, 3, generator=generator).double()
    v, w = torch.randn(2, 6, 3).double(), torch.randn(2, 6, 5).double()
    leaf = u.clone().requires_grad_()
    recorded = network(leaf)
    pairs = [
        (
            recorded_push_forward(recorded, leaf, v, create_graph=True),
            push_forward(network, u, v)[1],
        ),
        (recorded_pull_back(recorded, leaf, w), pull_back(network, u, w)[1]),
    ]
    weight = network[0].weight
    for first, second in pairs:
        one, other = (
            torch.autograd.grad(p.square().sum(), weight, retain_graph=True)[0]
            for p in (first, second)
        )
        assert one.norm() > 1e-2
        torch.testing.assert_close(one, other)
