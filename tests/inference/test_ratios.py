"""The likelihood ratio of event sets, and what a ratio estimator cannot be asked."""

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import DataError, InputError, ModelMismatchError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, RatioEstimator, build_flow
from lfi_mflow.inference import (
    EventSetLikelihood,
    RatioLikelihood,
    compare_densities,
    event_log_ratios,
    event_scores,
    infer_posterior,
    likelihood_of,
    score_events,
)
from lfi_mflow.simulation import Observable, Parameter, Prior, Uniform

SETTINGS = {"network": {"hidden": 8, "blocks": 1}}
NOISE = 0.7


class GaussianRatio(RatioEstimator):
    """The exact ratio of x ~ N(theta, 0.7^2) to theta = 0, in d dimensions."""

    largest_call = 0

    def standardise_events(self, x):
        return 2 * x

    def log_ratio_standardised(self, z, theta):
        x = z / 2
        terms = ((x * theta) - 0.5 * theta**2) / NOISE**2
        self.largest_call = max(self.largest_call, terms[..., 0].numel())
        return terms.sum(-1)


@pytest.fixture
def gaussian_ratio():
    def make(dim):
        flow = build_flow("alice", Dimensions(dim, dim, dim), SETTINGS)
        flow.__class__ = GaussianRatio
        return flow.double()

    return make


@pytest.fixture
def make_model():
    """A function that makes a small estimator of x0, x1, x2 with random weights."""

    def make(name="nre-c", p=1):
        flow = build_flow(name, Dimensions(3, 3, p), SETTINGS)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        events = EventMetadata(
            tuple(Parameter(f"t{i}", -1.0, 1.0) for i in range(p)),
            tuple(Observable(f"x{i}") for i in range(3)),
        )
        metadata = ModelMetadata(name, Dimensions(3, 3, p), SETTINGS, events, "ab", 100)
        return Model(flow.eval(), metadata)

    return make


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(3, 50, 2))


def exact(x, theta):
    terms = (x[..., None, :, :] * theta[..., :, None, :] - 0.5 * theta[..., :, None, :] ** 2) / 0.49
    return terms.sum((-1, -2))


@pytest.mark.parametrize("max_elements", [1, 7, 49, 120, 10_000])
def test_blocks_change_nothing_and_bound_every_call(gaussian_ratio, x, max_elements):
    flow = gaussian_ratio(2)
    theta = torch.randn(3, 4, 2, dtype=torch.float64)
    ratio = RatioLikelihood(flow, torch.tensor(x), max_elements=max_elements)
    np.testing.assert_allclose(ratio(theta), exact(x, theta.numpy()), rtol=1e-12)
    assert flow.largest_call <= max_elements


def test_it_is_the_sum_over_events(make_model):
    flow = make_model(p=2).flow.double()
    x, theta = torch.randn(30, 3).double(), torch.randn(5, 2).double()
    value = RatioLikelihood(flow, x)(theta)
    one_by_one = [flow.log_ratio(x, point.expand(30, 2)).sum().item() for point in theta]
    np.testing.assert_allclose(value, one_by_one, rtol=1e-12)
    assert not value.requires_grad


@pytest.mark.parametrize("leading", [(), (4,), (4, 3), (0,)])
def test_leading_shapes(gaussian_ratio, x, leading):
    flow = gaussian_ratio(2)
    single, several = (RatioLikelihood(flow, torch.tensor(events)) for events in (x[1], x))
    theta = torch.randn(3, *leading, 2)
    assert several(theta).shape == (3, *leading)
    assert several(theta).dtype == torch.float64
    torch.testing.assert_close(several(theta)[1], single(theta[1]))


def test_events_are_standardised_once(gaussian_ratio, x, monkeypatch):
    flow = gaussian_ratio(2)
    ratio = RatioLikelihood(flow, torch.tensor(x))
    monkeypatch.setattr(flow, "standardise_events", None)
    ratio(torch.zeros(3, 2))


