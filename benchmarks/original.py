"""What the original M-flow code costs, and its architecture in ours.

The seconds were measured with the code of Brehmer and Cranmer 2020 on two cores of a quiet
machine (torch 2.13; one thread was about as fast as two), at the batch sizes it was
published with or the largest that fit in memory. The architectures are those of its
published runs: 5 layers for the chart and 5 for the latent density of the surface, 20 and 15
for the 40 observables; conditioners of two residual blocks of 100 units, 10 and 11 bins.

Ours differ in two points. A layer of our latent density moves all n coordinates, each given
those before (autoregressive), theirs one half given the other (architecture "couplings"); and our
conditioners there have two hidden layers of 100 units, theirs two residual blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lfi_mflow.flows import Dimensions, Flow, build_flow
from lfi_mflow.training import OBJECTIVES, Batch, Phase, ResidentEvents, fit

__all__ = [
    "ARCHITECTURES",
    "EPOCH",
    "PHASES",
    "PROBLEMS",
    "Problem",
    "build",
    "epoch_seconds",
    "note_ratio",
    "training_step",
]

EPOCH = 100_000
"""Events of an epoch of the original's figures."""

PHASES = {"manifold": "reconstruction", "density": "latent-likelihood"}
"""The two phases of training and what they minimise."""

_CLIP = 1.0

Loss = Callable[[Batch], Tensor]
Compiler = Callable[[Loss], Loss]


@dataclass(frozen=True)
class Problem:
    """A size at which the original code was measured.

    Arguments:
        dimensions: d, n and p.
        settings: The published architecture.
        seconds: What the original code takes, by what is done: ``manifold`` and ``density``
            an epoch of 100,000 events, ``log_prob`` one event, ``sampling`` 10,000 events,
            ``step`` one step of one Markov chain, ``posterior`` a posterior or chain.
        targets: How many times faster we want to be.
        events: Observed events of its Markov chain.
    """

    dimensions: Dimensions
    settings: Mapping[str, Any]
    seconds: Mapping[str, float]
    targets: Mapping[str, float]
    events: int


PROBLEMS: Mapping[str, Problem] = {
    "d3": Problem(
        Dimensions(3, 2, 1),
        {
            "chart": {"layers": 5, "hidden": 100, "bins": 10, "bound": 6.0},
            "latent": {"transforms": 5, "hidden": 100, "bins": 10},
        },
        {
            "manifold": 106.0,
            "density": 80.0,
            "log_prob": 0.025,
            "sampling": 2.0,
            "step": 0.046,
            "posterior": 236.0,
        },
        {"manifold": 15.0, "density": 40.0, "log_prob": 200.0, "sampling": 10.0},
        events=10,
    ),
    "d40": Problem(
        Dimensions(40, 14, 2),
        {
            "chart": {"layers": 20, "hidden": 100, "bins": 11, "bound": 10.0},
            "latent": {"transforms": 15, "hidden": 100, "bins": 11},
        },
        {
            "manifold": 628.0,
            "density": 599.0,
            "log_prob": 1.13,
            "sampling": 14.1,
            "step": 0.227,
            "posterior": 681.0,
        },
        {"manifold": 8.0, "density": 30.0, "log_prob": 500.0, "sampling": 10.0},
        events=20,
    ),
}
"""The polynomial surface and the 40 observables of weak boson fusion."""

ARCHITECTURES = ("published", "default")


def build(problem: Problem, architecture: str = "published") -> Flow:
    """Build an M-flow of a problem's size: its published architecture or our default.

    ``"couplings"`` is the published one with coupling layers in the latent density, too.
    """
    settings = {} if architecture == "default" else dict(problem.settings)
    if architecture == "couplings":
        settings["latent"] = {**settings["latent"], "kind": "coupling"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_flow("m-flow", problem.dimensions, settings)


def training_step(
    flow: Flow, phase: str, events: int, *, compiler: Compiler | None = None
) -> Callable[[], None]:
    """A function that takes one step of a phase on so many events, as the training does.

    Arguments:
        flow: The flow, on the device of the step.
        phase: A key of ``PHASES``.
        events: Events in the batch.
        compiler: What makes the mean loss faster, if anything does.
    """
    objective = OBJECTIVES[PHASES[phase]]()
    generator = torch.Generator().manual_seed(0)
    like = next(flow.parameters())
    x = torch.randn(events, flow.data_dim, generator=generator).to(like)
    theta = torch.rand(events, flow.theta_dim, generator=generator).to(like)
    with torch.no_grad():
        batch = Batch(objective.prepare(flow, x, theta), theta)
    part: nn.Module = flow.latent if objective.part == "latent" else flow.chart  # type: ignore[assignment]
    optimiser = torch.optim.AdamW(part.parameters(), lr=1e-4, fused=True)

    def mean_loss(batch: Batch) -> Tensor:
        return objective.loss(flow, batch, generator).mean()

    loss_of = mean_loss if compiler is None else compiler(mean_loss)

    def step() -> None:
        loss = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), _CLIP)
        optimiser.step()

    return step


def epoch_seconds(
    problem: Problem, phase: str, batch: int, steps: int, *, device: str = "cpu"
) -> float:
    """Seconds of an epoch of 100,000 training events by the training loop, from some steps.

    A tenth as many events as these steps take are for validation, which is part of it.
    """
    n_train = batch * steps
    n = n_train + n_train // 10
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, problem.dimensions.data, generator=generator)
    theta = torch.rand(n, problem.dimensions.theta, generator=generator)
    events = ResidentEvents(x.to(device), theta.to(device), validation_fraction=1 / 11, seed=1)
    what = Phase(phase, PHASES[phase], epochs=2, batch_size=batch, learning_rate=1e-4)
    history = fit(build(problem).to(device), [what], events, seed=1)
    return history.phases[0].epochs[-1].seconds * EPOCH / n_train


def note_ratio(benchmark: Any, problem: Problem, what: str, seconds: float) -> None:
    """Note in a benchmark how many times less it takes than the original code."""
    theirs = problem.seconds[what]
    benchmark.extra_info |= {"seconds": seconds, "original_seconds": theirs}
    benchmark.extra_info["times_faster"] = theirs / seconds
    if what in problem.targets:
        benchmark.extra_info["target_times_faster"] = problem.targets[what]
