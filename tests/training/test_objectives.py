"""What the phases minimise."""

import pytest
import torch

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import (
    OBJECTIVES,
    Adversarial,
    Batch,
    ContrastiveLikelihood,
    Distance,
    PenalisedLikelihood,
    Phase,
    Scandal,
    Transport,
)
from lfi_mflow.training.objectives import trained_part
from lfi_mflow.training.ratio_objectives import other_rows


@pytest.fixture
def flow(make_flow):
    """A bent chart with scales that are not one."""
    flow = make_flow()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        for parameter in flow.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
        flow.standardisation.scale.copy_(torch.tensor([2.0, 30.0]))
    return flow


@pytest.fixture
def theta():
    return torch.linspace(-1, 1, 20).double()[:, None]


X = torch.linspace(-40, 50, 40).double().reshape(20, 2)


def _batch(name, flow, theta, **columns):
    return Batch(OBJECTIVES[name]().prepare(flow, X, theta).detach(), theta, **columns)


def _loss(objective, flow, batch, seed=0):
    objective = OBJECTIVES[objective]() if isinstance(objective, str) else objective
    return objective.loss(flow, batch, torch.Generator().manual_seed(seed))


def test_reconstruction_is_the_squared_distance_in_standardised_coordinates(flow, theta):
    loss = _loss("reconstruction", flow, _batch("reconstruction", flow, theta))
    residual = (X - flow.project(X)) / torch.tensor([2.0, 30.0])
    torch.testing.assert_close(loss, residual.square().sum(dim=-1))
    assert loss.median() > 1e-3
    on_it = Batch(flow.standardisation.inverse(flow.project(X)), theta)
    assert _loss("reconstruction", flow, on_it).max() < 1e-12


