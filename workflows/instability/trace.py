"""Train a row of the study once more, and look at the manifold after every epoch.

::

    python trace.py events-1.h5 --config simultaneous.toml --seed 1 -o trace.json

The trace is ``{"epochs": [{"phase", "loss", "reconstruction_error", "log_likelihood"}],
"curve": [[x, y], ...], "diverged": message or None}``: losses and the mean
reconstruction error and log-likelihood of validation events by epoch, and the manifold
at the end. The first entry is the start, at which there is no density yet.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lfi_mflow.data import EventFile
from lfi_mflow.errors import TrainingError
from lfi_mflow.flows import Dimensions, Flow, build_flow
from lfi_mflow.training import Progress, ResidentEvents, RunConfig, fit, read_run_config

EVENTS = 2_000
"""Events that the manifold is looked at with."""


def look(flow: Flow, x: Tensor) -> dict[str, float]:
    """Mean reconstruction error and log-likelihood of events."""
    with torch.no_grad():
        return {
            "reconstruction_error": flow.reconstruction_error(x).mean().item(),
            "log_likelihood": flow.log_prob(x, x.new_zeros(len(x), 0)).mean().item(),
        }


def trace(path: Path, config: RunConfig) -> dict[str, Any]:
    """Train and look."""
    with EventFile(path) as file:
        events = ResidentEvents.read(
            file,
            dtype=torch.float32,
            device=torch.device("cpu"),
            validation_fraction=config.validation_fraction,
            seed=config.seed,
        )
    torch.manual_seed(config.seed)
    flow = build_flow(config.model, Dimensions(data=2, latent=1, theta=0), config.settings)
    x = torch.cat([batch.prepared for batch in events.validation_events()])[:EVENTS]
    # as fit does: the chart then starts as the plane of the first principal axis
    flow.standardisation.fit(*events.moments(), ["", ""])
    with torch.no_grad():
        start = flow.reconstruction_error(x).mean().item()
    epochs: list[dict[str, Any]] = [
        {"phase": None, "loss": None, "reconstruction_error": start, "log_likelihood": None}
    ]

    def report(progress: Progress) -> None:
        if progress.epoch_ended:
            flow.eval()
            seen = {"phase": progress.phase, "loss": progress.validation}
            epochs.append(seen | look(flow, x))

    diverged = None
    try:
        fit(flow, config.schedule, events, seed=config.seed, progress=report)
    except TrainingError as error:
        diverged = str(error)
    with torch.no_grad():
        u = flow.encode(x).sort(dim=0).values
        curve = flow.decode(u)[torch.isfinite(u).all(dim=1)]
    return {"epochs": epochs, "curve": curve.tolist(), "diverged": diverged}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("events", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = read_run_config(options.config)
    if options.epochs is not None:
        config = config.with_epochs(options.epochs)
    config = dataclasses.replace(config, seed=options.seed)
    options.output.write_text(json.dumps(trace(options.events, config)) + "\n")


if __name__ == "__main__":
    main()
