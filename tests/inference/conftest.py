"""A conjugate normal model whose posterior is known exactly, as a flow and as a simulator."""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.inference.experiment import CountingExperiment
from lfi_mflow.inference.rates import ExpectedEvents, polynomial_cross_section
from lfi_mflow.simulation import Observable, Parameter
from lfi_mflow.simulation.priors import Normal, Prior

NOISE = 0.7


class GaussianFlow(Flow):
    """x ~ N(theta, NOISE^2) in d dimensions; u = 2 x, so that the constant is not zero."""

    reference = "lebesgue"
    chart = None

    def __init__(self, dim):
        super().__init__()
        self.data_dim = self.latent_dim = self.theta_dim = dim
        self.scale = torch.nn.Parameter(torch.tensor(2.0))
        self.largest_call = 0

    def encode(self, x, theta=None):
        return x * self.scale

    def decode(self, u, theta=None):
        return u / self.scale

    def encode_events(self, x, theta=None):
        constant = x.new_full((len(x),), self.data_dim * math.log(2.0))
        return EncodedEvents(self.encode(x), x.new_zeros(len(x)), constant)

    def log_prob_latent(self, u, theta):
        pull = (u / self.scale - theta) / NOISE
        terms = -0.5 * pull**2 - math.log(2.0 * NOISE) - 0.5 * math.log(2 * math.pi)
        self.largest_call = max(self.largest_call, terms[..., 0].numel())
        return terms.sum(-1)

    def sample_latent(self, theta, generator=None):
        noise = torch.randn(theta.shape, generator=generator)
        return self.encode(theta + NOISE * noise)


@dataclass(frozen=True)
class Conjugate:
    """Events and the exact posterior of their mean under the prior N(0.5, 2^2)."""

    x: np.ndarray
    prior: Prior
    mean: np.ndarray
    sd: float


@pytest.fixture
def gaussian_flow():
    return GaussianFlow


@pytest.fixture
def conjugate():
    def make(events, dim=1, seed=0):
        x = np.random.default_rng(seed).normal(0.8, NOISE, (events, dim))
        x = x.astype(np.float32).astype(np.float64)
        precision = events / NOISE**2 + 1 / 4.0
        mean = (x.sum(0) / NOISE**2 + 0.5 / 4.0) / precision
        return Conjugate(x, Prior((Normal(0.5, 2.0),) * dim), mean, precision**-0.5)

    return make


class GaussianSimulator:
    """The same model as a simulator that knows its likelihood."""

    name = "gaussian"
    observables = ("x",)
    parameters = ("theta",)

    def log_prob(self, x, theta):
        pull = (x[:, 0] - theta[:, 0]) / NOISE
        return -0.5 * pull**2 - np.log(NOISE) - 0.5 * np.log(2 * np.pi)


@pytest.fixture
def gaussian_simulator():
    return GaussianSimulator()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(2_024)


@pytest.fixture
def arviz():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # arviz announces its next version on import
        return pytest.importorskip("arviz")


SETTINGS = {
    "chart": {"layers": 2, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 1, "bins": 4, "hidden": 8, "components": 2},
}


@pytest.fixture
def make_model():
    """A function that makes a small M-flow of x0, x1, x2 with random weights and a reference."""

    def make(p=1, quantiles=True, prior=True):
        with torch.random.fork_rng():
            torch.manual_seed(7)
            flow = build_flow("m-flow", Dimensions(3, 2, p), SETTINGS).eval()
            x = torch.randn(4000, 3)
        names = ("theta", "rho")[:p]
        rows = [{"kind": "uniform", "low": -1.0, "high": 1.0}] * p
        events = EventMetadata(
            parameters=tuple(Parameter(name, -2.0, 2.0) for name in names),
            observables=tuple(Observable(f"x{i}") for i in range(3)),
            prior=rows if prior else None,
        )
        with torch.no_grad():
            x[:, 2] = flow.project(x)[:, 2] + 0.01 * x[:, 2]
            residuals = (x - flow.project(x)).double().numpy()
        levels = np.quantile(np.linalg.norm(residuals, axis=1), np.linspace(0, 1, 1001)).tolist()
        widths = np.quantile(np.abs(residuals), 0.6827, axis=0).tolist()
        measured = {
            "distance_quantiles": levels,
            "n_validation": 4000,
            "residual_widths": widths,
        }
        training = measured if quantiles else {}
        metadata = ModelMetadata(
            "m-flow", Dimensions(3, 2, p), SETTINGS, events, "ab12", 4000, training=training
        )
        return Model(flow, metadata)

    return make


class NormalLikelihood:
    """Log-likelihood of events x ~ N(theta_0, 1), whatever the other parameters."""

    def __init__(self, x):
        self.x = x[..., 0].double()

    def __call__(self, theta):
        x = self.x
        if x.ndim == 2:
            x = x.reshape(len(x), *[1] * (theta.ndim - 2), -1)
        return -0.5 * (x - theta[..., :1]).square().sum(-1)


@pytest.fixture
def counting():
    """A counting experiment in closed form: Poisson numbers of events x ~ N(theta_0, 1)."""

    def make(components=(20.0,), names=("theta",), width=3.0, **options):
        p = len(names)
        rate = None
        if components is not None:
            rate = ExpectedEvents(polynomial_cross_section(components, p), luminosity=1.0)
        ends = np.full(p, -width), np.full(p, width)
        return CountingExperiment(names, *ends, NormalLikelihood, rate, **options)

    return make


@pytest.fixture
def normal_events():
    """The source of its events."""
    return lambda theta, seed: (np.random.default_rng(seed).normal(theta[:, :1], 1.0), None)


@pytest.fixture
def near_manifold():
    """A function that makes events near the manifold of a model of ``make_model``."""

    def near(model, n, seed=3):
        x = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            x[:, 2] = model.flow.project(x)[:, 2] + 0.01 * x[:, 2]
        return x.double().numpy()

    return near
