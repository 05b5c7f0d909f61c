"""Surrogates: the gradients they have, what they cost, and what is recorded of them."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.flows import Dimensions, LatentFlow, LatentSettings, ManifoldFlow, build_flow
from lfi_mflow.training import (
    OBJECTIVES,
    Batch,
    FreeForm,
    NormalisedAutoencoder,
    PenalisedLikelihood,
    Phase,
    RectangularFlow,
    RunConfig,
    train_model,
)

BETA = 1e-6  # so that the gradient is that of the likelihood
LATENT = LatentSettings(transforms=1, bins=4, hidden=8, components=2)


class TiedChart(Chart):
    """A turned frame of bent coordinates, g(u) = Q sinh(a u): the encoder has e' = g'^+."""

    def __init__(self, data_dim, latent_dim):
        super().__init__(data_dim, latent_dim)
        self.turn = nn.Parameter(0.3 * torch.randn(data_dim, data_dim))
        self.stretch = nn.Parameter(torch.linspace(0.5, 1.0, latent_dim))

    def _frame(self):
        unit = torch.eye(self.data_dim, dtype=self.turn.dtype)
        skew = self.turn - self.turn.T
        return torch.linalg.solve(unit + skew, unit - skew)[:, : self.latent_dim]

    def encode(self, x, theta=None):
        return (x @ self._frame()).asinh() / self.stretch

    def decode(self, u, theta=None):
        return (self.stretch * u).sinh() @ self._frame().T


@pytest.fixture
def tied():
    """A flow with a tied chart, events off its manifold, and a generator for the rest."""
    flow = ManifoldFlow(Standardisation(5), TiedChart(5, 3), LatentFlow(3, 1, LATENT)).double()
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(30, 5, generator=generator).double()
    return flow, Batch(x, torch.linspace(-1, 1, 30).double()[:, None])


@pytest.fixture
def make_flow(perturb):
    """A function that builds a flow with bent weights and unequal scales."""

    def make(name, d, n):
        network = {"hidden": 8, "blocks": 1}
        parts = {
            "fif": {"encoder": network, "decoder": network},
            "rf": {"chart": {**network, "layers": 3, "bins": 4}},
        }
        flow = perturb(build_flow(name, Dimensions(d, n, 1), parts[name]))
        flow.standardisation.scale.copy_(torch.logspace(-0.5, 0.5, d))
        return flow.double()

    return make


@pytest.fixture
def perturb():
    @torch.no_grad()
    def move(module):
        generator = torch.Generator().manual_seed(5)
        for parameter in module.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        return module

    return move


def _gradients(objective, flow, batch, seed=0):
    """The gradient of the mean loss, all parameters in one vector."""
    flow.zero_grad()
    objective.loss(flow, batch, torch.Generator().manual_seed(seed)).mean().backward()
    return torch.cat([p.grad.flatten() for p in flow.parameters()])


@pytest.mark.parametrize("objective", [FreeForm, NormalisedAutoencoder])
def test_all_probes_give_the_exact_gradient_where_the_encoder_is_the_pseudo_inverse(
    tied, objective
):
    flow, batch = tied
    exact = _gradients(PenalisedLikelihood(BETA), flow, batch)
    found = _gradients(objective(beta=BETA, probes=3, noise=0.0), flow, batch)
    assert (found - exact).norm() < 1e-6 * exact.norm()
    without = -flow.latent.log_prob(flow.encode(batch.prepared), batch.theta).mean()
    flow.zero_grad()
    without.backward()
    part = torch.cat([p.grad.flatten() for p in flow.chart.parameters()])
    distance = _gradients(PenalisedLikelihood(BETA), flow, batch)[: len(part)]
    assert (part - distance).norm() > 1e-2 * distance.norm()  # the volume takes part


def test_a_single_probe_gives_it_on_average(tied):
    flow, batch = tied
    exact = _gradients(PenalisedLikelihood(BETA), flow, batch)
    draws = [_gradients(FreeForm(BETA, noise=0.0), flow, batch, seed) for seed in range(200)]
    mean, spread = torch.stack(draws).mean(0), torch.stack(draws).std(0)
    assert spread.max() > 1e-3
    assert ((mean - exact).abs() <= 5 * spread / 200**0.5 + 1e-9).all()


class Stretched(Chart):
    """A line, g(u) = (a u, 0), and an encoder that is not its inverse, e(x) = b x_1."""

    def __init__(self, a, b):
        super().__init__(2, 1)
        self.a, self.b = (nn.Parameter(torch.tensor(value).double()) for value in (a, b))

    def encode(self, x, theta=None):
        return self.b * x[:, :1]

    def decode(self, u, theta=None):
        return torch.nn.functional.pad(self.a * u, (0, 1))


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (0.5, 1.0)])
def test_the_refined_surrogate_pulls_encoder_and_decoder_together(a, b):
    """A step down its volume term brings e' g' = a b nearer to 1, from either side."""
    flow = ManifoldFlow(Standardisation(2), Stretched(a, b), LatentFlow(1, 0, LATENT)).double()
    objective = NormalisedAutoencoder(noise=0.0)
    batch = Batch(torch.randn(20, 2).double(), torch.zeros(20, 0).double())
    products = objective._products(flow, batch, torch.Generator().manual_seed(0))
    slopes = torch.autograd.grad(
        objective._volume(products).mean(), (flow.chart.a, flow.chart.b), allow_unused=True
    )
    slope_a, slope_b = (torch.zeros(()) if slope is None else slope for slope in slopes)
    change = -(b * slope_a + a * slope_b)  # of a b, in a step along the gradient
    assert change * (1 - a * b) > 0


@pytest.mark.parametrize(("d", "n"), [(3, 2), (5, 2), (6, 4)])
def test_conjugate_gradients_give_the_exact_gradient_of_a_rectangular_flow(make_flow, d, n):
    flow = make_flow("rf", d, n)
    batch = Batch(torch.randn(20, d).double(), torch.zeros(20, 1).double())
    exact = _gradients(PenalisedLikelihood(BETA), flow, batch)
    objective = RectangularFlow(BETA, probes=n, iterations=3 * n, tolerance=1e-12)
    found = _gradients(objective, flow, batch)
    assert (found - exact).norm() < 1e-6 * exact.norm()


def test_fewer_iterations_are_a_worse_gradient_and_are_reported(make_flow):
    flow = make_flow("rf", 6, 4)
    batch = Batch(torch.randn(20, 6).double(), torch.zeros(20, 1).double())
    exact = _gradients(PenalisedLikelihood(BETA), flow, batch)
    errors, residuals = [], []
    for iterations in (1, 2, 16):
        objective = RectangularFlow(BETA, probes=4, iterations=iterations, tolerance=1e-12)
        errors.append((_gradients(objective, flow, batch) - exact).norm())
        parts = objective.validate(flow, batch, torch.Generator().manual_seed(0))
        assert (parts["cg_iterations"] <= iterations).all()
        residuals.append(parts["cg_residual"].mean())
    assert errors[2] < 1e-6 * exact.norm()
    assert min(errors[:2]) > 1e-2 * exact.norm()
    assert residuals[2] < 1e-9
    assert min(residuals[:2]) > 1e-3
    early = RectangularFlow(probes=4, iterations=8, tolerance=0.9)
    parts = early.validate(flow, batch, torch.Generator().manual_seed(0))
    assert (parts["cg_iterations"] < 8).all()


@pytest.mark.parametrize(
    ("name", "flow"), [("free-form", "fif"), ("nae", "fif"), ("rectangular", "rf")]
)
def test_validation_is_exact(make_flow, name, flow):
    """The surrogate's value is another one, and depends on what is drawn."""
    flow = make_flow(flow, 3, 2)
    batch = Batch(torch.randn(40, 3).double(), torch.zeros(40, 1).double())
    objective = OBJECTIVES[name](beta=5.0)
    assert objective.measures == "surrogate"
    with torch.no_grad():
        parts = objective.validate(flow, batch, torch.Generator().manual_seed(0))
        exact = -flow.log_prob(batch.prepared, batch.theta)
        penalised = PenalisedLikelihood(5.0).loss(flow, batch, torch.Generator())
        surrogate = objective.loss(flow, batch, torch.Generator().manual_seed(0))
    torch.testing.assert_close(parts["negative_log_likelihood"], exact)
    torch.testing.assert_close(parts["loss"], penalised)
    assert all(value.shape == (40,) for value in parts.values())
    assert (surrogate - penalised).abs().median() > 1e-2


