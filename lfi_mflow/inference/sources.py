"""Where the events of toys and Asimov data sets come from: the surrogate or its simulator.

Toys of the surrogate calibrate a test as if the surrogate were right. Toys of the
simulator make it right whatever the surrogate is, and cost simulations.
"""

from __future__ import annotations

import numpy as np
import torch

from lfi_mflow.flows.flow import Flow
from lfi_mflow.inference.experiment import EventSource
from lfi_mflow.simulation import Array, Simulator

__all__ = ["simulated_events", "surrogate_events"]

_BATCH = 8192


def surrogate_events(flow: Flow) -> EventSource:
    """Return the source of events of a flow; they have no weights."""
    like = next(flow.parameters())

    def draw(theta: Array, seed: int) -> tuple[Array, None]:
        generator = torch.Generator(device=like.device).manual_seed(seed)
        rows = torch.as_tensor(theta).to(like).split(_BATCH)
        with torch.no_grad():
            x = torch.cat([flow.sample(block, generator) for block in rows])
        return x.cpu().double().numpy(), None

    return draw


def simulated_events(simulator: Simulator) -> EventSource:
    """Return the source of events of a simulator, with weights if its events have some."""

    def draw(theta: Array, seed: int) -> tuple[Array, Array | None]:
        events = simulator.simulate(theta, np.random.default_rng(seed))
        weight = None if events.weight is None else np.asarray(events.weight, dtype=float)
        return np.asarray(events.x, dtype=float), weight

    return draw
