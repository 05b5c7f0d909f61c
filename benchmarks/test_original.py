"""How much faster are we than the layers of the original code, on this machine?

The figures of ``original.py`` were measured on one machine, with the original code. Here its
model, built of the layers of nflows (``original_layers.py``), and ours take turns, on the
same machine and with the same threads, at its published batches of 100 (log p at d = 40: 16,
the largest that fits in memory) and at ours. Times are per event, and times 100,000 for an
epoch, 10,000 for samples. ``LFI_MFLOW_BENCHMARK_SCALE=.02`` only checks that it runs.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from measuring import scaled, turns
from original import EPOCH, PROBLEMS, Problem, build, training_step
from original_layers import OriginalFlow, original_step

THEIR_BATCH, THEIR_LARGEST_JACOBIAN = 100, 16
OUR_BATCH = {"manifold": 4000, "density": 4000, "log_prob": 1000, "sampling": 10_000}
COUNTED = {"manifold": EPOCH, "density": EPOCH, "log_prob": 1, "sampling": 10_000}


def theirs(problem: Problem, what: str, batch: int) -> Callable[[], Any]:
    """Their work on a batch."""
    flow = OriginalFlow(problem)
    x, theta = torch.randn(batch, flow.data_dim), torch.rand(batch, flow.theta_dim)
    if what == "log_prob":
        return lambda: flow.log_prob(x, theta)
    if what == "sampling":
        return torch.no_grad()(lambda: flow.decode(torch.randn(batch, flow.latent_dim), theta))
    return original_step(flow, what, batch)


def ours(problem: Problem, what: str, batch: int) -> Callable[[], Any]:
    """Our work on a batch, at the published architecture."""
    flow = build(problem)
    x, theta = torch.randn(batch, flow.data_dim), torch.rand(batch, flow.theta_dim)
    generator = torch.Generator().manual_seed(1)
    if what == "log_prob":
        return torch.no_grad()(lambda: flow.log_prob(x, theta))
    if what == "sampling":
        return torch.no_grad()(lambda: flow.sample(theta, generator))
    return training_step(flow, what, batch)


@pytest.mark.filterwarnings("ignore:torch.triangular_solve is deprecated")
@pytest.mark.parametrize("what", COUNTED)
@pytest.mark.parametrize("name", PROBLEMS)
def test_original(benchmark: Any, name: str, what: str) -> None:
    """What theirs and ours take, in turns."""
    problem = PROBLEMS[name]
    least = name == "d40" and what == "log_prob"
    batches = {
        "theirs": THEIR_LARGEST_JACOBIAN if least else THEIR_BATCH,
        "ours": scaled(OUR_BATCH[what], least=20),
    }
    works = {
        "theirs": theirs(problem, what, batches["theirs"]),
        "ours": ours(problem, what, batches["ours"]),
    }
    taken = turns(works, rounds=5, least=20.0)
    seconds = {who: COUNTED[what] * taken[who] / batches[who] for who in works}
    benchmark.extra_info["batches"] = batches
    benchmark.extra_info["seconds"] = seconds
    benchmark.extra_info["times_faster"] = seconds["theirs"] / seconds["ours"]
    benchmark.extra_info["target_times_faster"] = problem.targets[what]
    benchmark.extra_info["seconds_of_the_original_code"] = problem.seconds[what]
    benchmark.pedantic(works["ours"], rounds=2)
