"""What becomes of a training in larger batches, and which learning rate goes with them?

::

    python benchmarks/batches.py             # results/batches.json, an hour on one thread
    python benchmarks/batches.py --force     # forget what is there

The default M-flow is trained on 100,000 events of the polynomial surface in batches of 500, its
default, and of 4,000 and 16,000, with learning rates that stay, or grow with the batch or its
square root, which is what theory asks of AdamW. Epochs stay, so that steps become fewer; in
``same steps`` they do not. Rows are kept one by one; a run that is stopped goes on.

References:
    | On the SDEs and Scaling Rules for Adaptive Gradient Algorithms (Malladi et al., 2022)
    | https://arxiv.org/abs/2205.10287
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Results, scaled

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.data.production import produce
from lfi_mflow.errors import TrainingError
from lfi_mflow.simulation.priors import default_prior
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob
from lfi_mflow.training import RunConfig, train_model

HERE = Path(__file__).parent
SIMULATOR, EVENTS = "polynomial-surface", 100_000
DEFAULT = 500
POWERS = {"the same": 0.0, "square root": 0.5, "linear": 1.0}
SEEDS = (1, 2)
TEST_EVENTS = 2_000


def training(path: Path, batch: int, power: float, longer: int, seed: int) -> dict[str, Any]:
    """How good chart and density are, or what became of the training.

    Losses of the density phase belong to the latents of their chart, and cannot be compared.
    What can is the density: log p of the simulator minus that of the model, on average.
    """
    base = RunConfig(seed=seed)
    factor = batch / DEFAULT
    phases = tuple(
        dataclasses.replace(
            phase,
            batch_size=scaled(batch, least=10),
            learning_rate=phase.learning_rate * factor**power,
            epochs=scaled(phase.epochs * longer),
        )
        for phase in base.schedule
    )
    try:
        model = train_model(path, dataclasses.replace(base, algorithm=None, phases=phases))
    except TrainingError as error:
        return {"failed": str(error)}
    chart = model.metadata.history["phases"][0]["epochs"]
    simulator = get_simulator(SIMULATOR)
    theta = default_prior(simulator.parameters).sample(TEST_EVENTS, np.random.default_rng(seed))
    x = simulator.simulate(theta, np.random.default_rng(seed)).x
    missing = simulator.log_prob(x, theta) - FlowEvaluator(model.flow).log_prob(x, theta)
    return {
        "epochs": [phase.epochs for phase in phases],
        "reconstruction_loss": min(epoch["validation"] for epoch in chart),
        "log_p_missing": float(missing.mean()),
    }


def trainings() -> Mapping[str, tuple[int, float, int]]:
    """Batch, power of the learning rate and factor of the epochs, by name."""
    found = {f"{DEFAULT}": (DEFAULT, 0.0, 1)}
    for batch in (4_000, 16_000):
        for name, power in POWERS.items():
            found[f"{batch}/{name}"] = (batch, power, 1)
    return found | {"4000/the same/same steps": (4_000, 0.0, 4_000 // DEFAULT)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "results" / "batches.json")
    parser.add_argument("--force", action="store_true", help="forget earlier results")
    options = parser.parse_args()
    torch.set_num_threads(1)  # results of one seed are those of one machine and its threads
    results = Results(options.output, force=options.force)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.h5"
        prior = default_prior(get_simulator(SIMULATOR).parameters)
        events = scaled(EVENTS, least=1_000)
        produce(SimulationJob(SIMULATOR, {}, events, seed=5, prior=prior), path)
        for seed in SEEDS:
            for name, (batch, power, longer) in trainings().items():
                work = partial(training, path, batch, power, longer, seed)
                results.measure(f"{name}/seed {seed}", work)


if __name__ == "__main__":
    main()
