"""A small model with its metadata, a closure test and a posterior to report on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfi_mflow.closure import ClosureReport, Metric, Target
from lfi_mflow.data import EventMetadata
from lfi_mflow.flows import Dimensions, Model, ModelMetadata
from lfi_mflow.inference.posterior import ObservedEvents, Posterior
from lfi_mflow.simulation import Observable, Parameter, Prior, Uniform


class Plane(torch.nn.Module):
    """What a report asks of a flow: dimensions, weights and samples."""

    data_dim, latent_dim, theta_dim = 3, 2, 1
    reference, lacks = "hausdorff", frozenset()

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(7))

    def sample(self, theta, generator=None):
        z = torch.randn(len(theta), 2, generator=generator)
        return torch.cat([z, z.sum(dim=1, keepdim=True)], dim=1)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def history():
    epochs = [
        {"epoch": i, "train": 1.0 / (i + 1), "validation": 1.1 / (i + 1), "learning_rate": 1e-3}
        for i in range(6)
    ]
    return {"phases": [{"name": "chart", "seconds": 95.0, "best_epoch": 5, "epochs": epochs}]}


@pytest.fixture
def model(history):
    events = EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0, latex=r"\theta"),),
        observables=tuple(Observable(f"x{i}", latex=f"x_{i}") for i in range(3)),
        manifold_dim=2,
        simulator="polynomial-surface",
        seed=17,
        prior=Prior((Uniform(-1.0, 1.0),)).to_table(),
        counts={"nonfinite": 3},
    )
    metadata = ModelMetadata(
        preset="m-flow",
        dimensions=Dimensions(3, 2, 1),
        settings={"chart": {"layers": 5}},
        events=events,
        digest="ab12",
        n_events=100_000,
        training={"seed": 4, "distance_quantiles": np.linspace(0, 1, 1001).tolist()},
        history=history,
        provenance={"created": "today"},
    )
    return Model(Plane(), metadata)


@pytest.fixture
def closure(rng):
    theta = np.linspace(-1, 1, 60)
    density = np.exp(-4 * theta**2)
    cloud = rng.normal(size=(80, 3))
    return ClosureReport(
        metrics={
            "manifold_distance": Metric.judged(0.00104, 2e-5, Target(0.0012, "at_most")),
            "ood_auc": Metric.judged(0.993, 0.002, Target(0.99, "at_least")),
            "sbc_p_value": Metric.judged(0.31, None, Target(0.01, "at_least")),
            "coverage_68": Metric.judged(0.7, 0.027, Target(0.6827, "compatible_with")),
        },
        provenance={"seed": 12, "sizes": {"observed_events": 20}},
        curves={
            "surface": {
                "truth": {"x": cloud, "log_prob": cloud[:, 0]},
                "model": {"x": cloud, "log_prob": cloud[:, 0], "distance": np.abs(cloud[:, 1])},
            },
            "posterior": [
                {
                    "parameter": "theta",
                    "theta": theta,
                    "model": density,
                    "exact": density,
                    "truth": 0.0,
                    "title": "set 1",
                }
            ],
            "sbc": {"ranks": rng.integers(0, 200, size=(100, 1)), "n_draws": 199},
            "coverage": {
                "hpd": rng.integers(0, 200, size=100),
                "central": rng.integers(0, 200, size=(100, 1)),
                "n_draws": 199,
            },
            "tarp": {"ranks": rng.integers(0, 200, size=100), "n_draws": 199},
        },
    )


@pytest.fixture
def posterior(rng):
    row = {"mean": 0.1, "sd": 0.3, "q16": -0.2, "q50": 0.1, "q84": 0.4, "r_hat": 1.002, "ess": 3000}
    return Posterior(
        parameters=("theta",),
        draws=0.3 * rng.normal(size=(4, 300, 1)),
        log_prob=np.zeros((4, 300)),
        method="mcmc",
        statistics={"theta": row},
        data=ObservedEvents(
            rng.normal(size=(20, 3)),
            ("x0", "x1", "x2"),
            0.62,
            distance=rng.uniform(size=20),
            residual=rng.normal(size=(20, 3)),
        ),
        provenance={"command": "infer"},
    )
