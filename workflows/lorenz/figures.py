"""The learned surface of the Lorenz attractor beside its states, coloured by log density.

The surface is drawn where the states are, by their projections; the samples of the
model show how well it knows how many states are where.

::

    python figures.py m-flow/training-1.json -o attractor.png
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.flows import load_model
from lfi_mflow.plots import PointCloud, png, surface_figure
from lfi_mflow_simulators.lorenz import Lorenz

STATES = 40_000
VIEW = (14.0, -52.0)
"""Elevation and azimuth from which both wings are seen."""


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trainings", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    theta = np.zeros((STATES, 0))
    truth = np.asarray(Lorenz().simulate(theta, np.random.default_rng(1)).x)
    clouds = [PointCloud("states of the system", truth)]
    for path in options.trainings:
        record = json.loads(path.read_text())
        if record["model"] is None:
            continue  # the table says that it diverged
        model = FlowEvaluator(load_model(path.with_name(record["model"])).flow)
        for title, x in (
            ("learned surface", model.project(truth, theta)),
            ("samples", model.sample(theta, seed=1)),
        ):
            density = model.log_prob(x, theta)
            clouds.append(PointCloud(f"{record['label']}: {title}", x, density, "log density"))
    figure = surface_figure(clouds, ["$x$", "$y$", "$z$"], view=VIEW)
    options.output.write_bytes(png(figure, dpi=130))


if __name__ == "__main__":
    main()
