"""Every preset learns a parabola by its default algorithm, and m-flow by all that are stable."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.flows import PRESETS
from lfi_mflow.simulation import Events, Observable, Parameter
from lfi_mflow.training import RunConfig, train_model

NETWORK = {"hidden": 16, "blocks": 1}
CHART = {**NETWORK, "layers": 2, "bins": 5}
NOISE = 2.0  # of the second observable, whose spread is about 6
PARTS = {
    "af": {},
    "m-flow": {"chart": CHART},
    "me-flow": {"chart": CHART, "encoder": NETWORK},
    "pae": {"encoder": NETWORK, "decoder": NETWORK},
    "fif": {"encoder": NETWORK, "decoder": NETWORK},
    "rf": {"chart": CHART},
    "cef": {},
    "hypersurface": {"radius": NETWORK},
    "vq-flow": {"quantiser": {**NETWORK, "charts": 2}, "chart": {**CHART, "hidden": 16}},
    "rif": {"encoder": NETWORK, "decoder": NETWORK},
    "pie": {"chart": CHART, "epsilon": 0.3},
    "pie-original": {"chart": CHART, "epsilon": 0.3},
    "vae": {"encoder": NETWORK, "decoder": NETWORK},
    "gan": {"decoder": NETWORK, "discriminator": NETWORK},
}
# what is learnt of a parabola: not by a model of closed manifolds, nor by ratios, nor by one
# whose densities are quadratic in theta (see test_tilted.py)
OTHERS = {"fom", "cef", "hypersurface", "mr-flow"}
LEARNT = [name for name in PRESETS if name not in OTHERS and PRESETS[name].reference != "ratio"]
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

    def run(name, events, algorithm=None, epochs=30, about=None):
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
        return train_model(write(events, **({} if about is None else {"about": about})), config)

    return run


def _log_prob(flow, events):
    x, theta = (torch.from_numpy(values).float() for values in (events.x, events.theta))
    with torch.no_grad():
        return flow.log_prob(x, theta).double().numpy()


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "algorithm", "epochs"),
    [("m-flow", "alternating", 30), ("m-flow", "penalised", 12)]
    + [("fif", "nae", 30), ("rf", "rectangular", 12)]
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
@pytest.mark.parametrize("name", ["rif", "vae"])
def test_manifolds_without_a_density_are_learnt(train, make_events, name):
    training = train(name, make_events(2000, seed=3), epochs=20).metadata.training
    assert np.mean(training["distance_quantiles"]) < 0.5 * training["plane_distance"]


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("name", "algorithm", "epochs"), [("gan", None, 40), ("m-flow", "transport", 10)]
)
def test_generators_learn_to_generate(train, make_events, name, algorithm, epochs):
    """Samples lie near the parabola, and follow theta along it."""
    flow = train(name, make_events(2000, seed=3), algorithm, epochs).flow
    theta = torch.linspace(-1, 1, 500)[:, None]
    with torch.no_grad():
        x = flow.sample(theta, torch.Generator().manual_seed(0)).double().numpy()
    spread = make_events(2000, seed=3).x[:, 1].std()
    assert np.median(np.abs(x[:, 1] - 10 * x[:, 0] ** 2)) < 0.3 * spread
    assert np.corrcoef(x[:, 0], theta[:, 0])[0, 1] > 0.5


@pytest.mark.statistical
def test_the_joint_score_helps(train, make_events):
    """Where there are few events, it is what they do not say of the dependence on theta."""
    drawn = make_events(300, seed=3)
    # t ~ N(theta, 0.5^2), and nothing is hidden: the joint score is the score
    score = (drawn.x[:, :1] - drawn.theta) / 0.25
    with_score = Events(drawn.theta, drawn.x, score=score)
    test = make_events(500, seed=4)
    exact = (test.x[:, :1] - test.theta) / 0.25
    errors = {}
    for algorithm, events in (("sequential", drawn), ("scandal", with_score)):
        flow = train("m-flow", events, algorithm, epochs=90).flow
        theta = torch.from_numpy(test.theta).float().requires_grad_()
        log_prob = flow.log_prob(torch.from_numpy(test.x).float(), theta).sum()
        score = torch.autograd.grad(log_prob, theta)[0].double().numpy()
        errors[algorithm] = np.mean(np.abs(score - exact))
    assert errors["scandal"] < 0.7 * errors["sequential"]


def test_scandal_without_a_score_is_refused(write, make_events):
    config = RunConfig(model="m-flow", algorithm="scandal")
    with pytest.raises(DataError, match=r"a joint score in .*events.h5.*found none.*score=true"):
        train_model(write(make_events(100)), config)


def test_transport_with_too_few_events_is_refused(write, make_events):
    config = RunConfig(model="m-flow", algorithm="transport")
    with pytest.raises(ConfigError, match=r"at least 100 training events.*'transport', found 90"):
        train_model(write(make_events(100)), config)


@pytest.mark.statistical
@pytest.mark.parametrize("name", [name for name in LEARNT if PRESETS[name].reference == "lebesgue"])
def test_densities_in_the_plane_are_learnt(train, make_events, name):
    """The same with noise: then there is a density per area."""
    flow = train(name, _with_noise(make_events(2000, seed=3), 1)).flow
    test = _with_noise(make_events(500, seed=4), 2)
    t, b, theta = test.x[:, 0], test.x[:, 1], test.theta[:, 0]
    exact = _log_normal(t, theta, 0.5) + _log_normal(b, 10 * t**2, NOISE)
    assert np.median(np.abs(_log_prob(flow, test) - exact)) < 0.3


def test_a_circle_that_is_known(write):
    """Nothing but the density on it is left to learn."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(-1, 1, (2000, 1))
    angle = theta[:, 0] + 0.5 * rng.normal(size=2000)
    x = 3.0 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    settings = {"manifold": "sphere", "radius": 3.0, "latent": LATENT}
    config = RunConfig(model="fom", settings=settings).with_epochs(15)
    model = train_model(write(Events(theta, x)), config)
    assert max(model.metadata.training["distance_quantiles"]) < 1e-5
    # per length of the circle, for angles far from the border of the chart
    near = np.abs(angle) < 2
    exact = _log_normal(angle, theta[:, 0], 0.5) - np.log(3.0)
    error = _log_prob(model.flow, Events(theta, x)) - exact
    assert np.median(np.abs(error[near])) < 0.15


