"""What do 10,000 events of the model cost?

Target of the project: 10 times faster than the original code, 2.0 s at d = 3, n = 2 and 14.1 s
at d = 40, n = 14.
"""

from typing import Any

import pytest
import torch
from measuring import scaled
from original import ARCHITECTURES, PROBLEMS, build, note_ratio

EVENTS = 10_000
BATCH = 10_000  # what closure tests draw at a time


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "couplings"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_sampling(benchmark: Any, name: str, architecture: str) -> None:
    """Events at 10,000 parameter points."""
    problem = PROBLEMS[name]
    flow = build(problem, architecture).eval()
    events = scaled(EVENTS, least=100)
    theta = torch.rand(events, problem.dimensions.theta) - 0.5
    generator = torch.Generator().manual_seed(1)

    @torch.no_grad()
    def sample() -> None:
        for rows in theta.split(BATCH):
            flow.sample(rows, generator)

    benchmark.pedantic(sample, rounds=5, warmup_rounds=1)
    seconds = benchmark.stats.stats.median * EVENTS / events
    note_ratio(benchmark, problem, "sampling", seconds)
