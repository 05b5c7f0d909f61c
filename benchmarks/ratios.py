"""How well ratio estimators learn the polynomial surface.

::

    python benchmarks/ratios.py                          # 100,000 events, 20 epochs
    python benchmarks/ratios.py --events 20000 --epochs 10 nre-c alices

Of 5,000 test events, theta from the prior, the ratio p(x | theta) / p(x | 0) of the
estimator is compared with the exact one: correlation, and root-mean-square difference in
nats. Then posteriors of 20 sets of 20 events: the mean share of their probability that
is elsewhere in the exact posterior. Joint ratios refer to theta = -1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.flows import PRESETS, RatioEstimator
from lfi_mflow.inference import (
    RatioLikelihood,
    SimulatorLikelihood,
    grid_posterior,
    log_posterior,
)
from lfi_mflow.simulation import Prior, Uniform
from lfi_mflow.training import RunConfig, train_model
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

TEST, SETS, EVENTS = 5_000, 20, 20
PRIOR = Prior((Uniform(-1.0, 1.0),))


def simulate(simulator, n, folder):
    """Write training events to a file and return its path."""
    rng = np.random.default_rng(1)
    metadata = EventMetadata(simulator.parameters, simulator.observables, manifold_dim=2)
    path = Path(folder) / "events.h5"
    write_events(path, metadata, [simulator.simulate(PRIOR.sample(n, rng), rng)], force=False)
    return path


def log_ratios(flow: RatioEstimator, simulator):
    """Log-ratios of test events to theta = 0 by the estimator, and exact."""
    rng = np.random.default_rng(2)
    theta = PRIOR.sample(TEST, rng)
    x, zero = simulator.simulate(theta, rng).x, np.zeros_like(theta)
    with torch.no_grad():
        above, below = (
            flow.log_ratio(torch.from_numpy(x).float(), torch.from_numpy(values).float()).numpy()
            for values in (theta, zero)
        )
    return above - below, simulator.log_prob(x, theta) - simulator.log_prob(x, zero)


def elsewhere(flow: RatioEstimator, simulator):
    """Mean total variation distance of posteriors."""
    rng = np.random.default_rng(3)
    theta = np.repeat(PRIOR.sample(SETS, rng), EVENTS, axis=0)
    x = simulator.simulate(theta, rng).x.reshape(SETS, EVENTS, 3)
    points = torch.linspace(-1, 1, 801, dtype=torch.float64).expand(SETS, -1)[..., None]
    densities = []
    for likelihood in (
        RatioLikelihood(flow, torch.from_numpy(x).float()),
        SimulatorLikelihood(simulator, x),
    ):
        grid = grid_posterior(log_posterior(likelihood, PRIOR), PRIOR, data_sets=SETS)
        densities.append(grid.log_prob(points).softmax(dim=-1))
    return 0.5 * (densities[0] - densities[1]).abs().sum(dim=-1).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=20)
    known = [name for name, preset in PRESETS.items() if preset.reference == "ratio"]
    parser.add_argument("models", nargs="*", default=known)
    options = parser.parse_args()
    simulator = PolynomialSurface(reference=-1.0)
    print("| model | correlation | rms difference | posterior elsewhere | CPU seconds |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = simulate(simulator, options.events, folder)
        for name in options.models:
            start = time.process_time()
            config = RunConfig(model=name, seed=1).with_epochs(options.epochs)
            flow = train_model(path, config).flow
            seconds = time.process_time() - start
            found, exact = log_ratios(flow, simulator)
            correlation = np.corrcoef(found, exact)[0, 1]
            rms = np.sqrt(np.mean((found - exact) ** 2))
            moved = elsewhere(flow, simulator)
            row = f"| `{name}` | {correlation:.4f} | {rms:.3f} | {moved:.3f} | {seconds:.0f} |"
            print(row, flush=True)


if __name__ == "__main__":
    main()
