"""An M-flow trained in a script of sbi: what is trained where, and the posteriors of sbi."""

import numpy as np
import pytest
import torch
from sbi.inference import NLE
from sbi.inference.posteriors import (
    MCMCPosteriorParameters,
    RejectionPosteriorParameters,
    VIPosteriorParameters,
)
from sbi.utils import BoxUniform
from scipy import stats

from lfi_mflow.errors import ConfigError, DataError, ModelMismatchError, UnknownNameError
from lfi_mflow.inference import EventSetLikelihood, grid_posterior, log_posterior
from lfi_mflow.inference.sbi import mflow
from lfi_mflow.simulation import Prior, Uniform
from lfi_mflow.training import Phase

WIDTH, EVENTS = 0.5, 8
SMALL = {
    "chart": {"hidden": 16, "layers": 2, "blocks": 1},
    "latent": {"transforms": 1, "bins": 4, "hidden": 16, "components": 1},
}
CHART = (Phase("chart", "reconstruction", 12, 200, 2e-2),)


def arc(theta):
    """Events on an arc in R^3, at t ~ N(theta, WIDTH^2): (N, 1) -> (N, 3)."""
    t = theta[:, 0] + WIDTH * torch.randn(len(theta))
    return torch.stack([t, 0.3 * t**2, torch.sin(t)], dim=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer of sbi that has trained an M-flow, and its estimator."""
    with torch.random.fork_rng(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sbi"))  # sbi logs to the working directory
        torch.manual_seed(11)
        prior = BoxUniform(-torch.ones(1), torch.ones(1))
        theta = prior.sample((3000,))
        build = mflow(1, settings=SMALL, phases=CHART)
        inference = NLE(prior, density_estimator=build, show_progress_bars=False)
        inference.append_simulations(theta, arc(theta))
        estimator = inference.train(
            training_batch_size=300, learning_rate=5e-3, stop_after_epochs=5
        )
    return inference, estimator


@pytest.fixture(scope="module")
def observed():
    """Events at theta = 0.2, and mean and sd of their exact posterior."""
    with torch.random.fork_rng():
        torch.manual_seed(12)
        x = arc(torch.full((EVENTS, 1), 0.2))
    mean, sd = x[:, 0].mean().item(), WIDTH / EVENTS**0.5
    exact = stats.truncnorm((-1 - mean) / sd, (1 - mean) / sd, mean, sd)
    return x, exact.mean(), exact.std()


def test_the_manifold_is_learned_before_the_loop_of_sbi(trained, observed):
    _, estimator = trained
    flow, (x, _, _) = estimator.net, observed
    assert flow.reconstruction_error(x).mean() < 0.03  # the arc is 0.3 wide off its chord
    trains = {name.split(".")[0] for name, w in flow.named_parameters() if w.requires_grad}
    assert trains == {"latent"}


def test_the_grid_of_this_package_agrees_with_the_exact_posterior(trained, observed):
    _, estimator = trained
    x, mean, sd = observed
    prior = Prior((Uniform(-1.0, 1.0),))
    grid = grid_posterior(log_posterior(EventSetLikelihood(estimator.net, x), prior), prior)
    assert grid.mean.item() == pytest.approx(mean, abs=0.25 * sd)
    assert grid.sd.item() == pytest.approx(sd, rel=0.15)


@pytest.mark.parametrize(
    ("sample_with", "parameters"),
    [
        ("rejection", RejectionPosteriorParameters(num_iter_to_find_max=10)),
        ("mcmc", MCMCPosteriorParameters(num_chains=20, warmup_steps=20, init_strategy="proposal")),
        ("vi", VIPosteriorParameters(q="gaussian")),
    ],
)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # sbi's own
@pytest.mark.statistical
def test_the_posteriors_of_sbi_agree_with_the_exact_one(trained, observed, sample_with, parameters):
    """Within a quarter of the width; 1000 draws, less if correlated, leave a twentieth."""
    inference, _ = trained
    x, mean, sd = observed
    torch.manual_seed(13)
    np.random.seed(13)  # sbi's slice sampler draws from numpy's global generator
    posterior = inference.build_posterior(sample_with=sample_with, posterior_parameters=parameters)
    posterior.set_default_x(x)
    if sample_with == "vi":
        posterior.train(
            learning_rate=0.02, max_num_iters=500, quality_control=False, show_progress_bar=False
        )
    draws = posterior.sample((1000,), show_progress_bars=False)
    assert draws.mean().item() == pytest.approx(mean, abs=0.25 * sd)
    assert draws.std().item() == pytest.approx(sd, rel=0.2)


@pytest.fixture
def simulations():
    theta = 2 * torch.rand(400, 1) - 1
    return theta, arc(theta)


def test_equal_seeds_build_equal_estimators(simulations):
    short = (Phase("chart", "reconstruction", 1, 100, 1e-2),)
    first, again, other = (
        mflow(1, settings=SMALL, phases=short, seed=seed)(*simulations) for seed in (1, 1, 2)
    )
    theta, x = simulations
    torch.testing.assert_close(first.log_prob(x, theta), again.log_prob(x, theta))
    assert (first.log_prob(x, theta) - other.log_prob(x, theta)).abs().max() > 1e-2


def test_the_loss_is_the_density_without_the_volume(simulations):
    theta, x = simulations
    estimator = mflow(1, settings=SMALL, phases=CHART[:0])(theta, x)
    flow = estimator.net
    wanted = -flow.log_prob(x, theta) + flow.encode_events(x).log_constant
    torch.testing.assert_close(estimator.loss(x, theta), wanted, rtol=1e-4, atol=1e-4)
    estimator.loss(x, theta).mean().backward()
    touched = {name.split(".")[0] for name, w in flow.named_parameters() if w.grad is not None}
    assert touched == {"latent"}


def test_latents_are_standardised_on_the_learned_chart(simulations):
    theta, x = simulations
    flow = mflow(1, settings=SMALL, phases=CHART)(theta, x).net
    u = flow.encode(x)
    torch.testing.assert_close(flow.latent.u_mean, u.mean(0), rtol=0, atol=0.2)
    torch.testing.assert_close(flow.latent.u_scale, u.std(0), rtol=0.1, atol=0)


def test_a_density_phase_comes_before_the_loop_of_sbi(simulations):
    theta, x = simulations
    density = Phase("latent", "latent-likelihood", 20, 100, 1e-2)
    losses = [
        mflow(1, settings=SMALL, phases=phases)(theta, x).loss(x, theta).mean().item()
        for phases in (CHART, (*CHART, density))
    ]
    assert losses[1] < losses[0] - 0.05


def test_events_are_encoded_once_while_the_density_can_train(simulations, monkeypatch):
    theta, x = simulations
    estimator, rows = mflow(1, settings=SMALL, phases=CHART[:0])(theta, x), []
    encode = estimator.net.encode_events
    monkeypatch.setattr(estimator.net, "encode_events", lambda x: rows.append(len(x)) or encode(x))
    for _ in range(3):
        estimator.log_prob(x[:10].unsqueeze(1), theta[:5])
        with torch.no_grad():
            next(estimator.net.latent.parameters()).add_(0.1)  # a step of training
    assert rows == [10]


def test_an_ambient_flow_has_no_phase_before(simulations):
    estimator = mflow(None, model="af", settings={"latent": SMALL["latent"]})(*simulations)
    assert estimator.net.latent_dim == 3
    assert estimator.sample((2,), torch.zeros(4, 1)).shape == (2, 4, 3)


def test_bad_input_is_refused(simulations):
    theta, x = simulations
    with pytest.raises(UnknownNameError, match="m-flow"):
        mflow(1, model="mflow")
    with pytest.raises(ConfigError, match="before its density"):
        mflow(1, model="pie")
    with pytest.raises(ModelMismatchError, match="theta"):
        mflow(1, settings={"conditional_chart": True})(theta, x)
    with pytest.raises(ModelMismatchError, match="where a ratio does"):
        mflow(1, model="mr-flow", phases=())(theta, x)
    x[3, 0] = torch.nan
    with pytest.raises(DataError, match="1 of 400 rows"):
        mflow(1)(theta, x)
