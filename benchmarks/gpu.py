"""What training and densities cost on a GPU, and how near they come to its limits.

::

    python benchmarks/gpu.py                         # results/gpu.json
    python benchmarks/gpu.py --compiled              # and with compiled losses: minutes each
    LFI_MFLOW_BENCHMARK_SCALE=.002 python benchmarks/gpu.py --device cpu -o FILE.json
                                                     # only checks that it runs

All at d = 40, n = 14 and the published architecture. In this order, each a row of its own, so that
a run that is cut off keeps what it has, and goes on there:

- ``ceilings``: products of large square matrices in single precision, in TF32 and in bfloat16,
  and the triad ``a = b + s c`` on arrays that no cache holds;
- ``precision``: errors of log p with its exact volume against double precision, with products
  in single precision and in TF32: what a faster product would cost;
- ``step/PHASE/BATCH``: training steps as they are. Operations and bytes are counted
  (:mod:`counting`); ``ratio_to_limit`` is the time that the operations take at the rate of large
  products, or the bytes at the bandwidth of the memory, whichever is longer, divided by the
  time that it took. Target: 0.5;
- ``epoch/PHASE``: an epoch of a million events by the training loop, in the batch that took least
  per event. Target: 20 s;
- ``log_prob`` and ``sampling``;
- ``tf32/PHASE/BATCH``: the step with ``precision = "tf32"``, in the best batch;
- ``compiled/PHASE/BATCH`` and ``graphs/PHASE/BATCH``, if asked for: the step with a compiled loss,
  without and with CUDA graphs, in the best batch, and what the first one takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from counting import count
from measuring import Results, median_seconds, scaled
from original import EPOCH, PHASES, PROBLEMS, Compiler, build, epoch_seconds, training_step

from lfi_mflow.training.precision import rounded_products

HERE = Path(__file__).parent
PROBLEM = PROBLEMS["d40"]
BATCHES = (4_000, 16_000, 64_000)
MILLION = 1_000_000
STEPS = scaled(10, least=2)
COMPILERS: Mapping[str, Compiler] = {
    "compiled": torch.compile,
    "graphs": partial(torch.compile, mode="reduce-overhead"),
}


class Accelerator:
    """A device that computes while the caller goes on.

    Arguments:
        name: Its name for torch.
    """

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        self._asynchronous = self.device.type == "cuda"

    def seconds(self, work: Callable[[], Any], *, times: int = 1, rounds: int = 5) -> float:
        """Median time of a work that is done so many times before it is waited for."""

        def all_of_it() -> None:
            for _ in range(times):
                work()
            self.wait()

        return median_seconds(all_of_it, rounds=rounds) / times

    def wait(self) -> None:
        """Wait until all is computed."""
        if self._asynchronous:
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        """Begin to watch the memory."""
        if self._asynchronous:
            torch.cuda.reset_peak_memory_stats(self.device)

    @property
    def peak_bytes(self) -> int | None:
        """Most memory that tensors have taken since; None where torch does not count it."""
        return torch.cuda.max_memory_allocated(self.device) if self._asynchronous else None

    @property
    def description(self) -> str:
        """What the device calls itself."""
        return torch.cuda.get_device_name(self.device) if self._asynchronous else "CPU"


def ceilings(accelerator: Accelerator) -> dict[str, Any]:
    """Operations per second of large products by precision, and bytes per second."""
    size = scaled(8192, least=256)
    a, b = (torch.randn(size, size, device=accelerator.device) for _ in range(2))
    products = {}
    for name, precision, dtype in (
        ("single", "highest", torch.float32),
        ("tf32", "high", torch.float32),
        ("bfloat16", "highest", torch.bfloat16),
    ):
        torch.set_float32_matmul_precision(precision)
        seconds = accelerator.seconds(partial(torch.mm, a.to(dtype), b.to(dtype)), times=STEPS)
        products[name] = 2 * size**3 / seconds
    torch.set_float32_matmul_precision("highest")
    elements = scaled(2**28, least=2**20)
    x, y, z = (torch.ones(elements, device=accelerator.device) for _ in range(3))
    seconds = accelerator.seconds(partial(torch.add, y, z, alpha=2.0, out=x), times=STEPS)
    return {
        "device": accelerator.description,
        "product_flops_per_second": products,
        "memory_bytes_per_second": 3 * 4 * elements / seconds,
    }


def precision(accelerator: Accelerator) -> dict[str, Any]:
    """Errors of log p against double precision: root mean square, and largest."""
    flow = build(PROBLEM)
    with torch.no_grad():  # as it begins every layer is the identity, and nothing rounds
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    x = torch.randn(scaled(1_000, least=20), flow.data_dim)
    theta = torch.rand(len(x), flow.theta_dim)
    inputs = [values.to(accelerator.device) for values in (x, theta)]
    with torch.no_grad():
        exact = flow.double().to(accelerator.device).log_prob(*(v.double() for v in inputs))
        flow.float()
        errors = {}
        for name, setting in (("single", "highest"), ("tf32", "high")):
            torch.set_float32_matmul_precision(setting)
            error = flow.log_prob(*inputs).double() - exact
            errors[name] = {
                "root_mean_square": error.square().mean().sqrt().item(),
                "largest": error.abs().max().item(),
            }
    torch.set_float32_matmul_precision("highest")
    return {"events": len(x), "spread_of_log_p": exact.std().item(), "errors": errors}


def step(
    accelerator: Accelerator, phase: str, batch: int, limits: Mapping[str, Any]
) -> dict[str, Any]:
    """A training step: its time, and what the limits of the device would allow."""
    work = training_step(build(PROBLEM).to(accelerator.device), phase, batch)
    counted = count(work)
    accelerator.forget_peak()
    seconds = accelerator.seconds(work, times=STEPS)
    by_operations = counted.flops / limits["product_flops_per_second"]["single"]
    by_bytes = counted.bytes / limits["memory_bytes_per_second"]
    return {
        **rates(seconds, batch),
        "peak_bytes": accelerator.peak_bytes,
        "flops": counted.flops,
        "bytes": counted.bytes,
        "seconds_of_operations": by_operations,
        "seconds_of_bytes": by_bytes,
        "ratio_to_limit": max(by_operations, by_bytes) / seconds,
        "target_ratio": 0.5,
    }


def compiled_step(
    accelerator: Accelerator, phase: str, batch: int, compiler: Compiler
) -> dict[str, Any]:
    """A training step with a compiled loss, and what the first one takes."""
    torch.compiler.reset()
    flow = build(PROBLEM).to(accelerator.device)
    work = training_step(flow, phase, batch, compiler=compiler)
    start = time.perf_counter()
    work()
    accelerator.wait()
    first = time.perf_counter() - start
    seconds = accelerator.seconds(work, times=STEPS)
    return {**rates(seconds, batch), "seconds_of_the_first_step": first}


def tf32_step(accelerator: Accelerator, phase: str, batch: int) -> dict[str, Any]:
    """A training step whose products are rounded."""
    work = training_step(build(PROBLEM).to(accelerator.device), phase, batch)
    with rounded_products("tf32", accelerator.device):
        return rates(accelerator.seconds(work, times=STEPS), batch)


def rates(seconds: float, batch: int) -> dict[str, float]:
    """What a step means for an epoch."""
    return {
        "events": batch,
        "seconds": seconds,
        "seconds_of_a_million_events": seconds * MILLION / batch,
    }


def epoch(accelerator: Accelerator, phase: str, batch: int) -> dict[str, Any]:
    """An epoch of a million events by the training loop, the second of two."""
    steps = max(1, scaled(MILLION, least=4 * batch) // batch)
    seconds = epoch_seconds(PROBLEM, phase, batch, steps, device=str(accelerator.device))
    return {
        "batch": batch,
        "events_trained_on": batch * steps,
        "seconds_of_a_million_events": seconds * MILLION / EPOCH,
        "target_seconds": 20.0,
    }


def evaluation(accelerator: Accelerator, what: str, events: int) -> dict[str, Any]:
    """Log p with its exact volume, or samples."""
    flow = build(PROBLEM).to(accelerator.device).eval()
    x = torch.randn(events, flow.data_dim, device=accelerator.device)
    theta = torch.rand(events, flow.theta_dim, device=accelerator.device)
    generator = torch.Generator(accelerator.device).manual_seed(1)
    works: dict[str, Callable[[], Any]] = {
        "log_prob": lambda: flow.log_prob(x, theta),
        "sampling": lambda: flow.sample(theta, generator),
    }
    accelerator.forget_peak()
    with torch.no_grad():
        seconds = accelerator.seconds(works[what])
    return {"events": events, "seconds": seconds, "peak_bytes": accelerator.peak_bytes}


def measure(results: Results, accelerator: Accelerator, compilers: Mapping[str, Compiler]) -> None:
    """Measure what is not there yet."""
    limits = results.measure("ceilings", partial(ceilings, accelerator))
    results.measure("precision", partial(precision, accelerator))
    best = {}
    for phase in PHASES:
        taken = {}
        for batch in (scaled(size, least=20) for size in BATCHES):
            row = results.measure(
                f"step/{phase}/{batch}", partial(step, accelerator, phase, batch, limits)
            )
            taken[batch] = row["seconds_of_a_million_events"]
        best[phase] = min(taken, key=taken.__getitem__)
        results.measure(f"epoch/{phase}", partial(epoch, accelerator, phase, best[phase]))
    for what in ("log_prob", "sampling"):
        events = scaled(10_000, least=20)
        results.measure(what, partial(evaluation, accelerator, what, events))
    if accelerator.device.type == "cuda":  # no other has it
        for phase, batch in best.items():
            results.measure(f"tf32/{phase}/{batch}", partial(tf32_step, accelerator, phase, batch))
    for name, compiler in compilers.items():
        for phase, batch in best.items():
            results.measure(
                f"{name}/{phase}/{batch}",
                partial(compiled_step, accelerator, phase, batch, compiler),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "gpu.json")
    parser.add_argument("--device", default="cuda", help="device of torch (default: cuda)")
    parser.add_argument("--compiled", action="store_true", help="with compiled losses, too")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("expected a GPU, found none; --device cpu checks that the benchmark runs")
    results = Results(options.output, force=options.force)
    measure(results, Accelerator(options.device), COMPILERS if options.compiled else {})


if __name__ == "__main__":
    main()