def _on_a_sphere(n, seed, *, d, kappa=6.0):
    """Events of von Mises-Fisher distributions around (cos theta, sin theta), and log-densities.

    Centre and radius are not those of a model that knows nothing.
    """
    rng, radius = np.random.default_rng(seed), 3.0
    theta = rng.uniform(-1, 1, (n, 1))
    if d == 2:
        angle = theta[:, 0] + rng.vonmises(0, kappa, n)
        x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        normalisation = np.log(2 * np.pi * np.i0(kappa))
        along = np.cos(angle - theta[:, 0])
    else:
        along = 1 + np.log1p(rng.uniform(size=n) * np.expm1(-2 * kappa)) / kappa
        turn, across = rng.uniform(0, 2 * np.pi, n), np.sqrt(1 - along**2)
        cosine, sine = np.cos(theta[:, 0]), np.sin(theta[:, 0])
        side = across * np.cos(turn)
        x = [along * cosine - side * sine, along * sine + side * cosine, across * np.sin(turn)]
        x = np.stack(x, axis=1)
        normalisation = np.log(4 * np.pi * np.sinh(kappa) / kappa)
    log_prob = kappa * along - normalisation - (d - 1) * np.log(radius)
    return Events(theta, radius * x + np.array([1.0, -2.0, 0.5])[:d]), log_prob


@pytest.mark.statistical
@pytest.mark.parametrize("d", [2, 3])
@pytest.mark.parametrize("name", ["cef", "hypersurface"])
def test_circles_and_spheres_are_found_and_the_density_on_them_learnt(train, name, d):
    about = EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0),),
        observables=tuple(Observable(f"x{i}", "cm") for i in range(d)),
        manifold_dim=d - 1,
    )
    model = train(name, _on_a_sphere(2000, 3, d=d)[0], epochs=24, about=about)
    training = model.metadata.training
    assert np.mean(training["distance_quantiles"]) < 0.05 * training["plane_distance"]
    test, exact = _on_a_sphere(500, 4, d=d)
    assert np.median(np.abs(_log_prob(model.flow, test) - exact)) < 0.25
