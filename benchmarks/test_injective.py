"""What does a step of a free-form injective flow cost, beside one of a plain autoencoder?

Target of the project: 2.5 times as much, at the default architecture and batches of 500. The
density of the latents is no part of either: it costs the same in every model, and
more than both.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lfi_mflow.flows import Dimensions, Flow, build_flow
from lfi_mflow.training import Batch, FreeForm, NormalisedAutoencoder, Objective, Reconstruction

BATCH, STEPS = 500, 40
OBJECTIVES: dict[str, type[FreeForm] | type[NormalisedAutoencoder]] = {
    "free-form": FreeForm,
    "nae": NormalisedAutoencoder,
}


class _Normal(torch.nn.Module):
    """A standard normal density of the latents, which costs nothing."""

    def log_prob(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log-density up to a constant: (B, n) -> (B,)."""
        return -0.5 * u.square().sum(dim=-1)


def _stepper(flow: Flow, objective: Objective, x: Tensor) -> Callable[[], None]:
    """A function that takes one step of training."""
    theta, generator = torch.zeros(len(x), 1), torch.Generator().manual_seed(0)
    batch = Batch(objective.prepare(flow, x, theta).detach(), theta)
    assert flow.chart is not None
    optimiser = torch.optim.AdamW(flow.chart.parameters(), fused=True)

    def step() -> None:
        loss = objective.loss(flow, batch, generator).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("d", "n"), [(3, 2), (40, 14)])
def test_step(benchmark: Any, name: str, d: int, n: int) -> None:
    """Steps of both kinds take turns, and the processor time of each is counted."""
    flow = build_flow("fif", Dimensions(d, n, 1), {})
    flow.latent = _Normal()  # type: ignore[assignment]
    x = torch.randn(BATCH, d)
    both = [_stepper(flow, kind(), x) for kind in (Reconstruction, OBJECTIVES[name])]
    seconds: list[list[float]] = [[], []]
    for _ in range(STEPS):
        for step, taken in zip(both, seconds, strict=True):
            start = time.process_time()
            step()
            taken.append(time.process_time() - start)
    plain, free = (float(np.median(taken)) for taken in seconds)
    benchmark.pedantic(both[1], rounds=7)
    benchmark.extra_info["ms_of_autoencoder"] = 1e3 * plain
    benchmark.extra_info["ratio_of_processor_time"] = free / plain
    benchmark.extra_info["target_ratio"] = 2.5
