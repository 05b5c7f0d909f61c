"""Every preset learns a parabola by its default algorithm, and m-flow by all that are stable."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.flows import PRESETS
from lfi_mflow.simulation import Events
from lfi_mflow.training import RunConfig, train_model

NETWORK = {"hidden": 16, "blocks": 1}
CHART = {**NETWORK, "layers": 2, "bins": 5}
NOISE = 2.0  # of the second observable, whose spread is about 6
PARTS = {
    "af": {},
    "m-flow": {"chart": CHART},
    "me-flow": {"chart": CHART, "encoder": NETWORK},
    "pae": {"encoder": NETWORK, "decoder": NETWORK},
    "rif": {"encoder": NETWORK, "decoder": NETWORK},
    "pie": {"chart": CHART, "epsilon": 0.3},
    "pie-original": {"chart": CHART, "epsilon": 0.3},
    "vae": {"encoder": NETWORK, "decoder": NETWORK},
    "gan": {"decoder": NETWORK, "discriminator": NETWORK},
}
# what is learnt of a parabola: not by a model of a sphere
LEARNT = [name for name, preset in PRESETS.items() if name != "fom"]
LATENT = {"transforms": 2, "bins": 5, "hidden": 16, "components": 2}


def _log_normal(x, mean, sd):
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))


def _with_noise(events, seed):
    """Move events off the curve."""
    noise = NOISE * np.random.default_rng(seed).normal(size=len(events.x))
    return Events(events.theta, events.x + np.stack([0 * noise, noise], axis=1))


@pytest.fixture
def train(write):
    """A function that trains a small model for 30 epochs in all."""

    def run(name, events, algorithm=None, epochs=30):
        config = RunConfig(
            model=name, settings={**PARTS[name], "latent": LATENT}, algorithm=algorithm
        )
        total = sum(phase.epochs for phase in config.schedule)
        phases = tuple(
            dataclasses.replace(
                phase, batch_size=100, epochs=max(1, phase.epochs * epochs // total)
            )
            for phase in config.schedule
        )
        config = dataclasses.replace(config, algorithm=None, phases=phases)
        return train_model(write(events), config)

    return run


def _log_prob(flow, events):
    x, theta = (torch.from_numpy(values).float() for values in (events.x, events.theta))
    with torch.no_grad():
        return flow.log_prob(x, theta).double().numpy()


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "algorithm", "epochs"),
    [("m-flow", "alternating", 30), ("m-flow", "penalised", 12)]
    + [(name, None, 30) for name in LEARNT if PRESETS[name].reference == "hausdorff"],
)
def test_manifolds_and_the_density_on_them_are_learnt(train, make_events, name, algorithm, epochs):
    """The exact density of (t, 10 t^2), t ~ N(theta, 0.5^2), is per length of the curve."""
    model = train(name, make_events(2000, seed=3), algorithm, epochs)
    training = model.metadata.training
    assert np.mean(training["distance_quantiles"]) < 0.3 * training["plane_distance"]
    test = make_events(500, seed=4)
    t, theta = test.x[:, 0], test.theta[:, 0]
    exact = _log_normal(t, theta, 0.5) - 0.5 * np.log1p((20 * t) ** 2)
    assert np.median(np.abs(_log_prob(model.flow, test) - exact)) < 0.3


@pytest.mark.statistical
@pytest.mark.parametrize(
    "name", [name for name, preset in PRESETS.items() if preset.reference == "lebesgue"]
)
def test_densities_in_the_plane_are_learnt(train, make_events, name):
    """The same with noise: then there is a density per area."""
    flow = train(name, _with_noise(make_events(2000, seed=3), 1)).flow
    test = _with_noise(make_events(500, seed=4), 2)
    t, b, theta = test.x[:, 0], test.x[:, 1], test.theta[:, 0]
    exact = _log_normal(t, theta, 0.5) + _log_normal(b, 10 * t**2, NOISE)
    assert np.median(np.abs(_log_prob(flow, test) - exact)) < 0.3
