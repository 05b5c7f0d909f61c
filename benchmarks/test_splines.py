"""What do the splines cost, the hot loop of charts and densities, beside those of zuko?

The same function of the same parameters, as it is, with its gradients, and inverted; both in
turns.
"""

from typing import Any

import pytest
import torch
from measuring import scaled, turns
from zuko.transforms import MonotonicRQSTransform

from lfi_mflow.flows.spline import BinsFirstSpline

KINDS = {"ours": BinsFirstSpline, "zuko": MonotonicRQSTransform}
# Points, splines and bins: batches of the densities of d = 3, n = 2 and of d = 40, n = 14, and of
# a small one.
SHAPES = {"small": (500, 2, 8), "d3": (4000, 2, 10), "d40": (4000, 14, 11)}


@pytest.mark.parametrize("what", ["density", "gradient", "inverse"])
@pytest.mark.parametrize("shape", SHAPES)
def test_splines(benchmark: Any, shape: str, what: str) -> None:
    """A batch through one layer of splines."""
    points, splines, bins = SHAPES[shape]
    x = 2 * torch.randn(scaled(points), splines)
    trains = what == "gradient"
    parameters = [
        torch.randn(*x.shape, size, requires_grad=trains) for size in (bins, bins, bins - 1)
    ]

    def work(kind: str) -> None:
        spline = KINDS[kind](*parameters)
        if what == "inverse":
            spline.inv(x)
        else:
            y, log_slope = spline.call_and_ladj(x)
            if trains:
                (y.sum() + log_slope.sum()).backward()

    works = {kind: lambda kind=kind: work(kind) for kind in KINDS}
    seconds = turns(works, rounds=21, least=2.0)
    benchmark.extra_info["median_seconds"] = seconds
    benchmark.extra_info["speed_relative_to_zuko"] = seconds["zuko"] / seconds["ours"]
    benchmark.pedantic(works["ours"], rounds=5)
