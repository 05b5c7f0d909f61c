"""Measure one trained model of images on those that were held out.

::

    python measure.py fif/training-1.json held-out-1.h5 fif/closure-1.json --seed 1

The report has the form of a closure report with the record of the training, and these metrics:

- ``pixel_rmse``: root of the mean squared difference between images and their reconstructions,
  per pixel, where the range of grey levels is 1;
- ``plane_rmse``: the same for the plane of as many principal axes of the training images;
- ``test_log_prob``: mean log-density of the reconstructions, per volume of the *learned*
  manifold; two models have two manifolds, and their values cannot be compared;
- ``latent_mismatch``: root of the mean squared difference between latents u of generated images
  and e(g(u)), in units of their spread; the density is one as far as this is zero;
- ``sample_mmd2``: squared maximum mean discrepancy between as many generated images as were
  held out, and these; needs no density;
- ``training_seconds``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lfi_mflow.closure import posterior_mmd2
from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.data import open_events
from lfi_mflow.files import atomic_output
from lfi_mflow.flows import load_model

Array = NDArray[np.float64]


def measure(model: Path, x: Array, seed: int) -> dict[str, float]:
    """Measure a model on held-out images (N, d)."""
    evaluator = FlowEvaluator(load_model(model).flow)
    nothing = np.empty((len(x), 0))
    generated, mismatch = generate(evaluator, len(x), seed)
    return {
        "pixel_rmse": _rms(x - evaluator.project(x, nothing)),
        "plane_rmse": _rms(x - _plane(evaluator, x)),
        "test_log_prob": float(evaluator.log_prob(x, nothing).mean()),
        "latent_mismatch": _rms(mismatch),
        "sample_mmd2": posterior_mmd2(generated, x),
    }


@torch.no_grad()
def generate(evaluator: FlowEvaluator, count: int, seed: int) -> tuple[Array, Array]:
    """Generated images g(u), (N, d), and (e(g(u)) - u) by the spread of u, (N, n)."""
    flow = evaluator.flow
    theta = evaluator.tensor(np.empty((count, 0)))
    u = flow.sample_latent(theta, torch.Generator().manual_seed(seed))
    x = flow.decode(u)
    mismatch = (flow.encode(x) - u) / u.std(dim=0)
    return x.double().numpy(), mismatch.double().numpy()


@torch.no_grad()
def _plane(evaluator: FlowEvaluator, x: Array) -> Array:
    """Project images on the plane of the first n principal axes."""
    flow = evaluator.flow
    z = flow.standardisation.inverse(evaluator.tensor(x))
    z[:, flow.latent_dim :] = 0
    return flow.standardisation(z).double().numpy()


def _rms(values: Array) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.square(values).mean()))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("events", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    record: dict[str, Any] = json.loads(options.training.read_text())
    metrics: dict[str, float] = {}
    if record["model"] is not None:
        with open_events(options.events) as file:
            x = np.asarray(file.read().x, dtype=float)
        metrics = measure(options.training.with_name(record["model"]), x, options.seed)
        metrics["training_seconds"] = record["seconds"]
    report = {"metrics": {name: {"value": value} for name, value in metrics.items()}}
    with atomic_output(options.output) as temporary:
        temporary.write_text(json.dumps(report | {"training": record}) + "\n")


if __name__ == "__main__":
    main()
