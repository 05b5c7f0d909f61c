"""Products that are rounded as GPUs do it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "rounding.py"


@pytest.fixture
def rounding(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return pytest.importorskip("rounding")


def test_seven_bits_are_bfloat16(rounding):
    a, b = torch.randn(30, 40), torch.randn(40, 20)
    expected = a.bfloat16().float() @ b.bfloat16().float()
    with rounding.RoundedProducts(7):
        product = a @ b
        sum_ = torch.addmm(torch.full((20,), 1 / 3), a, b)
    assert torch.equal(product, expected)
    torch.testing.assert_close(sum_, expected + 1 / 3)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1 + 2**-10, 1 + 2**-10), (1 + 2**-11, 1.0), (1 + 3 * 2**-11, 1 + 2**-9), (-1 - 2**-12, -1.0)],
)
def test_ten_bits_are_left_in_tf32(rounding, value, rounded):
    with rounding.RoundedProducts(10):
        assert (torch.full((1, 1), value) @ torch.ones(1, 1)).item() == rounded


def test_gradients_are_rounded_and_double_precision_is_not(rounding):
    x = torch.full((1, 1), 1 + 2**-12)
    weight = torch.ones(1, 1, requires_grad=True)
    with rounding.RoundedProducts(10):
        (x @ weight).sum().backward()
        assert (x.double() @ torch.ones(1, 1).double()).item() == 1 + 2**-12
    assert weight.grad.item() == 1.0


def test_it_runs(tmp_path):
    output = tmp_path / "rounding.json"
    environment = os.environ | {"LFI_MFLOW_BENCHMARK_SCALE": ".01"}
    command = [sys.executable, SCRIPT, "-o", output]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    rows = json.loads(output.read_text())["rows"]
    errors = [rows["laws"]["errors"][name]["log_p"]["median"] for name in rounding_names(rows)]
    assert 0.0 < errors[0] < errors[1] < errors[2]


def rounding_names(rows):
    return [name.split("/")[1] for name in rows if name.endswith("/1")]
