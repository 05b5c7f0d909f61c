"""What things cost as they grow: dimensions, batches, events, chains.

::

    python benchmarks/cost_curves.py                     # results/cost_curves.json, docs/cost.png
    python benchmarks/cost_curves.py density step -o FILE.json --figure FILE.png

- ``density``: log p with its exact volume per event, against d and against n, by each of the
  two exact volume methods as well;
- ``step``: a training step of each phase against the batch size, published architecture;
- ``posterior``: a posterior by the grid and by chains, against the number of observed
  events; by chains also against their number. An untrained default model of the size of the
  polynomial surface, whose latent density was given a dependence on theta.

Every point is saved when it is measured: the same command goes on where one was stopped,
and ``--force`` begins anew. All of it takes about ten minutes on one core;
``LFI_MFLOW_BENCHMARK_SCALE=.05`` only checks that it runs.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from curve_figures import figure
from measuring import Results, median_seconds, scaled
from original import PHASES, PROBLEMS, build, training_step
from torch import Tensor

from lfi_mflow.flows import Dimensions, Flow, build_flow
from lfi_mflow.geometry import (
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)
from lfi_mflow.inference import (
    EventSetLikelihood,
    McmcSettings,
    grid_posterior,
    log_posterior,
    sample_posterior,
)
from lfi_mflow.simulation.priors import Prior, Uniform

HERE = Path(__file__).parent
BATCH = 500
DIMENSIONS = ((3, 2), (5, 2), (10, 2), (20, 2), (40, 2), (80, 2), (160, 2))
MANIFOLDS = ((40, 1), (40, 4), (40, 8), (40, 14), (40, 20), (40, 30), (40, 39))
BATCHES = {"d3": (1, 10, 100, 500, 1000, 2000, 5000, 10_000), "d40": (1, 10, 100, 500, 1000, 2000)}
EVENTS = {"grid": (1, 10, 100, 1_000, 10_000, 100_000), "chains": (1, 10, 100, 1_000)}
CHAINS = (16, 32, 64, 128, 256)
PRIOR = Prior((Uniform(-1.0, 1.0),))


def density(d: int, n: int) -> dict[str, float]:
    """Milliseconds per event of log p, and of the volume by each exact method."""
    flow, events = _flow(d, n), scaled(BATCH, least=10)
    generator = torch.Generator().manual_seed(0)
    u = torch.randn(events, n, generator=generator)
    theta = torch.zeros(events, 1)
    with torch.no_grad():
        x = flow.decode(u)
        inverse = flow.chart.bijection.inverse_and_log_det  # type: ignore[union-attr]
        works = {
            "log_prob": lambda: flow.log_prob(x, theta),
            "tangents": lambda: log_volume_by_tangents(flow.chart.decode, u),  # type: ignore[union-attr]
            "push": lambda: log_volume_by_push(flow.chart.bijection.push, u, d),  # type: ignore[union-attr]
            "minor": lambda: log_volume_by_minor(inverse, x, n),
        }
        return {name: 1e3 * median_seconds(work, rounds=3) / events for name, work in works.items()}


def step(problem: str, phase: str, batch: int) -> dict[str, float]:
    """Milliseconds of a training step, and microseconds per event."""
    work = training_step(build(PROBLEMS[problem]), phase, batch)
    seconds = median_seconds(work, rounds=5)
    return {"ms": 1e3 * seconds, "us_per_event": 1e6 * seconds / batch}


def posterior(method: str, events: int, chains: int) -> dict[str, float]:
    """Seconds from the events to the posterior."""
    flow = _flow(3, 2)
    generator = torch.Generator().manual_seed(1)
    x = flow.sample(torch.zeros(events, 1), generator).detach()
    quality: dict[str, float] = {}

    def run() -> None:
        likelihood = EventSetLikelihood(flow, x)
        target = log_posterior(likelihood, PRIOR)
        if method == "grid":
            previews = [log_posterior(part, PRIOR) for part in likelihood.previews()]
            grid = grid_posterior(target, PRIOR, previews=previews)
            quality["nodes"] = int(grid.axes.shape[-1])
            return
        settings = McmcSettings(chains=chains, draws=max(80, 5_000 // chains))
        draws = sample_posterior(
            target, PRIOR, generator=torch.Generator().manual_seed(2), settings=settings
        )
        quality["evaluations"] = int(draws.evaluations)
        quality["worst_r_hat"] = float(draws.convergence.r_hat.max())
        quality["smallest_ess"] = float(draws.convergence.ess.min())

    seconds = median_seconds(run, rounds=2)
    return {"seconds": seconds, **quality}


def _flow(d: int, n: int) -> Flow:
    """An M-flow of the default architecture whose latent density depends on theta."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        flow = build_flow("m-flow", Dimensions(d, n, 1), {"latent": {"centre": "linear"}}).eval()
    slope: Tensor | None = flow.latent.u_slope
    assert slope is not None
    slope.fill_(1.0)
    return flow.requires_grad_(False)


Point = Callable[[], dict[str, float]]


def points(kinds: list[str]) -> dict[str, Point]:
    """What is measured, by name: kind, the curve it belongs to, and where on it."""
    found: dict[str, Point] = {
        **{f"density/d/{d}": partial(density, d, n) for d, n in DIMENSIONS},
        **{f"density/n/{n}": partial(density, d, n) for d, n in MANIFOLDS},
    }
    for problem, batches in BATCHES.items():
        for phase, batch in itertools.product(PHASES, batches):
            found[f"step/{problem} {phase}/{batch}"] = partial(step, problem, phase, scaled(batch))
    for method, sizes in EVENTS.items():
        for events in sizes:
            found[f"posterior/{method}/{events}"] = partial(posterior, method, scaled(events), 32)
    for chains in CHAINS:
        found[f"chains/chains/{chains}"] = partial(posterior, "chains", 10, chains)
    return {name: work for name, work in found.items() if name.split("/")[0] in kinds}


KINDS = ("density", "step", "posterior", "chains")


def curves(rows: Mapping[str, Any]) -> dict[str, dict[str, list[tuple[float, dict[str, float]]]]]:
    """Rows by kind and curve, in the order of where they lie on it."""
    found: dict[str, dict[str, list[tuple[float, dict[str, float]]]]] = {}
    for name, values in rows.items():
        kind, curve, where = name.split("/")
        found.setdefault(kind, {}).setdefault(curve, []).append((float(where), values))
    for kind in found.values():
        for curve in kind.values():
            curve.sort(key=lambda pair: pair[0])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("kinds", nargs="*", help=", ".join(KINDS))
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "cost_curves.json")
    parser.add_argument("--figure", type=Path, default=HERE.parent / "docs" / "cost.png")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"expected {', '.join(KINDS)}, found {', '.join(unknown)}")
    results = Results(options.output, force=options.force)
    for name, work in points(options.kinds or list(KINDS)).items():
        results.measure(name, work)
    options.figure.write_bytes(figure(curves(results.rows)))


if __name__ == "__main__":
    main()
