"""What does a closure test cost?

All metrics of the default model of the polynomial surface, and how long each of them takes.
There is no figure of the original code but the 236 s of one of its posteriors.
"""

import time
from typing import Any

from measuring import scaled

from lfi_mflow.closure import METRICS, ClosureSettings, run_closure
from lfi_mflow.flows import Model
from lfi_mflow.simulation.priors import parse_prior
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface


def test_closure(benchmark: Any, model: Model, surface: PolynomialSurface) -> None:
    """All metrics at once, as the command computes them, and one by one."""
    prior = parse_prior("uniform(-1, 1)", surface.parameters)
    defaults = ClosureSettings()
    sizes = ("model_samples", "test_events", "density_events", "calibration_sets", "ratio_sets")
    settings = ClosureSettings(
        **{name: scaled(getattr(defaults, name), least=20) for name in sizes},
        observed_sets=scaled(defaults.observed_sets, least=2),
        posterior_samples=scaled(defaults.posterior_samples, least=200),
        classifier_samples=scaled(defaults.classifier_samples, least=100),
    )
    seconds: dict[str, float] = {}

    def one_by_one() -> None:
        for name in METRICS:
            start = time.perf_counter()
            run_closure(model, surface, prior, metrics=(name,), seed=1, settings=settings)
            seconds[name] = time.perf_counter() - start

    one_by_one()
    benchmark.pedantic(
        lambda: run_closure(model, surface, prior, seed=1, settings=settings), rounds=1
    )
    benchmark.extra_info["seconds_of_metrics"] = seconds
