"""Likelihoods of flows whose chart depends on theta."""

import dataclasses

import numpy as np
import pytest
import torch

from lfi_mflow.errors import InputError, ModelMismatchError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.inference import (
    EventSetLikelihood,
    MovingManifoldLikelihood,
    infer_posterior,
    likelihood_of,
    score_events,
)
from lfi_mflow.inference.sbi import as_sbi_estimator
from lfi_mflow.simulation import Prior, Uniform

SMALL = {
    "chart": {"layers": 2, "bins": 4, "bound": 4.0, "hidden": 8, "blocks": 1},
    "latent": {"transforms": 1, "bins": 4, "hidden": 8, "components": 2},
}
PRIOR = Prior((Uniform(-1.0, 1.0),))


def _flow(name, conditional):
    settings = {**SMALL, "conditional_chart": conditional}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        flow = build_flow(name, Dimensions(3, 2, 1), settings).double().eval()
        with torch.no_grad():
            for weight in flow.parameters():
                weight.add_(0.2 * torch.randn(weight.shape))
    return flow


@pytest.fixture
def flow():
    return _flow("m-flow", conditional=True)


@pytest.fixture
def x():
    return torch.tensor(np.random.default_rng(2).normal(size=(12, 3)))


@pytest.mark.parametrize("max_elements", [1, 7, 5000])
def test_it_is_the_sum_over_events(flow, x, max_elements):
    theta = torch.linspace(-1, 1, 6).double().reshape(2, 3, 1)
    found = MovingManifoldLikelihood(flow, x, max_elements=max_elements)(theta)
    exact = [flow.log_prob(x, t.expand(12, 1)).sum() for t in theta.reshape(6, 1)]
    torch.testing.assert_close(found, torch.stack(exact).reshape(2, 3).detach())


def test_several_sets_at_once(flow, x):
    sets, theta = x.reshape(3, 4, 3), torch.linspace(-1, 1, 15).double().reshape(3, 5, 1)
    found = MovingManifoldLikelihood(flow, sets)(theta)
    for one, points, values in zip(sets, theta, found, strict=True):
        torch.testing.assert_close(MovingManifoldLikelihood(flow, one)(points), values)


def test_it_is_differentiable(flow, x):
    theta = torch.tensor([[0.3]]).double().requires_grad_()
    (slope,) = torch.autograd.grad(MovingManifoldLikelihood(flow, x)(theta).sum(), theta)
    with torch.no_grad():
        up, down = (MovingManifoldLikelihood(flow, x)(theta + h) for h in (1e-5, -1e-5))
    assert slope.item() == pytest.approx(((up - down) / 2e-5).item(), rel=1e-5)


def test_a_fixed_chart_needs_none_of_it(x):
    fixed = _flow("m-flow", conditional=False)
    theta = torch.linspace(-1, 1, 5).double()[:, None]
    likelihood = likelihood_of(fixed, x)
    assert isinstance(likelihood, EventSetLikelihood)
    torch.testing.assert_close(likelihood(theta), MovingManifoldLikelihood(fixed, x)(theta))


def test_densities_on_different_manifolds_are_compared_on_request_only(flow, x):
    with pytest.raises(ModelMismatchError, match=r"have no likelihood ratio.*--moving-manifold"):
        likelihood_of(flow, x)
    assert isinstance(likelihood_of(flow, x, moving_manifold=True), MovingManifoldLikelihood)
    # densities of the whole space are comparable, wherever the manifold is
    around = _flow("pie-original", conditional=True)
    assert isinstance(likelihood_of(around, x), MovingManifoldLikelihood)
    with pytest.raises(ModelMismatchError, match="does not depend on theta"):
        as_sbi_estimator(flow)


@pytest.mark.parametrize("method", ["grid", "mcmc"])
def test_posteriors_and_distances_at_their_mean(make_model, flow, x, method):
    model = dataclasses.replace(make_model(), flow=flow)
    with pytest.raises(ModelMismatchError, match="no likelihood ratio"):
        infer_posterior(model, x.numpy(), prior=PRIOR)
    posterior = infer_posterior(model, x.numpy(), prior=PRIOR, method=method, moving_manifold=True)
    theta = torch.linspace(-1, 1, 401).double()[:, None]
    density = MovingManifoldLikelihood(flow, x)(theta).softmax(0)
    mean = (density * theta[:, 0]).sum().item()
    assert posterior.summary()["parameters"]["theta"]["mean"] == pytest.approx(mean, abs=0.03)
    quantiles = model.metadata.training["distance_quantiles"]
    distance = flow.reconstruction_error(x, torch.full((12, 1), mean).double())
    ratio = distance.median().item() / quantiles[500]
    assert posterior.data.distance_ratio == pytest.approx(ratio, rel=0.1)


def test_scores_need_theta(make_model, flow, x):
    model = dataclasses.replace(make_model(), flow=flow)
    scores = score_events(model, x.numpy(), [0.4])
    theta = torch.full((12, 1), 0.4).double()
    np.testing.assert_allclose(scores.projection, flow.project(x, theta).detach(), rtol=1e-6)
    np.testing.assert_allclose(scores.log_prob, flow.log_prob(x, theta).detach(), rtol=1e-6)
    with pytest.raises(InputError, match="give theta with the events"):
        score_events(model, x.numpy())


def test_a_model_without_a_density_has_no_posterior(make_model, x):
    vae = build_flow("vae", Dimensions(3, 2, 1), {"latent": SMALL["latent"]}).eval()
    model = dataclasses.replace(make_model(), flow=vae)
    with pytest.raises(ModelMismatchError, match="a model with a density of events"):
        infer_posterior(model, x.numpy(), prior=PRIOR)
    with pytest.raises(ModelMismatchError, match="a model with a density of events"):
        as_sbi_estimator(vae)
    scores = score_events(model, x.numpy(), [0.4])  # it has projections
    assert scores.log_prob is None
    assert scores.distance.shape == (12,)
