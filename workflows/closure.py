"""Test one trained model of a study, or pass on that its training diverged.

::

    python closure.py m-flow/training-1.json m-flow/closure-1.json -- --seed 10001

What follows ``--`` is what ``lfi-mflow closure`` takes. The closure report gets the
record of the training under ``"training"``, and metrics that belong to studies:
``standardised_error``, the mean distance of simulated events to their projection with
every observable in units of its standard deviation; ``reconstruction_mse``, the mean of the
squared distance in the units of the observables; ``test_log_prob``, the mean log-density of the
projections, if there is one; ``kl_divergence``, the mean over simulated events of what the exact
log-density is larger, where both are per volume of the manifold; ``sample_mmd2``, the squared
maximum mean discrepancy between events of model and simulator; and ``training_seconds``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.cli.main import cli
from lfi_mflow.closure import posterior_mmd2
from lfi_mflow.closure.evaluation import FlowEvaluator
from lfi_mflow.files import atomic_output
from lfi_mflow.flows import load_model
from lfi_mflow.simulation import get_simulator


def test(training: Path, output: Path, arguments: list[str]) -> None:
    """Write the closure report of a model, with the record of its training.

    Arguments:
        training: The record of the training.
        output: The report to write.
        arguments: What ``lfi-mflow closure`` takes, without model and output.
    """
    record: dict[str, Any] = json.loads(training.read_text())
    report: dict[str, Any] = {"metrics": {}}
    if record["model"] is not None:
        model = training.with_name(record["model"])
        command = ["closure", str(model), *arguments, "-o", str(output), "--force"]
        cli.main(command, prog_name="lfi-mflow", standalone_mode=False)
        report = json.loads(output.read_text())
        if "reconstruction_error" in report["metrics"]:
            truth = report["curves"]["surface"]["truth"]
            events = (np.array(truth[name], dtype=float) for name in ("x", "theta"))
            x, theta = events
            report["metrics"] |= _of_events(model, x, theta)
            divergence = _divergence(model, x, theta)
            if divergence is not None:
                report["metrics"]["kl_divergence"] = {"value": divergence}
            generated = report["curves"]["surface"]["model"]
            if generated:
                pair = (np.array(cloud["x"], dtype=float) for cloud in (generated, truth))
                report["metrics"]["sample_mmd2"] = {"value": posterior_mmd2(*pair)}
        report["metrics"]["training_seconds"] = {"value": record["seconds"]}
    with atomic_output(output) as temporary:
        temporary.write_text(json.dumps(report | {"training": record}) + "\n")


def _of_events(
    model: Path, x: NDArray[np.float64], theta: NDArray[np.float64]
) -> dict[str, dict[str, float]]:
    """Metrics of simulated events (N, d) at theta (N, p)."""
    flow = load_model(model).flow
    evaluator = FlowEvaluator(flow)
    residual = x - evaluator.project(x, theta)
    found = {
        "standardised_error": np.linalg.norm(residual / x.std(axis=0), axis=1).mean(),
        "reconstruction_mse": np.square(residual).sum(axis=1).mean(),
    }
    if "log_prob" not in flow.lacks:
        found["test_log_prob"] = evaluator.log_prob(x, theta).mean()
    return {name: {"value": float(value)} for name, value in found.items()}


def _divergence(model: Path, x: NDArray[np.float64], theta: NDArray[np.float64]) -> float | None:
    """Mean of log p(x | theta) - log p_model(x | theta), None where they cannot be compared."""
    trained = load_model(model)
    source = trained.metadata.events
    if trained.flow.reference != "hausdorff" or source.simulator is None:
        return None
    simulator = get_simulator(source.simulator, dict(source.settings))
    if not hasattr(simulator, "log_prob"):
        return None
    exact = np.asarray(simulator.log_prob(x, theta))
    return float((exact - FlowEvaluator(trained.flow).log_prob(x, theta)).mean())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("training", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("arguments", nargs="*")
    options = parser.parse_args()
    test(options.training, options.output, options.arguments)


if __name__ == "__main__":
    main()
