"""Samples of truth and models at theta = -1, 0 and 1, coloured by their distance to the surface.

::

    python figures.py af/training-1.json m-flow/training-1.json -o samples.png

It is the figure of the talk "Not a GAN" (J. Brehmer, 2020) in our hands.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.flows import load_model
from lfi_mflow.plots import PointCloud, SampleRow, png, samples_figure
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

THETAS = (-1.0, 0.0, 1.0)
EVENTS = 4_000
SMALLEST = 1e-6
"""A distance of zero has no logarithm."""


def clouds(
    draw: list[NDArray[np.float64]], simulator: PolynomialSurface | None
) -> list[PointCloud]:
    """Return the clouds of a row, coloured by distance where a simulator measures it."""
    row = []
    for theta, x in zip(THETAS, draw, strict=True):
        title = rf"$\theta = {theta:g}$"
        if simulator is None:
            row.append(PointCloud(title, x))
            continue
        distance = np.maximum(simulator.distance(x), SMALLEST)
        row.append(PointCloud(title, x, distance, "distance to the surface", log_scale=True))
    return row


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    simulator, rng = PolynomialSurface(), np.random.default_rng(1)
    points = [np.full((EVENTS, 1), theta) for theta in THETAS]
    truth = [np.asarray(simulator.simulate(theta, rng).x) for theta in points]
    rows = [SampleRow("truth", clouds(truth, None))]
    for path in options.trainings:
        record = json.loads(path.read_text())
        if record["model"] is None:
            continue  # the table says that it diverged
        model = FlowEvaluator(load_model(path.with_name(record["model"])).flow)
        samples = [model.sample(theta, seed=1) for theta in points]
        rows.append(SampleRow(record["label"], clouds(samples, simulator)))
    figure = samples_figure(rows, [f"$x_{i}$" for i in range(3)])
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