def test_gradient_in_theta(gaussian_ratio, x):
    ratio = RatioLikelihood(gaussian_ratio(2), torch.tensor(x[0]), max_elements=64)
    theta = torch.tensor([[0.1, -0.4], [0.3, 0.2]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(ratio(theta).sum(), theta)
    np.testing.assert_allclose(gradient, (x[0].sum(0) - 50 * theta.detach().numpy()) / 0.49)


def test_float32_terms_are_added_up_in_float64(gaussian_ratio):
    x = np.random.default_rng(0).normal(size=(1_000_000, 1)).astype(np.float32)
    theta = torch.tensor([[-0.002], [0.003]])
    ratio = RatioLikelihood(gaussian_ratio(1).float(), torch.tensor(x))
    difference = np.diff(exact(x.astype(np.float64), theta.double().numpy())).item()
    assert abs(ratio(theta).diff().item() - difference) < 1e-3


def test_wrong_events_are_refused(gaussian_ratio, x):
    flow = gaussian_ratio(2)
    with pytest.raises(InputError, match=r"shape \(50, 3\)"):
        RatioLikelihood(flow, torch.zeros(50, 3))
    with pytest.raises(InputError, match="theta of shape"):
        RatioLikelihood(flow, torch.tensor(x))(torch.zeros(2, 2))
    events = torch.tensor(x)
    events[1, 17, 0] = torch.nan
    with pytest.raises(DataError, match=r"1 of 150 with NaN .* row 67"):
        RatioLikelihood(flow, events)


def test_the_model_decides_which_likelihood_it_is(make_model):
    x = torch.zeros(4, 3)
    assert isinstance(likelihood_of(make_model().flow, x), RatioLikelihood)
    density = build_flow("m-flow", Dimensions(3, 2, 1), {})
    assert isinstance(likelihood_of(density, x), EventSetLikelihood)
    with pytest.raises(ModelMismatchError, match=r"a ratio estimator, found .*ManifoldFlow"):
        RatioLikelihood(density, x)


def test_an_absolute_density_is_refused(make_model):
    model = make_model()
    flow, x, theta = model.flow, torch.zeros(4, 3), torch.zeros(4, 1)
    match = r"a model with a density of events, found one without \(RatioEstimator\)"
    with pytest.raises(ModelMismatchError, match=match):
        flow.log_prob(x, theta)
    with pytest.raises(ModelMismatchError, match=match):
        EventSetLikelihood(flow, x)
    with pytest.raises(ModelMismatchError, match="densities that refer to one measure"):
        compare_densities({"one": flow}, x, theta)
    with pytest.raises(ModelMismatchError, match=r"a model with an encoder, found one without"):
        score_events(model, x.numpy(), theta.numpy())


def test_summaries_of_events(gaussian_ratio, x):
    """Ratios of two parameter points and scores are those of the likelihood."""
    flow, theta, reference = gaussian_ratio(2), np.array([0.3, -1.2]), np.array([-0.5, 0.4])
    ratios = event_log_ratios(flow, x[0], theta, reference)
    expected = (((x[0] - reference) ** 2).sum(1) - ((x[0] - theta) ** 2).sum(1)) / (2 * 0.49)
    np.testing.assert_allclose(ratios, expected, atol=1e-12)
    np.testing.assert_allclose(event_scores(flow, x[0], theta), (x[0] - theta) / 0.49, atol=1e-12)


@pytest.mark.parametrize("method", ["grid", "mcmc"])
def test_a_posterior_needs_no_density(make_model, method):
    """It is ratio times prior, and there is no manifold to be off."""
    model, x = make_model(), np.random.default_rng(2).normal(size=(30, 3))
    theta = torch.linspace(-1, 1, 2001, dtype=torch.float64).unsqueeze(-1)
    log_ratio = RatioLikelihood(model.flow, torch.as_tensor(x, dtype=torch.float32))(theta)
    density = (log_ratio - log_ratio.max()).exp()
    mean = float((density * theta[:, 0]).sum() / density.sum())
    posterior = infer_posterior(model, x, prior=Prior((Uniform(-1.0, 1.0),)), method=method, seed=1)
    assert posterior.statistics["t0"]["mean"] == pytest.approx(mean, abs=0.03)
    assert posterior.method == method
    summary = posterior.summary()
    assert summary["off_manifold_p_value"] is None
    assert posterior.data.observables == ("x0", "x1", "x2")
