"""Training an atlas: placing charts, what they cover, and a density that is one."""

import math

import numpy as np
import pytest
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import (
    Batch,
    Membership,
    Phase,
    ResidentEvents,
    VectorQuantisation,
    atlas,
    atlas_charts,
    atlas_scandal,
    fit,
)
from lfi_mflow_simulators.sphere import Sphere

NOTHING = torch.zeros(1, 0)


def events(x, seed=1):
    return ResidentEvents(x, torch.zeros(len(x), 0), validation_fraction=0.1, seed=seed)


def circle(count, seed=0):
    theta = np.tile([0.3, 1.0], (count, 1))
    return torch.tensor(Sphere(1).simulate(theta, np.random.default_rng(seed)).x).float()


def make(charts=6, d=2, n=1, **chart):
    settings = {
        "quantiser": {"charts": charts, "hidden": 16},
        "chart": {"base": "realnvp", "layers": 2, "hidden": 32} | chart,
        "latent": {"hidden": 32, "components": 2, "transforms": 1},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_flow("vq-flow", Dimensions(d, n, 0), settings)


@pytest.fixture(scope="module")
def trained():
    """A circle of six charts, with the history of its training."""
    flow = make()
    return flow, fit(flow, atlas(2, 15, 15, 100), events(circle(2000)), seed=1)


def test_the_algorithms_are_phases():
    assert [phase.objective for phase in atlas()] == [
        "vector-quantisation",
        "membership",
        "latent-likelihood",
    ]
    assert atlas_charts() == atlas()[:2]
    assert atlas_scandal()[:2] == atlas()[:2]
    assert atlas_scandal()[2].objective == "scandal"


def test_the_trained_circle_is_closed(trained):
    """No single chart covers it; six reproduce all events, and samples lie on it."""
    flow, _ = trained
    x = circle(1000, seed=5)
    with torch.no_grad():
        assert (x - flow.project(x)).square().sum(dim=1).mean() < 1e-4
        drawn = flow.sample(NOTHING.expand(2000, 0), torch.Generator().manual_seed(1))
        charts = flow.encode(x)[:, 0].unique()
    assert (drawn.norm(dim=1) - 1).abs().mean() < 0.01
    assert len(charts) == 6


def test_the_trained_density_integrates_to_one(trained):
    """By quadrature on the true circle: nothing is lost where charts overlap."""
    flow, _ = trained
    angle = (torch.arange(2000) + 0.5) / 2000 * 2 * math.pi
    x = torch.stack([angle.cos(), angle.sin()], dim=1)
    with torch.no_grad():
        log_prob = flow.log_prob(x, NOTHING.expand(2000, 0)).double()
    exact = torch.from_numpy(Sphere(1).log_prob(x.numpy(), np.array([[0.3, 1.0]])))
    assert log_prob.exp().mean() * 2 * math.pi == pytest.approx(1.0, abs=0.005)
    assert (exact.exp() * (log_prob - exact).abs()).mean() * 2 * math.pi < 0.2


def test_the_history_reports_the_usage(trained):
    _, history = trained
    quantiser, chart, _ = history.phases
    parts = [record.validation_parts for record in quantiser.epochs]
    assert all(0.5 < part["usage"] <= 1.0 for part in parts)
    assert all(part["revived"] == 0.0 for part in parts)
    assert all(1.1 < record.validation_parts["charts"] < 2.5 for record in chart.epochs)


def test_a_chart_that_loses_its_events_is_revived_and_reported():
    """Five centres begin where no event is nearest to them."""
    flow = make()

    class Misplaced(VectorQuantisation):
        def begin(self, flow, batch):
            super().begin(flow, batch)
            flow.chart.quantiser.centres[1:] += 50.0
            flow.chart.quantiser.sums[1:] += 50.0 * flow.chart.quantiser.counts[1:, None]

    objective, batch = Misplaced(), Batch(circle(400), torch.zeros(400, 0))
    with torch.no_grad():
        objective.begin(flow, batch)
        for _ in range(600):
            objective.after_step(flow, batch)
        parts = objective.validate(flow, batch, torch.Generator())
    assert (parts["revived"] == 5.0).all()
    assert (parts["usage"] > 0.5).all()
    assert flow.chart.quantiser.centres.abs().max() < 2.0


def test_more_charts_than_events_are_refused():
    phase = atlas(1, 1, 1, 10)
    with pytest.raises(ConfigError, match=r"as many different events as charts \(40\)"):
        fit(make(charts=40), phase, events(circle(30)), seed=1)


def test_quantising_trains_the_embedding_and_nothing_else():
    flow = make()
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    phase = Phase("quantiser", "vector-quantisation", 1, 100)
    fit(flow, [phase], events(circle(500)), seed=1)
    changed = {n for n, v in flow.state_dict().items() if not torch.equal(v, before[n])}
    parts = ("chart.quantiser.", "standardisation.")
    assert changed
    assert all(name.startswith(parts) for name in changed)


def test_every_chart_answers_for_its_members():
    flow = make()
    batch = Batch(circle(200), torch.zeros(200, 0))
    VectorQuantisation().begin(flow, batch)
    objective = Membership()
    prepared = batch._replace(prepared=objective.prepare(flow, batch.prepared, batch.theta))
    objective.begin(flow, prepared)
    loss = objective.loss(flow, prepared, torch.Generator())
    cover, members = flow.chart.cover(batch.prepared), prepared.prepared[:, 2:]
    expected = (cover.distance.square() * members).sum(dim=1) / members.sum(dim=1)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("objective", [VectorQuantisation(), Membership()])
def test_other_models_have_no_atlas(objective):
    flow = build_flow("m-flow", Dimensions(2, 1, 0), {})
    batch = Batch(circle(10), torch.zeros(10, 0))
    with pytest.raises(ConfigError, match="a model with an atlas"):
        objective.begin(flow, batch)


def test_a_weight_that_cannot_be():
    with pytest.raises(ConfigError, match="0 < beta"):
        VectorQuantisation(beta=0.0)
