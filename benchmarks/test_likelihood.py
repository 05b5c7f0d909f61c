"""What does a log-density with the exact volume cost per event?

Targets of the project, at batch 1000: 200 times faster than the original code at d = 3,
n = 2, which takes 25 ms at batch 100 and is out of memory at batch 1000, and 500 times at
d = 40, n = 14, where it takes 1.13 s at batch 16 and is out of memory at 100; 0.25 ms at d = 3.
"""

from typing import Any

import pytest
import torch
from measuring import scaled
from original import ARCHITECTURES, PROBLEMS, build, note_ratio

from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.geometry import (
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)

BATCH = 1000


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", PROBLEMS)
def test_log_prob(benchmark: Any, architecture: str, name: str) -> None:
    """Full log p(x | theta) of 1000 events."""
    problem = PROBLEMS[name]
    flow = build(problem, architecture)
    batch = scaled(BATCH, least=20)
    x = torch.randn(batch, problem.dimensions.data)
    theta = torch.zeros(batch, problem.dimensions.theta)
    with torch.no_grad():
        benchmark.pedantic(lambda: flow.log_prob(x, theta), rounds=7, warmup_rounds=2)
    seconds = benchmark.stats.stats.median / batch
    benchmark.extra_info["ms_per_event"] = 1e3 * seconds
    note_ratio(benchmark, problem, "log_prob", seconds)
    if name == "d3":
        benchmark.extra_info["target_ms_per_event"] = 0.25


@pytest.mark.parametrize("method", ["tangents", "push", "minor"])
def test_volume(benchmark: Any, method: str) -> None:
    """The volume of 1000 events by each exact method, d = 3, n = 2."""
    chart = build_flow("m-flow", Dimensions(3, 2, 1), {}).chart
    u = torch.randn(BATCH, 2)
    with torch.no_grad():
        x = chart.decode(u)
        inverse = chart.bijection.inverse_and_log_det
        methods = {
            "tangents": lambda: log_volume_by_tangents(chart.decode, u),
            "push": lambda: log_volume_by_push(chart.bijection.push, u, 3),
            "minor": lambda: log_volume_by_minor(inverse, x, 2),
        }
        benchmark.pedantic(methods[method], rounds=7, warmup_rounds=2)
    benchmark.extra_info["ms_per_event"] = 1e3 * benchmark.stats.stats.median / BATCH
