"""One table and one figure of all toys, from the folders that the study was run in.

::

    python overview.py OUT/knot OUT/torus --rows realnvp vq-realnvp \
        --csv table.csv --markdown table.md --figure toys.png

The densities of two models refer to the lengths or areas of two manifolds, so that the larger one
need not be the better one. These columns can be compared, all of samples at one parameter point:

- ``noisy_log_prob``: mean log-density per volume of fresh simulated events with normal noise of 0.1
  in every observable, under the model's samples with the same noise. Nothing has a larger
  expectation than the truth, whose samples make the row "truth".
- ``precision`` and ``recall``: the share of the model's samples with a simulated event within
  0.05, and the share of simulated events with a sample of the model within 0.05.

The others are those of ``table.csv`` of each folder, of its first run.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from figures import EVENTS, LEAST, THETA
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.files import atomic_output
from lfi_mflow.flows import load_model
from lfi_mflow.plots import PointCloud, SampleRow, png, samples_figure
from lfi_mflow.simulation import get_simulator

Array = NDArray[np.float64]

NOISE, RADIUS = 0.1, 0.05
OF_STUDY = {
    "test_log_prob": "test log p [nat]",
    "log_density_error": "error of log p [nat]",
    "reconstruction_mse": "reconstruction MSE",
    "manifold_distance": "distance of samples",
    "sample_mmd2": "MMD² of samples",
}
OF_SAMPLES = {
    "noisy_log_prob": "log p with noise [nat]",
    "precision": "precision",
    "recall": "recall",
}
TITLES = {"charts": "charts"} | OF_STUDY | OF_SAMPLES


@dataclass(frozen=True)
class Entry:
    """A row of the table: a model of a toy, or the truth.

    Arguments:
        toy: Name of the toy.
        row: Name of the row.
        label: Its name in the table.
        values: The metrics that are known.
        cloud: Samples, for the figure.
    """

    toy: str
    row: str
    label: str
    values: Mapping[str, float]
    cloud: PointCloud


def noisy_log_prob(sample: Array, events: Array) -> float:
    """Mean log-density of events (N, d) under a sample (M, d) with noise, per volume."""
    exponents = [
        logsumexp(-0.5 * cdist(block, sample, "sqeuclidean") / NOISE**2, axis=1)
        for block in np.array_split(events, 10)
    ]
    constant = math.log(len(sample)) + events.shape[1] * math.log(math.sqrt(2 * math.pi) * NOISE)
    return float(np.concatenate(exponents).mean() - constant)


def within(points: Array, others: Array) -> float:
    """The share of points (N, d) with one of the others (M, d) within the radius."""
    return float((KDTree(others).query(points)[0] < RADIUS).mean())


def entries(folder: Path, rows: Sequence[str]) -> Iterator[Entry]:
    """Measure the models of a toy; the truth comes first, those that diverged have no values."""
    with (folder / "table.csv").open() as handle:
        of_study = {line["row"]: line for line in csv.DictReader(handle) if line["run"] == "1"}
    records = {row: json.loads((folder / row / "training-1.json").read_text()) for row in rows}
    models = {
        row: load_model(folder / row / record["model"])
        for row, record in records.items()
        if record["model"] is not None
    }
    source = next(iter(models.values())).metadata.events
    simulator = get_simulator(source.simulator, dict(source.settings))
    theta = np.tile(THETA.get(source.simulator, (0.0,)), (EVENTS, 1))
    draws = [
        np.asarray(simulator.simulate(theta, np.random.default_rng(seed)).x, dtype=float)
        for seed in (1, 2)
    ]
    truth, fresh = draws
    noisy = simulator.perturb(fresh, np.random.default_rng(3))
    middle, size = (truth.max(axis=0) + truth.min(axis=0)) / 2, np.ptp(truth, axis=0).max() / 2

    def measure(sample: Array) -> dict[str, float]:
        return {
            "noisy_log_prob": noisy_log_prob(sample, noisy),
            "precision": within(sample, fresh),
            "recall": within(fresh, sample),
        }

    cloud = PointCloud("truth", (truth - middle) / size)
    yield Entry(folder.name, "truth", "truth", measure(truth), cloud)
    for row in rows:
        label, model = records[row]["label"], models.get(row)
        if model is None:
            nothing = PointCloud(label, truth[:0])
            yield Entry(folder.name, row, f"{label} (diverged)", {}, nothing)
            continue
        sample = FlowEvaluator(model.flow).sample(theta, seed=1)
        values = {name: float(of_study[row][name]) for name in OF_STUDY}
        values["charts"] = model.flow.chart.n_charts
        distance = np.maximum(simulator.distance(sample), LEAST)
        cloud = PointCloud(
            label, (sample - middle) / size, distance, "distance to the manifold", log_scale=True
        )
        yield Entry(folder.name, row, label, values | measure(sample), cloud)


def number(value: float | None) -> str:
    """Return a number with three digits, or a dash."""
    return "–" if value is None else f"{value:.3g}"


def write_markdown(path: Path, found: Sequence[Entry]) -> None:
    """Write the table: a row per toy and model."""
    lines = [
        "| toy | model | " + " | ".join(TITLES.values()) + " |",
        "|---" * (len(TITLES) + 2) + "|",
    ]
    for entry in found:
        cells = [number(entry.values.get(name)) for name in TITLES]
        lines.append("| " + " | ".join([entry.toy, entry.label, *cells]) + " |")
    with atomic_output(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")


def write_csv(path: Path, found: Sequence[Entry]) -> None:
    """Write every value: a line per toy and model."""
    with atomic_output(path) as temporary, temporary.open("w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["toy", "row", "label", *TITLES])
        for entry in found:
            values: list[Any] = [entry.values.get(name) for name in TITLES]
            writer.writerow([entry.toy, entry.row, entry.label, *values])


def main() -> None:
    """Read the command line, measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", nargs="+", required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, required=True)
    parser.add_argument("--figure", type=Path, required=True)
    options = parser.parse_args()
    toys = [list(entries(folder, options.rows)) for folder in options.folders]
    found = [entry for toy in toys for entry in toy]
    write_csv(options.csv, found)
    write_markdown(options.markdown, found)
    grid = [SampleRow(toy[0].toy, [entry.cloud for entry in toy]) for toy in toys]
    figure = samples_figure(grid, ["x", "y", "z"], common_axes=False)
    options.figure.write_bytes(png(figure, dpi=80))


if __name__ == "__main__":
    main()
