"""Samples of truth and models on a toy, and the charts of the first model with an atlas.

::

    python figures.py realnvp/training-1.json vq-realnvp/training-1.json --simulator curve \
        --set shape=knot --samples samples.png --atlas atlas.png

The samples are drawn at one parameter point and coloured by their distance to the true
manifold; all panels share one scale.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.flows import AtlasFlow, Flow, load_model
from lfi_mflow.flows.atlas_latent import ABSENT, unpack
from lfi_mflow.plots import PointCloud, SampleRow, atlas_figure, png, samples_figure
from lfi_mflow.plots.style import empty_figure
from lfi_mflow.simulation import get_simulator

Array = NDArray[np.float64]

EVENTS = 4_000
THETA = {"sphere": (0.0, 1.0), "torus": (0.0, 1.0)}
"""Where samples are drawn; at zero where the toy is none of these."""
LEAST = 1e-6


def read_models(trainings: list[Path]) -> list[tuple[str, Flow]]:
    """Read the models that did not diverge, with their labels."""
    records = [(path, json.loads(path.read_text())) for path in trainings]
    return [
        (record["label"], load_model(path.with_name(record["model"])).flow)
        for path, record in records
        if record["model"] is not None
    ]


def draw_atlas(flow: AtlasFlow, x: Array, labels: list[str]) -> bytes:
    """Draw events by the chart that reproduces them best, and by how many they lie on."""
    with torch.no_grad():
        slots = unpack(flow.latents(torch.from_numpy(x).float()), flow.latent_dim)
    overlap = (slots.log_weight > 0.5 * ABSENT).sum(dim=-1)
    return png(atlas_figure(x, slots.chart[:, 0].numpy(), overlap.numpy(), labels), dpi=130)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("--simulator", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--atlas", type=Path, required=True)
    options = parser.parse_args()
    settings = dict(pair.split("=", maxsplit=1) for pair in options.set)
    simulator = get_simulator(
        options.simulator, {k: int(v) if v.isdigit() else v for k, v in settings.items()}
    )
    theta = np.tile(THETA.get(options.simulator, (0.0,)), (EVENTS, 1))
    truth = np.asarray(simulator.simulate(theta, np.random.default_rng(1)).x, dtype=float)
    labels = [observable.name for observable in simulator.observables]
    models = read_models(options.trainings)
    clouds = [PointCloud("truth", truth)]
    for label, flow in models:
        x = FlowEvaluator(flow).sample(theta, seed=1)
        distance = np.maximum(simulator.distance(x), LEAST)
        clouds.append(PointCloud(label, x, distance, "distance to the manifold", log_scale=True))
    title = settings.get("shape", options.simulator)
    options.samples.write_bytes(png(samples_figure([SampleRow(title, clouds)], labels), dpi=130))
    atlases = [
        flow for _, flow in models if isinstance(flow, AtlasFlow) and flow.chart.n_charts > 1
    ]
    drawn = png(empty_figure("no model with an atlas"), dpi=130)
    options.atlas.write_bytes(draw_atlas(atlases[0], truth, labels) if atlases else drawn)


if __name__ == "__main__":
    main()
