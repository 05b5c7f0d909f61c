"""A model against the truth, event by event: how far off its manifold, and how right its ratios?

::

    python event_by_event.py m-flow.mflow alices.mflow

For fresh unweighted events of the Standard Model: their mean and median distance to their
projection, every observable in units of its standard deviation, and the kinematic closure of
the projections; and the log-ratio ln p(x | theta) / p(x | 0), theta from the prior, against
the exact one. Beside it stand the closure of as many generated events, and the Fisher
information of an event of the Standard Model about each parameter, by the scores of the model
and by the exact ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.flows import Model, load_model
from lfi_mflow.inference.exact import exact_likelihood
from lfi_mflow.inference.experiment import LikelihoodFactory
from lfi_mflow.inference.fisher import event_information, scores_of
from lfi_mflow.inference.limit_config import simulator_of
from lfi_mflow.inference.moving import likelihood_of
from lfi_mflow.simulation import Prior, simulate_unweighted


def compare(model: Model, events: int, seed: int) -> dict[str, float | list[float]]:
    """Distances and log-ratios of so many events."""
    simulator, prior = simulator_of(model), Prior.from_table(model.metadata.events.prior)
    rng = np.random.default_rng(seed)
    zero = np.zeros((events, prior.dim))
    x, theta = np.asarray(simulate_unweighted(simulator, zero, rng).x), prior.sample(events, rng)
    found, evaluator = {}, FlowEvaluator(model.flow)
    if "encode" not in model.flow.lacks:
        projection = evaluator.project(x, zero)
        distance = np.linalg.norm((x - projection) / x.std(axis=0), axis=1)
        found = {
            "mean_distance": distance.mean(),
            "median_distance": np.median(distance),
            "closure_of_projections": simulator.kinematic_closure(projection).mean(),
        }
    if "sample" not in model.flow.lacks:
        closure = simulator.kinematic_closure(evaluator.sample(zero, seed))
        found |= {"closure": closure.mean(), "median_closure": np.median(closure)}
    density = likelihood_of(model.flow, evaluator.tensor(x[:, None]))
    with torch.no_grad():
        values = density(torch.as_tensor(np.stack([theta, zero], axis=1))).cpu().numpy()
    ratio, exact = values[:, 0] - values[:, 1], simulator.log_ratio(x, theta, zero[:1])
    found |= {
        "correlation": np.corrcoef(ratio, exact)[0, 1],
        "slope": np.polyfit(exact, ratio, 1)[0],
        "rms_error": np.sqrt(np.mean((ratio - exact) ** 2)),
        "exact_sd": exact.std(),
    }

    def information(likelihood: LikelihoodFactory) -> list[float]:
        scores = scores_of(likelihood, x, zero[0])
        return event_information(scores, None).diagonal().tolist()

    return {
        **{name: float(value) for name, value in found.items()},
        "information": information(lambda x: likelihood_of(model.flow, evaluator.tensor(x))),
        "exact_information": information(exact_likelihood(simulator)),
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=77)
    options = parser.parse_args()
    for path in options.models:
        print(path.stem, json.dumps(compare(load_model(path), options.events, options.seed)))


if __name__ == "__main__":
    main()
