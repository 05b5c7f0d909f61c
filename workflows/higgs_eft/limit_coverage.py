"""Coverage of the confidence regions of a model: how often do they hold the truth?

::

    python limit_coverage.py m-flow/training-1.json -o m-flow/coverage-1.json

Events are simulated, limits are those of the model: joint regions of both parameters, the
number of events included. For each expected number of events at the Standard Model and each
truth, experiments are drawn, and their test statistic at the truth is compared with three
critical values: that of Wilks, and those of toys from the simulator and from the model itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lfi_mflow.files import atomic_output
from lfi_mflow.flows import load_model
from lfi_mflow.inference.experiment import CountingExperiment, EventSource
from lfi_mflow.inference.limit_config import LimitConfig, build_experiment, simulator_of
from lfi_mflow.inference.neyman import critical_values, ratio_statistics
from lfi_mflow.inference.regions import mesh, wilks
from lfi_mflow.inference.sources import simulated_events
from lfi_mflow.inference.toys import EventPool, ToyTable, draw_pool, make_table
from lfi_mflow.simulation import Array, Prior

LEVELS = (0.68, 0.95)
SEEDS = {"data": 1, "simulator": 2, "surrogate": 3}


class Draws:
    """Experiments at one truth: sums of rows of a table of log-densities on a grid.

    Arguments:
        experiment: The experiment, of any luminosity.
        axes: Nodes along both parameters.
        place: Indices of the node that is the truth.
        source: Where the events come from.
        pool: Number of events that the experiments are drawn from.
        seed: Seed of the events.
    """

    def __init__(
        self,
        experiment: CountingExperiment,
        axes: tuple[Array, ...],
        place: tuple[int, ...],
        source: EventSource,
        *,
        pool: int,
        seed: int,
    ) -> None:
        theta = mesh(experiment, axes)
        truth = theta[place].numpy()[None]
        self.events: EventPool = draw_pool(source, None, truth, size=pool, seed=seed)
        self.table: ToyTable = make_table(experiment, self.events, theta.flatten(0, -2), 1)
        self.shape, self.place = theta.shape[:-1], place

    def statistics(
        self, experiment: CountingExperiment, number: int, rng: np.random.Generator
    ) -> Array:
        """Test statistics at the truth, both parameters jointly: (number,)."""
        table = dataclasses.replace(self.table, experiment=experiment)
        truth = int(np.ravel_multi_index(self.place, self.shape))
        values = table.log_likelihoods(truth, self.events.probability[0], number, rng)
        return ratio_statistics(values.reshape(number, *self.shape, 1), self.place)[:, 0]


def study(
    model_file: Path,
    truths: Sequence[tuple[float, float]],
    *,
    events: Sequence[int],
    nodes: int,
    pool: int,
    toys: int,
    repeat: int,
) -> list[dict]:
    """Coverage for each truth and expected number of events, as rows of a table.

    Arguments:
        model_file: The trained model.
        truths: True parameters; the nearest nodes of the grid are taken.
        events: Expected numbers of events at the Standard Model.
        nodes: Nodes of the grid along each parameter, over all of its range.
        pool: Events that experiments and toys are drawn from.
        toys: Toys behind each critical value.
        repeat: Experiments.
    """
    model = load_model(model_file)
    simulator, prior = simulator_of(model), Prior.from_table(model.metadata.events.prior)
    sigma = simulator.cross_section(np.zeros((1, prior.dim)))[0]
    experiments = {}
    for number in events:
        config = LimitConfig(luminosity=number / sigma)
        experiments[number], surrogate = build_experiment(model, prior, config)
    sources = {"data": simulated_events(simulator), "simulator": simulated_events(simulator)}
    if "sample" not in model.flow.lacks:
        sources["surrogate"] = surrogate
    axes = tuple(np.linspace(*ends, nodes) for ends in zip(prior.low, prior.high, strict=True))
    rows = []
    for theta in truths:
        nearest = [np.abs(axis - value).argmin() for axis, value in zip(axes, theta, strict=True)]
        place = tuple(map(int, nearest))
        draws = {
            name: Draws(experiments[events[0]], axes, place, source, pool=pool, seed=SEEDS[name])
            for name, source in sources.items()
        }
        for number, experiment in experiments.items():
            rng = np.random.default_rng([number, *place])
            truth = [round(float(axis[k]), 9) + 0.0 for axis, k in zip(axes, place, strict=True)]
            row = _coverage(draws, experiment, toys, repeat, rng)
            rows.append({"events": number, "theta": truth} | row)
    return rows


def _coverage(
    draws: Mapping[str, Draws],
    experiment: CountingExperiment,
    toys: int,
    repeat: int,
    rng: np.random.Generator,
) -> dict[str, dict[str, list[float]]]:
    """Critical values by their origin, and how many of the experiments lie within: by level."""
    data = draws["data"].statistics(experiment, repeat, rng)
    critical = {"wilks": [wilks(level, len(experiment.interest)) for level in LEVELS]}
    for name, source in draws.items():
        if name != "data":
            thrown = source.statistics(experiment, toys, rng)
            critical[name] = critical_values(thrown[:, None], LEVELS)[:, 0].tolist()
    coverage = {
        name: [float(np.mean(data <= value)) for value in values]
        for name, values in critical.items()
    }
    return {"coverage": coverage, "critical": critical}


def point(text: str) -> tuple[float, float]:
    """Read ``0.5,0``."""
    first, second = (float(part) for part in text.split(","))
    return first, second


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("training", type=Path, help="record of a training, or a model file")
    parser.add_argument("--events", type=int, nargs="+", default=[10, 36, 200])
    parser.add_argument("--truth", type=point, nargs="+", default=[(0.0, 0.0), (0.5, 0.0)])
    parser.add_argument("--nodes", type=int, default=31)
    parser.add_argument("--pool", type=int, default=20_000)
    parser.add_argument("--toys", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = vars(parser.parse_args())
    torch.set_num_threads(options.pop("threads"))
    training, output = options.pop("training"), options.pop("output")
    label, model = training.stem, training
    if training.suffix == ".json":
        record = json.loads(training.read_text())
        label, name = record["label"], record["model"]
        model = None if name is None else training.with_name(name)
    truths = options.pop("truth")
    rows = [] if model is None else study(model, truths, **options)
    table = {"label": label, "levels": LEVELS, **options, "rows": rows}
    with atomic_output(output) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
