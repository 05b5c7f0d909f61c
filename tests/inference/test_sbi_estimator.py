"""The sbi adapter: values, what is computed once, and sbi's posteriors against the grid."""

import pickle
import subprocess
import sys

import pytest
import torch
from sbi.inference import RejectionPosterior, likelihood_estimator_based_potential
from sbi.utils import BoxUniform

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.inference import EventSetLikelihood, grid_posterior, log_posterior
from lfi_mflow.inference.sbi_estimator import as_sbi_estimator
from lfi_mflow.simulation import Prior, Uniform

SETTINGS = {"chart": {"hidden": 8, "layers": 1, "blocks": 1}, "latent": {"transforms": 1}}


@pytest.fixture(autouse=True)
def _seed():
    """Weights are drawn, and sbi draws, from the global generator only."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        yield


@pytest.fixture
def make_flow():
    """A function that makes an M-flow whose chart and latent density are far from trivial."""

    @torch.no_grad()
    def make(p=2, dtype=torch.float64):
        flow = build_flow("m-flow", Dimensions(data=3, latent=2, theta=p), SETTINGS)
        for weight in flow.parameters():
            weight.add_(0.2 * torch.randn(weight.shape))
        flow.standardisation.scale.copy_(torch.logspace(-1, 1, 3))
        flow.latent.theta_scale.fill_(0.3)  # so that ten events say something about theta
        return flow.to(dtype).eval()

    return make


@pytest.fixture
def flow(make_flow):
    return make_flow()


def make_potential(estimator, x, p=1):
    prior = BoxUniform(-torch.ones(p), torch.ones(p))
    return likelihood_estimator_based_potential(estimator, prior, x)[0], prior


def test_the_inference_room_does_not_import_sbi():
    code = "import lfi_mflow.inference, sys; sys.exit('sbi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("max_elements", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    ("x_shape", "theta_shape", "shape"),
    [
        ((5, 4), (4,), (5, 4)),
        ((4,), (4,), (1, 4)),
        ((5, 1), (4,), (5, 4)),
        ((5, 4), (1,), (5, 4)),
        ((5, 4), (5, 4), (5, 4)),
        ((1, 4), (1,), (1, 4)),
    ],
)
def test_values_are_those_of_the_flow(flow, x_shape, theta_shape, shape, max_elements):
    x = torch.randn(*x_shape, 3, dtype=torch.float64)
    theta = torch.randn(*theta_shape, 2, dtype=torch.float64)
    found = as_sbi_estimator(flow, max_elements=max_elements).log_prob(x, theta)
    wanted = flow.log_prob(
        x.expand(*shape, 3).reshape(-1, 3), theta.expand(*shape, 2).reshape(-1, 2)
    )
    assert found.shape == shape
    torch.testing.assert_close(found, wanted.reshape(shape), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("events", [1, 4])
def test_every_event_meets_every_theta(flow, events):
    x = torch.randn(events, 1, 3, dtype=torch.float64).expand(-1, 6, -1)  # as sbi expands it
    theta = torch.randn(6, 2, dtype=torch.float64)
    found = as_sbi_estimator(flow, max_elements=4).log_prob(x, theta)
    for column in range(6):
        wanted = flow.log_prob(x[:, column], theta[column].expand(events, 2))
        torch.testing.assert_close(found[:, column], wanted)


def test_the_loss_is_one_number_per_event(flow):
    x, theta = torch.randn(6, 3), torch.randn(6, 2)
    loss = as_sbi_estimator(flow).loss(x, theta)
    assert loss.shape == (6,)
    torch.testing.assert_close(loss, -flow.log_prob(x.double(), theta.double()))


def test_draws_belong_to_their_theta(flow):
    estimator, theta = as_sbi_estimator(flow), torch.randn(5, 2)
    draws = estimator.sample((4, 2), theta, generator=torch.Generator().manual_seed(1))
    rows = theta.double().repeat(8, 1)
    wanted = flow.sample(rows, torch.Generator().manual_seed(1)).reshape(4, 2, 5, 3)
    torch.testing.assert_close(draws, wanted)
    assert estimator.sample((), theta).shape == (5, 3)
    draws, log_prob = estimator.sample_and_log_prob((7,), theta)
    assert (draws.shape, log_prob.shape) == ((7, 5, 3), (7, 5))


@pytest.fixture
def counted(flow, monkeypatch):
    """An estimator, and the list of the numbers of events that it encoded."""
    estimator, rows = as_sbi_estimator(flow), []
    encode = estimator.net.encode_events
    monkeypatch.setattr(estimator.net, "encode_events", lambda x: rows.append(len(x)) or encode(x))
    return estimator, rows


@pytest.mark.parametrize("track_gradients", [True, False])
def test_observed_events_are_encoded_once(counted, flow, track_gradients):
    estimator, rows = counted
    potential, prior = make_potential(estimator, torch.randn(10, 3), p=2)
    for thetas in (50, 1, 20):
        potential(prior.sample((thetas,)), track_gradients=track_gradients)
    assert rows == [10]
    other, theta = torch.randn(10, 3), prior.sample((3,))
    potential.set_x(other)
    found = potential(theta) - prior.log_prob(theta)
    assert rows == [10, 10]
    torch.testing.assert_close(found, EventSetLikelihood(flow, other.double())(theta))


def test_new_weights_are_noticed(counted, make_flow):
    estimator, rows = counted
    x, theta, other = torch.randn(6, 3), torch.randn(6, 2), make_flow()
    estimator.log_prob(x, theta)
    estimator.net.load_state_dict(other.state_dict())
    found = estimator.log_prob(x, theta)[0]
    torch.testing.assert_close(found, other.log_prob(x.double(), theta.double()))
    assert rows == [6, 6]
    estimator.to(torch.float32)
    assert estimator.log_prob(x, theta).shape == (1, 6)
    assert rows == [6, 6, 6]


def test_blocks_bound_the_memory(gaussian_flow):
    estimator = as_sbi_estimator(gaussian_flow(1), max_elements=100)
    potential, prior = make_potential(estimator, torch.randn(30, 1))
    potential(prior.sample((400,)))
    assert 50 < estimator.net.largest_call <= 100


def test_many_events_are_added_up_in_double_precision(gaussian_flow):
    x = 50.0 + torch.randn(200_000, 1)
    single = gaussian_flow(1)
    potential, prior = make_potential(as_sbi_estimator(single), x)
    theta = torch.tensor([[-0.5], [0.0], [0.5]])
    with torch.no_grad():
        found = potential(theta) - prior.log_prob(theta)
        terms = [single.log_prob(x, row.expand_as(x)) for row in theta]
        exact = torch.stack([term.double().sum() for term in terms])
        naive = torch.stack([term.sum() for term in terms])
    # up to a constant: chart and latent density round the terms one by one
    wrong, naively = ((values - exact) - (values - exact)[0] for values in (found, naive))
    assert wrong.abs().max() < 1e-2
    assert naively.abs().max() > 1.0  # what sbi would have done with float32 terms


def test_gradients_are_those_of_the_flow(flow):
    estimator = as_sbi_estimator(flow)
    x = torch.randn(6, 3, dtype=torch.float64)
    theta = torch.randn(6, 2, dtype=torch.float64, requires_grad=True)
    (wanted,) = torch.autograd.grad(flow.log_prob(x, theta).sum(), theta)
    (found,) = torch.autograd.grad(estimator.log_prob(x, theta).sum(), theta)
    torch.testing.assert_close(found, wanted)
    x.requires_grad_(True)  # known events, but now they are differentiated
    (wanted,) = torch.autograd.grad(flow.log_prob(x, theta).sum(), x)
    (found,) = torch.autograd.grad(estimator.log_prob(x, theta).sum(), x)
    torch.testing.assert_close(found, wanted)


def test_training_can_go_on_once_asked_for(flow):
    estimator = as_sbi_estimator(flow)
    x, theta = torch.randn(6, 3, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    assert not estimator.loss(x, theta).requires_grad
    estimator.requires_grad_(True)
    estimator.loss(x, theta).sum().backward()
    (-flow.log_prob(x, theta)).sum().backward()
    wanted = {name: weight.grad for name, weight in flow.named_parameters()}
    assert any(name.startswith("chart") and grad.any() for name, grad in wanted.items())
    for name, weight in estimator.net.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name])


def test_the_flow_of_the_user_stays_as_it_is(flow):
    flow.train()
    estimator = as_sbi_estimator(flow)
    estimator.to(torch.float32)
    weights = list(flow.parameters())
    assert flow.training
    assert not estimator.training
    assert all(weight.requires_grad and weight.dtype == torch.float64 for weight in weights)


def test_it_survives_pickling(flow):
    estimator, x, theta = as_sbi_estimator(flow), torch.randn(6, 3), torch.randn(6, 2)
    wanted = estimator.log_prob(x, theta)
    again = pickle.loads(pickle.dumps(estimator))
    torch.testing.assert_close(again.log_prob(x, theta), wanted)
    torch.testing.assert_close(again.log_prob(x + 1, theta), estimator.log_prob(x + 1, theta))


def test_what_does_not_fit_is_refused(flow):
    estimator = as_sbi_estimator(flow)
    with pytest.raises(ValueError, match="input"):
        estimator.log_prob(torch.zeros(4, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="condition"):
        estimator.log_prob(torch.zeros(4, 3), torch.zeros(4, 1))
    with pytest.raises(ValueError, match="condition"):
        estimator.sample((2,), torch.zeros(4, 3))
    with pytest.raises(InputError, match="at least one event"):
        estimator.log_prob(torch.zeros(4, 1, 3), torch.zeros(0, 2))
    x = torch.zeros(4, 3)
    x[2, 1] = torch.nan
    with pytest.raises(DataError, match="row 2"):
        estimator.log_prob(x, torch.zeros(4, 2))


@pytest.fixture
def observed(make_flow):
    """A flow of one parameter, ten of its events at theta = 0.3, and the grid posterior."""
    flow = make_flow(p=1, dtype=torch.float32)
    with torch.no_grad():
        x = flow.sample(torch.full((10, 1), 0.3))
    prior = Prior((Uniform(-1.0, 1.0),))
    return flow, x, grid_posterior(log_posterior(EventSetLikelihood(flow, x), prior), prior)


def test_the_potential_of_sbi_is_the_posterior_of_the_grid(observed):
    flow, x, grid = observed
    potential, _ = make_potential(as_sbi_estimator(flow), x)
    theta = torch.linspace(-1.0, 1.0, 4001)[:-1] + 0.00025  # the middles of 4000 bins
    density = potential(theta.unsqueeze(-1), track_gradients=False)
    weight = (density - density.max()).exp()
    weight /= weight.sum()
    mean = (weight * theta).sum()
    sd = (weight * (theta - mean) ** 2).sum().sqrt()
    assert grid.sd.item() < 0.45  # the prior alone has 0.58
    assert mean.item() == pytest.approx(grid.mean.item(), abs=2e-3 * grid.sd.item())
    assert sd.item() == pytest.approx(grid.sd.item(), rel=2e-3)


@pytest.mark.statistical
def test_draws_of_sbi_follow_the_posterior_of_the_grid(observed):
    """Mean and sd within 4 standard errors; 3000 independent draws."""
    flow, x, grid = observed
    potential, prior = make_potential(as_sbi_estimator(flow), x)
    posterior = RejectionPosterior(potential, prior, num_iter_to_find_max=20)
    draws = posterior.sample((3000,), x=x, show_progress_bars=False).double()
    sd = grid.sd.item()
    assert draws.mean().item() == pytest.approx(grid.mean.item(), abs=4 * sd / 3000**0.5)
    assert draws.std().item() == pytest.approx(sd, abs=4 * sd / 6000**0.5)
