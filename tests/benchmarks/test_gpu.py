"""The benchmark of GPUs runs where there is none, at a size that measures nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def test_it_runs_on_a_cpu(tmp_path):
    output = tmp_path / "gpu.json"
    subprocess.run(
        [sys.executable, SCRIPT, "--device", "cpu", "-o", output],
        env=os.environ | {"LFI_MFLOW_BENCHMARK_SCALE": ".0005"},
        check=True,
        capture_output=True,
    )
    rows = json.loads(output.read_text())["rows"]
    assert {name.split("/")[0] for name in rows} == {
        *("ceilings", "precision", "step", "epoch", "log_prob", "sampling")
    }
    step = rows["step/manifold/20"]
    limit = max(step["seconds_of_operations"], step["seconds_of_bytes"])
    assert step["ratio_to_limit"] == pytest.approx(limit / step["seconds"])
    assert step["seconds_of_a_million_events"] == pytest.approx(step["seconds"] * 1e6 / 20)
    assert rows["precision"]["errors"]["single"]["root_mean_square"] > 0.0


def test_a_gpu_that_is_not_there_is_said(tmp_path):
    result = subprocess.run(
        [sys.executable, SCRIPT, "-o", tmp_path / "gpu.json"],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "expected a GPU, found none" in result.stderr
