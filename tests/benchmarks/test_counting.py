"""Counts of operations and bytes against those by hand."""

import pytest
import torch
from torch.func import jvp, vmap
from torch.utils.flop_counter import FlopCounterMode

from lfi_mflow.geometry.volume import load_forward_mode

B, IN, OUT = 7, 5, 3


@pytest.fixture(scope="module")
def counting(script):
    return script("counting")


def test_a_layer_by_hand(counting):
    layer, x = torch.nn.Linear(IN, OUT), torch.randn(B, IN)
    with torch.no_grad():
        found = counting.count(lambda: layer(x).exp())
    assert found.matmul_flops == 2 * B * IN * OUT
    assert found.matmul_bytes == 4 * (B * IN + IN * OUT + OUT + B * OUT)
    assert found.elementwise_flops == 10 * B * OUT
    assert found.elementwise_bytes == 4 * 2 * B * OUT
    assert found.matmuls == {((B, IN), (IN, OUT)): 1}
    assert found.flops == found.matmul_flops + found.elementwise_flops


def test_backward_and_tangents_are_counted(counting):
    layer, x = torch.nn.Linear(IN, OUT), torch.randn(B, IN, requires_grad=True)
    found = counting.count(lambda: layer(x).sum().backward())
    assert found.matmul_flops == 3 * 2 * B * IN * OUT  # forward, for the input, for the weights

    load_forward_mode()

    def push(tangent):
        return jvp(lambda rows: rows @ layer.weight.T, (x,), (tangent.expand_as(x),))[1]

    found = counting.count(lambda: vmap(push)(torch.eye(IN)))
    assert found.matmul_flops >= IN * 2 * B * IN * OUT


def test_what_moves_values_computes_nothing(counting):
    x = torch.randn(B, IN)
    moved = counting.count(lambda: torch.cat([x, x]))
    assert moved.elementwise_flops == 0
    assert moved.elementwise_bytes == 4 * 4 * B * IN
    seen = counting.count(lambda: x.T.reshape(-1, B).expand(2, IN, B)[0])
    assert seen.flops == seen.bytes == 0


def test_what_is_expanded_counts_once(counting):
    assert counting.traffic([torch.zeros(1, IN).expand(B, IN)]) == 4 * IN
    assert counting.traffic([torch.zeros(B, 0), torch.zeros((), dtype=torch.float64)]) == 8


def test_in_place_and_fused(counting):
    weight = torch.zeros(B, requires_grad=True)
    optimiser = torch.optim.AdamW([weight], fused=True)
    weight.grad = torch.ones(B)
    optimiser.step()
    found = counting.count(optimiser.step)
    assert found.calls["_fused_adamw_"] == 1
    assert 14 * B <= found.elementwise_flops <= 14 * B + 2
    found = counting.count(lambda: torch.zeros(B).add_(1.0))
    assert found.elementwise_flops == B


def test_a_triangular_solve(counting):
    matrix, columns = torch.eye(IN), torch.randn(IN, B)
    found = counting.count(lambda: torch.linalg.solve_triangular(matrix, columns, upper=True))
    assert found.elementwise_flops == IN**2 * B


@pytest.mark.parametrize("phase", ["manifold", "density"])
def test_a_training_step_agrees_with_torch(counting, script, phase):
    original = script("original")
    step = original.training_step(original.build(original.PROBLEMS["d3"], "default"), phase, 20)
    found = counting.count(step)
    with FlopCounterMode(display=False) as torchs:
        step()
    assert found.matmul_flops == torchs.get_total_flops() > 0
    assert sum(found.matmuls.values()) > 0
    assert found.elementwise_flops > 0
