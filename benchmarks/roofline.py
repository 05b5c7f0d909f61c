"""How near training and densities come to what the machine can do.

::

    python benchmarks/roofline.py                       # results/roofline.json, docs/roofline.png
    python benchmarks/roofline.py -o FILE.json --figure FILE.png --force

For a training step of each phase and for log p with its exact volume, at the published
architecture and 1,000 events: operations and bytes are counted (:mod:`counting`), the time
is measured, and the same matrix products are measured alone, one shape after the other. The
ceilings of the machine are measured beside it:

- a product of square matrices, and those of the shapes at hand;
- the triad ``a = b + s c`` of STREAM, once on arrays that no cache holds, once on arrays of
  the size of what a layer makes of 1,000 events.

Bounds of the time follow, and which part of it each explains:

- ``roofline``, the classical one: all operations at the rate of large products, or all bytes
  at the bandwidth of the cache, whichever takes longer;
- ``eager``: the products as measured alone, plus the bytes of everything else at the bandwidth
  of the cache: what one operation after the other costs at best;
- ``fused``: the products as measured alone, as if all else were free;
- ``calls``: the same work on a single event, which is what calling the operations costs.

Rows that are there are not measured again; ``--force`` begins anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from counting import Count, count
from matplotlib.figure import Figure
from measuring import Results, median_seconds, scaled
from original import PROBLEMS, build, training_step

from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, caption, new_figure, png, tidy

HERE = Path(__file__).parent
BATCH = 1_000
WORKS = {"manifold": "manifold step", "density": "density step", "log_prob": "log p with volume"}
COLOURS = {"d3": MODEL, "d40": EXACT}
MARKERS = {"manifold": "o", "density": "s", "log_prob": "^"}


def work_of(problem: str, what: str, events: int) -> Callable[[], Any]:
    """A training step of a phase on so many events, or their log-density."""
    flow = build(PROBLEMS[problem])
    if what != "log_prob":
        return training_step(flow, what, events)
    x = torch.randn(events, flow.data_dim)
    theta = torch.rand(events, flow.theta_dim)
    return torch.no_grad()(lambda: flow.log_prob(x, theta))


def product_seconds(counted: Count) -> float:
    """Time of all counted matrix products, each shape measured alone."""
    total = 0.0
    for (first, second), times in counted.matmuls.items():
        a, b = torch.randn(first), torch.randn(second)
        total += times * median_seconds(lambda a=a, b=b: a @ b, rounds=10)
    return total


def peak() -> dict[str, float]:
    """Operations per second of large products, and bytes per second of two triads."""
    size = scaled(2048, least=256)
    a, b = torch.randn(size, size), torch.randn(size, size)
    seconds = median_seconds(lambda: a @ b, rounds=10, least=1.0)
    found = {"product_flops_per_second": 2 * size**3 / seconds}
    # 128 MiB each, beyond any cache; 2 MiB each: with less the call itself takes most of the time
    for name, elements in (("memory", scaled(2**25, least=2**20)), ("cache", 2**19)):
        x, y, z = (torch.ones(elements) for _ in range(3))
        seconds = median_seconds(
            lambda x=x, y=y, z=z: torch.add(y, z, alpha=2.0, out=x), rounds=20, least=1.0
        )
        found[f"{name}_bytes_per_second"] = 3 * 4 * elements / seconds
    return found


def row(problem: str, what: str, ceilings: Mapping[str, float]) -> dict[str, float]:
    """Count and measure one kind of work, and compare it with the ceilings."""
    events = scaled(BATCH, least=20)
    work, alone = work_of(problem, what, events), work_of(problem, what, 1)
    work()
    counted = count(work)
    products = product_seconds(counted)
    seconds = median_seconds(work, rounds=10, least=2.0)
    calls = median_seconds(alone, rounds=10)
    return {
        "events": events,
        "seconds": seconds,
        "matmul_flops_per_event": counted.matmul_flops / events,
        "elementwise_flops_per_event": counted.elementwise_flops / events,
        "matmul_bytes_per_event": counted.matmul_bytes / events,
        "elementwise_bytes_per_event": counted.elementwise_bytes / events,
        "operations_called": sum(counted.calls.values()),
        "product_seconds": products,
        "product_flops_per_second": counted.matmul_flops / products,
        "calls_bound_seconds": calls,
        "ratio_to_calls": calls / seconds,
        **bounds(counted, products, seconds, ceilings),
    }


def bounds(
    counted: Count, products: float, seconds: float, ceilings: Mapping[str, float]
) -> dict[str, float]:
    """Intensity, rate reached, lower bounds of the time and which part of it they explain."""
    bandwidth = ceilings["cache_bytes_per_second"]
    by_name = {
        "roofline": max(
            counted.flops / ceilings["product_flops_per_second"], counted.bytes / bandwidth
        ),
        "eager": products + counted.elementwise_bytes / bandwidth,
        "fused": products,
    }
    return {
        "flops_per_byte": counted.flops / counted.bytes,
        "flops_per_second": counted.flops / seconds,
        "bytes_per_second": counted.bytes / seconds,
        **{f"{name}_bound_seconds": bound for name, bound in by_name.items()},
        **{f"ratio_to_{name}": bound / seconds for name, bound in by_name.items()},
    }


def figure(table: Mapping[str, Any]) -> Figure:
    """Rate against intensity, below the roofs of the machine."""
    rows, ceilings = dict(table["rows"]), table["rows"]["ceilings"]
    rows.pop("ceilings")
    drawn = new_figure(8.6, 3.8)
    axes = drawn.add_subplot()
    top = ceilings["product_flops_per_second"]
    intensities = [0.05, 1e3]
    for name, line in (("cache", "-"), ("memory", "--")):
        slope = ceilings[f"{name}_bytes_per_second"]
        knee = top / slope
        axes.plot(
            [intensities[0], knee, intensities[1]],
            [slope * intensities[0] / 1e9, top / 1e9, top / 1e9],
            color=INK if name == "cache" else MUTED,
            ls=line,
            lw=1.4,
            label=f"bandwidth of the {name}, {slope / 1e9:.0f} GB/s",
        )
    for key, values in rows.items():
        problem, what = key.split("/")
        d, n = PROBLEMS[problem].dimensions.data, PROBLEMS[problem].dimensions.latent
        axes.plot(
            values["flops_per_byte"],
            values["flops_per_second"] / 1e9,
            MARKERS[what],
            color=COLOURS[problem],
            ms=7,
            label=f"{WORKS[what]}, d = {d}, n = {n}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    tidy(axes, "operations per byte", "billion operations per second")
    caption(axes, f"Published architecture, {values['events']:,} events")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return drawn


def measure(results: Results) -> None:
    """Measure what is not there yet."""
    ceilings = results.measure("ceilings", peak)
    for problem in PROBLEMS:
        for what in WORKS:
            results.measure(f"{problem}/{what}", lambda p=problem, w=what: row(p, w, ceilings))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "roofline.json")
    parser.add_argument("--figure", type=Path, default=HERE.parent / "docs" / "roofline.png")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    results = Results(options.output, force=options.force)
    measure(results)
    options.figure.write_bytes(png(figure(results.table), dpi=130))


if __name__ == "__main__":
    main()