def test_the_distance_is_that_to_the_projection_softened_near_it(flow, theta):
    batch = _batch("distance", flow, theta)
    square = _loss("reconstruction", flow, batch)
    loss = _loss(Distance(delta=1e-6), flow, batch)
    torch.testing.assert_close(loss, square.sqrt(), atol=1e-6, rtol=1e-6)
    soft = _loss(Distance(delta=1e3), flow, batch)  # a parabola below delta
    torch.testing.assert_close(soft, square / 2e3, rtol=1e-3, atol=1e-9)
    both = _loss(Distance(delta=1e-6, square=2.0), flow, batch)
    torch.testing.assert_close(both, loss + 2.0 * square)
    for wrong in ({"delta": 0.0}, {"square": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Distance(**wrong)


def test_the_likelihood_is_that_of_the_latents(flow, theta):
    batch = _batch("latent-likelihood", flow, theta)
    loss = _loss("latent-likelihood", flow, batch)
    torch.testing.assert_close(batch.prepared, flow.encode(X))
    torch.testing.assert_close(loss, -flow.log_prob_latent(flow.encode(X), theta))


def test_the_likelihood_of_all_parts_is_the_exact_one(flow, theta):
    loss = _loss("likelihood", flow, _batch("likelihood", flow, theta))
    torch.testing.assert_close(loss, -flow.log_prob(X, theta))
    (gradient,) = torch.autograd.grad(
        loss.sum(), flow.chart.bijection.layers[0].conditioner.last.bias
    )
    # the volume takes part: without it the gradient is another one
    latent = -flow.log_prob_latent(flow.encode(X), theta)
    (without,) = torch.autograd.grad(
        latent.sum(), flow.chart.bijection.layers[0].conditioner.last.bias
    )
    assert (gradient - without).norm() > 0.1 * gradient.norm()


def test_the_penalty_is_the_reconstruction(flow, theta):
    batch = _batch("penalised-likelihood", flow, theta)
    loss = _loss(PenalisedLikelihood(7.0), flow, batch)
    distance = _loss("reconstruction", flow, _batch("reconstruction", flow, theta))
    torch.testing.assert_close(loss, 7 * distance - flow.log_prob(X, theta))
    standard = _loss("penalised-likelihood", flow, batch)
    torch.testing.assert_close(standard, 100 * distance - flow.log_prob(X, theta))


@pytest.mark.parametrize("name", ["latent-likelihood", "likelihood", "penalised-likelihood"])
def test_what_trains_the_density_fits_its_standardisation_first(flow, theta, name):
    OBJECTIVES[name]().begin(flow, _batch(name, flow, theta))
    torch.testing.assert_close(flow.latent.u_mean, flow.encode(X).mean(dim=0))
    torch.testing.assert_close(flow.latent.theta_mean, theta.mean(dim=0))


def test_a_flow_without_a_chart_has_none_to_train():
    flow = build_flow("af", Dimensions(2, 2, 1), {})
    assert trained_part(flow, "latent") is flow.latent
    assert trained_part(flow, "all") is flow
    with pytest.raises(ConfigError, match=r"a model with a chart to train.*has none"):
        trained_part(flow, "chart")


def test_the_parts_of_a_flow(flow):
    assert trained_part(flow, "chart") is flow.chart
    assert trained_part(flow, "latent") is flow.latent
    assert trained_part(flow, "all") is flow


def test_scandal_compares_the_score_with_the_joint_one(flow, theta):
    joint = torch.linspace(-2, 3, 20).double()[:, None]
    batch = _batch("scandal", flow, theta, score=joint)
    u, step = batch.prepared, 1e-5
    with torch.no_grad():
        up, down = (flow.latent.log_prob(u, theta + h) for h in (step, -step))
    slope = (up - down)[:, None] / (2 * step)
    expected = 3 * (slope - joint).square().sum(-1) - flow.latent.log_prob(u, theta)
    found = _loss(Scandal(alpha=3.0), flow, batch)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(_loss(Scandal(alpha=3.0), flow, batch), found.detach())
    with pytest.raises(ConfigError, match="events with a joint score, found none"):
        _loss("scandal", flow, batch._replace(score=None))


def test_the_score_term_pulls_the_score(flow, theta):
    """Steps on it alone bring the learned score to a joint one that the latents determine."""
    batch = _batch("scandal", flow, theta, score=torch.full((20, 1), 0.7).double())
    optimiser = torch.optim.Adam(flow.latent.parameters(), lr=3e-3)
    errors = []
    for _ in range(60):
        with_score = _loss(Scandal(alpha=1.0), flow, batch).sum()
        score_only = with_score - _loss("latent-likelihood", flow, batch).sum()
        optimiser.zero_grad()
        score_only.backward()
        optimiser.step()
        errors.append(score_only.item())
    assert errors[-1] < 0.2 * errors[0], errors[::10]


def test_the_contrast_is_the_probability_of_the_own_theta(flow, theta):
    batch = _batch("contrastive-likelihood", flow, theta)
    objective = ContrastiveLikelihood(strength=7.0, contrasts=2)
    rows = other_rows(20, 2, torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = flow.latent.log_prob(batch.prepared, theta)
        others = [flow.latent.log_prob(batch.prepared, theta[column]) for column in rows.T]
        total = own.exp() + others[0].exp() + others[1].exp()
        expected = -own - 7.0 * (3 * own.exp() / total).log()
        torch.testing.assert_close(_loss(objective, flow, batch), expected)


def test_the_contrast_teaches_whose_theta_an_event_has(flow, theta):
    """Steps on it alone make a choice between four better than one at random, which is zero."""
    batch = _batch("contrastive-likelihood", flow, theta)
    optimiser = torch.optim.Adam(flow.latent.parameters(), lr=3e-3)
    losses = []
    for seed in range(100):
        both = _loss(ContrastiveLikelihood(strength=1.0), flow, batch, seed).mean()
        contrast = both - _loss("latent-likelihood", flow, batch).mean()
        optimiser.zero_grad()
        contrast.backward()
        optimiser.step()
        losses.append(contrast.item())
    assert losses[0] > 0.0
    assert max(losses[-10:]) < -0.3, losses[::10]


@pytest.mark.parametrize("name", ["scandal", "contrastive-likelihood"])
def test_what_compares_theta_needs_some(name):
    flow = build_flow("m-flow", Dimensions(2, 1, 0), {})
    with pytest.raises(ConfigError, match="parameters, for the"):
        OBJECTIVES[name]().prepare(flow, X.float(), torch.zeros(20, 0))


def test_generated_events_that_are_the_simulated_ones_cost_nothing(flow):
    """Two large samples of the flow itself are nearer than one and a shifted one."""
    theta = torch.linspace(-1, 1, 400).double()[:, None]
    with torch.no_grad():
        x = flow.sample(theta, torch.Generator().manual_seed(1))
        z = flow.standardisation.inverse(x)
        same = _loss(Transport(), flow, Batch(z, theta)).mean()
        moved = _loss(Transport(), flow, Batch(z + 1.0, theta)).mean()
    assert abs(same) < 0.05
    assert moved == pytest.approx(same.item() + 0.5 * 2, abs=0.15)  # |(1, 1)|^2 / 2


def test_transport_knows_to_which_theta_events_belong(flow):
    """The same events with parameters of others are as far away as if they were others."""
    theta = torch.linspace(-1, 1, 400).double()[:, None]
    with torch.no_grad():
        x = flow.sample(theta, torch.Generator().manual_seed(1))
        z = flow.standardisation.inverse(x)
        right = _loss(Transport(), flow, Batch(z, theta)).mean()
        wrong = _loss(Transport(), flow, Batch(z, theta.flip(0))).mean()
    assert right < 0.05
    assert wrong > right + 0.1


def test_weights_of_events_are_masses(flow):
    theta = torch.zeros(300, 1).double()
    z = torch.randn(300, 2, generator=torch.Generator().manual_seed(2)).double()
    keep = (torch.arange(300) < 150).double()
    with torch.no_grad():
        weighted = _loss(Transport(), flow, Batch(z, theta, weight=keep + 1e-12))
        alone = _loss(Transport(), flow, Batch(z[:150], theta[:150]))
    mean = (weighted * keep).sum() / keep.sum()
    assert mean == pytest.approx(alone.mean().item(), rel=0.15)


@pytest.mark.parametrize(
    ("objective", "key", "value"),
    [
        ("scandal", "alpha", 0.0),
        ("contrastive-likelihood", "strength", 0.0),
        ("penalised-likelihood", "beta", -1.0),
        ("transport", "blur", float("inf")),
        ("adversarial", "gamma", 0.0),
    ],
)
def test_settings_of_objectives(objective, key, value):
    phase = Phase("a", objective, 1, settings={key: 0.3})
    assert getattr(phase.minimises, key) == 0.3
    with pytest.raises(ConfigError, match=f"0 < {key} < infinity"):
        Phase("a", objective, 1, settings={key: value})
    with pytest.raises(ConfigError, match=rf"key '{key}'.*found 'x'"):
        Phase("a", objective, 1, settings={key: "x"})
    with pytest.raises(InputError, match=f"phase 'a'.*did you mean '{key}'"):
        Phase("a", objective, 1, settings={key + "s": 1.0})


def test_the_game_has_two_players():
    """What improves the discriminator does not move the generator, and the other way round."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        gan = build_flow("gan", Dimensions(2, 1, 1), {}).double()
        with torch.no_grad():
            for parameter in gan.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    theta = torch.zeros(50, 1).double()
    batch = Batch(torch.randn(50, 2, generator=torch.Generator().manual_seed(3)).double(), theta)
    _loss(Adversarial(gamma=1e-9), gan, batch).mean().backward()
    with torch.no_grad():
        u, _ = gan.latent.draw(theta, torch.Generator().manual_seed(0))
    fake = gan.chart.decode(u)

    def judge(z):
        return gan.discriminator(torch.cat([z, theta], -1)).squeeze(-1)

    weight = gan.chart.decoder.last.weight
    fooling = torch.nn.functional.softplus(-judge(fake)).mean()
    torch.testing.assert_close(weight.grad, torch.autograd.grad(fooling, weight)[0])
    weight = gan.discriminator.last.weight
    real, fake = judge(batch.prepared), judge(fake.detach())
    telling = torch.nn.functional.softplus(-real) + torch.nn.functional.softplus(fake)
    torch.testing.assert_close(weight.grad, torch.autograd.grad(telling.mean(), weight)[0])


def test_the_evidence_bound_is_one():
    """The expectation over draws against an integral over latents, and below the evidence."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = build_flow("vae", Dimensions(2, 1, 0), {"latent": {"components": 1}}).double()
    theta = torch.zeros(4000, 0).double()
    with torch.no_grad():
        vae.log_noise.fill_(0.3)
        vae.latent.u_scale.fill_(1.0)
    z = torch.tensor([[0.4, -0.9]]).double().expand(4000, -1)
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(5)).double()
    draws = torch.linspace(-8, 8, 4001).double()[:, None]
    with torch.no_grad():
        bound = vae.elbo(z, theta, noise).mean()
        sigma = torch.tensor(0.3).double().exp()
        residual = (z[:1] - vae.chart.decode(draws)) / sigma
        log_likelihood = -0.5 * residual.square().sum(-1) - 2 * sigma.log()
        log_likelihood -= torch.log(torch.tensor(2 * torch.pi))
        prior = vae.latent.log_prob(draws, draws[:, :0])
        step = draws[1, 0] - draws[0, 0]
        evidence = torch.logsumexp(log_likelihood + prior, 0) + step.log()
        spread = (vae.log_spread(z[:1]) + vae.log_noise).exp()
        encoder = torch.distributions.Normal(vae.chart.encode(z[:1]), spread).log_prob(draws)[:, 0]
        terms = encoder.exp() * (log_likelihood + prior - encoder)
    assert bound == pytest.approx((terms.sum() * step).item(), abs=0.2)
    assert bound < evidence


def test_gradients_of_the_chosen_gaussian_are_those_of_the_expectation(flow):
    """d/dw E[f(u)] by log-weights against that of the mixture, with many draws."""
    theta = torch.zeros(200_000, 1).double()
    logits = flow.latent.flow.base.hyper[-1].bias
    u, log_weight = flow.latent.draw(theta, torch.Generator().manual_seed(7))
    assert log_weight.abs().max() == 0
    (found,) = torch.autograd.grad((log_weight.exp() * u[:, 0].tanh()).mean(), logits)
    grid = torch.linspace(-30, 30, 20_001).double()[:, None]
    density = flow.latent.log_prob(grid, theta[:1]).exp()
    expectation = (density * grid[:, 0].tanh()).sum() * (grid[1, 0] - grid[0, 0])
    (exact,) = torch.autograd.grad(expectation, logits)
    assert (found - exact).norm() < 0.05 * exact.norm()
