"""Conjugate gradients and Lanczos volumes against dense linear algebra."""

import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import (
    conjugate_gradient,
    gram_product,
    log_volume_by_lanczos,
    log_volume_by_tangents,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(20)


@pytest.fixture
def make_map(generator):
    """A function that makes a bent map R^n -> R^d whose volume varies."""

    def make(d, n, bend=0.5):
        first = torch.randn(d, n, generator=generator).double() / n**0.5
        second = torch.randn(d, n, generator=generator).double() / n**0.5
        return lambda u: u @ first.T + bend * torch.sin(u @ second.T)

    return make


@pytest.fixture
def systems(generator):
    """Positive definite matrices (5, 6, 6) and right-hand sides (2, 5, 6)."""
    root = torch.randn(5, 6, 9, generator=generator).double()
    return root @ root.mT, torch.randn(2, 5, 6, generator=generator).double()


def test_solutions_are_those_of_dense_algebra(systems):
    A, b = systems
    solution = conjugate_gradient(lambda v: torch.einsum("bij,kbj->kbi", A, v), b, 30, 1e-10)
    exact = torch.linalg.solve(A, b[..., None]).squeeze(-1)
    torch.testing.assert_close(solution.x, exact, rtol=1e-7, atol=1e-7)
    assert solution.iterations <= 12
    assert solution.residual.shape == (2, 5)
    residual = torch.einsum("bij,kbj->kbi", A, solution.x) - b
    assert (residual.norm(dim=-1) < 1e-9 * b.norm(dim=-1)).all()


def test_the_effort_is_bounded_and_the_rest_is_said(systems):
    A, b = systems
    calls = []

    def product(v):
        calls.append(1)
        return torch.einsum("bij,kbj->kbi", A, v)

    solution = conjugate_gradient(product, b, 2, 1e-10)
    assert len(calls) == solution.iterations == 2
    residual = torch.einsum("bij,kbj->kbi", A, solution.x) - b
    torch.testing.assert_close(solution.residual, residual.norm(dim=-1) / b.norm(dim=-1))
    assert solution.residual.max() > 1e-3


def test_what_is_solved_ends_at_once_and_stays(systems):
    A, b = systems
    b = torch.cat([b, torch.zeros(1, 5, 6).double()])
    unit = conjugate_gradient(lambda v: v, b, 10, 1e-6)
    assert unit.iterations == 1
    torch.testing.assert_close(unit.x, b)
    mixed = conjugate_gradient(lambda v: torch.einsum("bij,kbj->kbi", A, v), b, 30, 1e-10)
    assert (mixed.x[2] == 0).all()
    assert mixed.x.isfinite().all()


def test_products_with_the_gram_matrix(make_map, generator):
    decode, u = make_map(7, 4), torch.randn(3, 4, generator=generator).double()
    v = torch.randn(2, 3, 4, generator=generator).double()
    J = torch.stack([torch.autograd.functional.jacobian(decode, row) for row in u])
    expected = torch.einsum("bdi,bdj,kbj->kbi", J, J, v)
    torch.testing.assert_close(gram_product(decode, u)(v), expected)


@pytest.mark.parametrize(("d", "n"), [(2, 1), (5, 3), (12, 10)])
def test_as_many_vectors_and_steps_as_dimensions_are_exact(make_map, generator, d, n):
    decode, u = make_map(d, n), torch.randn(6, n, generator=generator).double()
    exact = log_volume_by_tangents(decode, u)
    found = log_volume_by_lanczos(decode, u, probes=n, steps=n, generator=generator)
    torch.testing.assert_close(found.value, exact, rtol=1e-8, atol=1e-8)
    assert exact.std() > 1e-2


@pytest.mark.statistical
def test_few_vectors_are_right_within_their_uncertainty(make_map, generator):
    """n = 60 with 8 vectors of 12 steps; 1e-4 false alarms for all of the 40 points."""
    decode, u = make_map(150, 60), torch.randn(40, 60, generator=generator).double()
    exact = log_volume_by_tangents(decode, u)
    found = log_volume_by_lanczos(decode, u, probes=8, steps=12, generator=generator)
    pull = (found.value - exact) / found.uncertainty
    assert pull.square().mean().sqrt() < 2
    assert (found.uncertainty / exact.abs()).median() < 0.2
    more = log_volume_by_lanczos(decode, u, probes=32, steps=12, generator=generator)
    assert (more.value - exact).square().mean() < 0.5 * (found.value - exact).square().mean()


def test_a_conformal_map_takes_one_step(generator):
    u = torch.randn(4, 30, generator=generator).double()
    found = log_volume_by_lanczos(lambda rows: 3.0 * rows, u, probes=2, steps=5)
    expected = torch.full((4,), 30 * torch.tensor(3.0).double().log().item()).double()
    torch.testing.assert_close(found.value, expected)


def test_single_precision(make_map, generator):
    decode, u = make_map(12, 10), torch.randn(6, 10, generator=generator).double()
    exact = log_volume_by_tangents(decode, u)
    single = log_volume_by_lanczos(
        lambda rows: decode(rows.double()).float(), u.float(), probes=10, steps=10
    )
    assert single.value.dtype == torch.float32
    torch.testing.assert_close(single.value.double(), exact, rtol=1e-3, atol=1e-3)


def test_what_cannot_be(make_map):
    u = torch.zeros(2, 3).double()
    with pytest.raises(ConfigError, match="probes <= n = 3, found 4"):
        log_volume_by_lanczos(make_map(5, 3), u, probes=4)
    with pytest.raises(ConfigError, match="steps >= 1"):
        log_volume_by_lanczos(make_map(5, 3), u, probes=1, steps=0)
