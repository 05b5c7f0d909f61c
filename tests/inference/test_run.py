"""From model and events to posterior in one call."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import ConfigError, DataError, InputError, ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, build_flow
from lfi_mflow.inference import EventSetLikelihood, infer_posterior
from lfi_mflow.simulation import Observable, Parameter, Prior, Uniform

SETTINGS = {"chart": {"hidden": 8, "layers": 1, "blocks": 1}, "latent": {"transforms": 1}}


def make_model(p: int) -> Model:
    """Return a flow with random weights, so that its density depends on theta."""
    dimensions = Dimensions(data=3, latent=2, theta=p)
    with torch.random.fork_rng():
        torch.manual_seed(4)
        flow = build_flow("m-flow", dimensions, SETTINGS)
        for weight in flow.latent.parameters():
            torch.nn.init.normal_(weight, std=0.3)
    events = EventMetadata(
        tuple(Parameter(f"t{i}", -1.0, 1.0) for i in range(p)),
        tuple(Observable(f"x{i}") for i in range(3)),
    )
    training = {
        "distance_quantiles": np.linspace(0.0, 9.0, 1001).tolist(),
        "n_validation": 500,
    }
    metadata = ModelMetadata("m-flow", dimensions, SETTINGS, events, "", 5000, training)
    return Model(flow.eval(), metadata)


@pytest.fixture(scope="module")
def model():
    return make_model(1)


@pytest.fixture
def x():
    return np.random.default_rng(2).normal(size=(30, 3))


def box(p: int) -> Prior:
    return Prior((Uniform(-1.0, 1.0),) * p)


@pytest.mark.parametrize("method", ["grid", "mcmc"])
def test_it_is_likelihood_times_prior(model, x, method):
    theta = torch.linspace(-1, 1, 2001, dtype=torch.float64).unsqueeze(-1)
    likelihood = EventSetLikelihood(model.flow, torch.as_tensor(x, dtype=torch.float32))
    log_density = likelihood(theta)
    density = (log_density - log_density.max()).exp()
    density /= density.sum()
    mean = float((density * theta[:, 0]).sum())
    sd = float((density * (theta[:, 0] - mean) ** 2).sum().sqrt())
    assert sd < 0.55  # narrower than the prior: the events say something

    row = infer_posterior(model, x, prior=box(1), method=method).summary()["parameters"]["t0"]
    tolerance = 1e-3 if method == "grid" else 4 * sd / row["ess"] ** 0.5
    assert row["mean"] == pytest.approx(mean, abs=tolerance)
    assert row["sd"] == pytest.approx(sd, abs=tolerance)


def test_equal_seeds_give_equal_draws(model, x):
    draws = [infer_posterior(model, x, prior=box(1), seed=seed).draws for seed in (1, 1, 2)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_events_far_off_are_named(model, x):
    near = infer_posterior(model, x, prior=box(1), method="grid")
    x[5] *= 1e3
    far = infer_posterior(model, x, prior=box(1), method="grid")
    assert near.off_manifold_p_value > 0.01 > far.off_manifold_p_value
    assert 5 in far.data.off_manifold_events


def test_without_reference_distances_nothing_is_tested(model, x):
    bare = Model(model.flow, dataclasses.replace(model.metadata, training={}))
    posterior = infer_posterior(bare, x, prior=box(1), method="grid")
    assert posterior.off_manifold_p_value is None


def test_double_precision_events_suit_a_single_precision_flow(model, x):
    posterior = infer_posterior(model, x.astype(np.float64), prior=box(1), method="grid")
    assert posterior.observed.shape == x.shape


def test_three_parameters_need_chains(x):
    model = make_model(3)
    with pytest.raises(ConfigError, match="mcmc"):
        infer_posterior(model, x, prior=box(3), method="grid")
    assert infer_posterior(model, x[:3], prior=box(3)).draws.shape[-1] == 3


def test_events_that_do_not_fit_are_refused(model, x):
    with pytest.raises(InputError, match="one column per observable"):
        infer_posterior(model, x[:, :2], prior=box(1))
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="row 3"):
        infer_posterior(model, x, prior=box(1))


def test_by_the_gradient(model, x):
    chains = infer_posterior(model, x, prior=box(1), method="hmc")
    exact = infer_posterior(model, x, prior=box(1), method="grid").statistics["t0"]
    row = chains.statistics["t0"]
    assert chains.method == "hmc"
    assert row["mean"] == pytest.approx(exact["mean"], abs=4 * exact["sd"] / row["ess"] ** 0.5)
    assert chains.diverging.shape == chains.log_prob.shape
    assert chains.sampler["divergences"] == chains.diverging.sum()


def test_known_parameters_are_not_inferred(x):
    model = make_model(2)
    known = {"t1": np.full(len(x), 0.4)}
    posterior = infer_posterior(model, x, prior=box(1), method="grid", known=known)
    assert posterior.parameters == ("t0",)
    with pytest.raises(ModelMismatchError, match="conditions among the model's parameters t0, t1"):
        infer_posterior(model, x, prior=box(1), known={"t7": np.zeros(len(x))})
    with pytest.raises(ModelMismatchError, match="one whose parameters are all known"):
        infer_posterior(model, x, prior=box(1), known=known | {"t0": np.zeros(len(x))})