def test_noise_comes_on_top_of_standardised_events(make_flow):
    flow = make_flow("fif", 3, 2)
    batch = Batch(torch.randn(4000, 3).double(), torch.zeros(4000, 1).double())
    objective = FreeForm(noise=0.3)
    products = objective._products(flow, batch, torch.Generator().manual_seed(1))
    noise = products.z - flow.standardisation.inverse(batch.prepared)
    assert noise.std().item() == pytest.approx(0.3, rel=0.05)
    assert products.probes.norm(dim=-1).sub(2**0.5).abs().max() < 1e-9


@pytest.mark.parametrize(
    ("objective", "settings", "match"),
    [
        ("free-form", {"probes": 0}, "probes >= 1"),
        ("free-form", {"noise": -0.1}, "0 < noise"),
        ("free-form", {"beta": 0.0}, "0 < beta"),
        ("nae", {"noise": float("nan")}, "0 < noise"),
        ("rectangular", {"iterations": 0}, "iterations >= 1"),
        ("rectangular", {"tolerance": 0.0}, "0 < tolerance"),
        ("free-form", {"probe": 2}, "did you mean 'probes'"),
    ],
)
def test_settings_that_cannot_be(objective, settings, match):
    with pytest.raises(InputError, match=match):
        Phase("all", objective, 1, settings=settings)


def test_more_probes_than_dimensions_are_refused(make_flow):
    flow = make_flow("fif", 3, 2)
    x, theta = torch.zeros(4, 3).double(), torch.zeros(4, 1).double()
    FreeForm(probes=2).prepare(flow, x, theta)
    with pytest.raises(ConfigError, match="probes <= n = 2, found 3"):
        FreeForm(probes=3).prepare(flow, x, theta)


def test_a_run_records_what_is_exact(write, make_events):
    """And keeps the weights of the epoch that is best by it."""
    network = {"hidden": 8, "blocks": 1}
    settings = {"encoder": network, "decoder": network, "latent": dataclasses.asdict(LATENT)}
    config = RunConfig(model="fif", settings=settings).with_epochs(3)
    model = train_model(write(make_events(400)), config)
    (phase,) = model.metadata.history["phases"]
    assert phase["measures"] == "surrogate"
    losses = [epoch["validation"] for epoch in phase["epochs"]]
    assert phase["best_epoch"] == int(np.argmin(losses))
    for epoch in phase["epochs"]:
        parts = epoch["validation_parts"]
        total = parts["negative_log_likelihood"] + 100 * parts["squared_distance"]
        assert epoch["validation"] == pytest.approx(total, rel=1e-4)
