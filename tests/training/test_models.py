"""Every preset learns a parabola by its default algorithm, and by the others that suit it."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.flows import PRESETS
from lfi_mflow.training import RunConfig, train_model

NETWORK = {"hidden": 16, "blocks": 1}
CHART = {**NETWORK, "layers": 2, "bins": 5}
PARTS = {
    "af": {},
    "m-flow": {"chart": CHART},
    "me-flow": {"chart": CHART, "encoder": NETWORK},
    "pae": {"encoder": NETWORK, "decoder": NETWORK},
    "pie": {"chart": CHART},
}
LATENT = {"transforms": 1, "bins": 5, "hidden": 16, "components": 2}


@pytest.fixture
def train(write, make_events):
    """A function that trains a small model for some 700 steps in all."""

    def run(name, algorithm=None):
        path = write(make_events(2000, seed=3))
        config = RunConfig(
            model=name, settings={**PARTS[name], "latent": LATENT}, algorithm=algorithm
        )
        total = sum(phase.epochs for phase in config.schedule)
        phases = tuple(
            dataclasses.replace(phase, batch_size=100, epochs=max(1, phase.epochs * 40 // total))
            for phase in config.schedule
        )
        return train_model(path, dataclasses.replace(config, algorithm=None, phases=phases))

    return run


def _exact(x, theta):
    """Log-density of events on (t, 10 t^2) with t ~ N(theta, 0.5^2), per length of the curve."""
    t = x[:, 0]
    normal = -0.5 * ((t - theta[:, 0]) / 0.5) ** 2 - np.log(0.5 * np.sqrt(2 * np.pi))
    return normal - 0.5 * np.log1p((20 * t) ** 2)


MANIFOLDS = [
    (name, algorithm)
    for name, preset in PRESETS.items()
    if not preset.ambient
    for algorithm in preset.algorithms
    if algorithm != "simultaneous" or name == "pie"  # the others may diverge: that is its lesson
]


@pytest.mark.statistical
@pytest.mark.parametrize(("name", "algorithm"), MANIFOLDS)
def test_manifolds_are_learnt(train, make_events, name, algorithm):
    model = train(name, algorithm)
    distances = np.array(model.metadata.training["distance_quantiles"])
    assert distances.mean() < 0.3 * model.metadata.training["plane_distance"]
    events = make_events(500, seed=4)
    x, theta = (torch.from_numpy(values).float() for values in (events.x, events.theta))
    with torch.no_grad():
        drawn = model.flow.sample(theta, torch.Generator().manual_seed(1)).double()
        density = model.flow.log_prob(x, theta).double().numpy()
    off = (drawn[:, 1] - 10 * drawn[:, 0] ** 2).abs()
    # the distance across a curve as steep as 20 t
    assert (off / (1 + (20 * drawn[:, 0]) ** 2).sqrt()).median() < 0.05
    if model.flow.reference == "hausdorff":
        assert np.median(np.abs(density - _exact(events.x, events.theta))) < 0.3


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["af", "pie"])
def test_densities_in_the_plane_tell_theta(train, make_events, name):
    """The likelihood of 40 events, on a grid of theta, is largest near the truth."""
    flow = train(name).flow
    rng = np.random.default_rng(5)
    grid = torch.linspace(-1, 1, 81)
    for truth in (-0.5, 0.4):
        t = truth + 0.5 * rng.normal(size=40)
        x = torch.from_numpy(np.stack([t, 10 * t**2], axis=1)).float()
        with torch.no_grad():
            terms = [flow.log_prob(x, theta.expand(40, 1)).sum() for theta in grid]
        best = grid[torch.stack(terms).argmax()].item()
        assert best == pytest.approx(t.mean(), abs=0.2)  # the exact maximum; its sd is 0.08
