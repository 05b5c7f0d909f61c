"""Losses of ratio estimators: those of their papers, and of sbi where it has them."""

import warnings

import numpy as np
import pytest
import torch

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.training import Alice, Alices, BalancedNre, Batch, NreA, NreC, Phase
from lfi_mflow.training.ratio_objectives import other_rows

SETTINGS = {"network": {"hidden": 8, "blocks": 1}}
N, K = 40, 4
JOINT = torch.linspace(-3, 4, N).double()
MARGINAL = torch.linspace(5, -4, N * K).double().reshape(N, K).sin() * 3


@pytest.fixture
def make_flow():
    """A function that makes an estimator with random weights, d = 2 and p = 1."""

    def make(name):
        flow = build_flow(name, Dimensions(2, 2, 1), SETTINGS)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape))
        return flow.double()

    return make


@pytest.fixture
def sbi_loss():
    """A function that gives sbi's own loss for logits at joint and marginal pairs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sbi.inference import BNRE, NRE_A, NRE_C  # noqa: PLC0415 - it takes seconds
    trainers = {"nre-a": NRE_A, "bnre": BNRE, "nre-c": NRE_C}

    def loss(name, joint, marginal, **settings):
        trainer = trainers[name](prior=None, show_progress_bars=False)

        def logits(theta, x, num_atoms):
            # the first atom is the event's own theta, the others are those of other events
            return torch.cat([joint[:, None], marginal[:, : num_atoms - 1]], dim=1).reshape(-1, 1)

        trainer._classifier_logits = logits
        events = torch.zeros(len(joint), 1)
        return trainer._loss(events, events, **settings)

    return loss


@pytest.mark.parametrize(
    ("name", "objective", "settings"),
    [
        ("nre-a", NreA(), {"num_atoms": 2}),
        ("bnre", BalancedNre(), {"num_atoms": 2, "regularization_strength": 100.0}),
        ("bnre", BalancedNre(7.0), {"num_atoms": 2, "regularization_strength": 7.0}),
        ("nre-c", NreC(classes=K), {"num_atoms": K + 1, "gamma": 1.0}),
        ("nre-c", NreC(classes=K, gamma=2.5), {"num_atoms": K + 1, "gamma": 2.5}),
        ("nre-c", NreC(classes=1), {"num_atoms": 2, "gamma": 1.0}),
    ],
)
def test_losses_are_those_of_sbi(sbi_loss, name, objective, settings):
    """Float32 as there, whose cross-entropy of probabilities loses digits."""
    joint, marginal = JOINT.float(), MARGINAL[:, : objective.contrasts].float()
    ours = objective.criterion(joint, marginal, None)
    assert ours.shape == (N,)
    torch.testing.assert_close(ours.mean(), sbi_loss(name, joint, marginal, **settings))


def test_one_class_is_nre_a():
    one = NreC(classes=1).criterion(JOINT, MARGINAL[:, :1], None)
    torch.testing.assert_close(one, NreA().criterion(JOINT, MARGINAL[:, :1], None))


def test_balance_counts_weights():
    weight = torch.linspace(0.1, 2, N).double()
    balanced, plain = (
        objective.criterion(JOINT, MARGINAL[:, :1], weight) for objective in (BalancedNre(), NreA())
    )
    balance = JOINT.sigmoid() + MARGINAL[:, 0].sigmoid()
    mean = np.average(balance.numpy(), weights=weight.numpy())
    torch.testing.assert_close(balanced - plain, torch.full((N,), 100 * (mean - 1) ** 2).double())


def test_pairs_are_events_with_own_and_other_theta(make_flow):
    flow, objective = make_flow("nre-c"), NreC(classes=3)
    x, theta = torch.randn(N, 2).double(), torch.randn(N, 1).double()
    batch = Batch(objective.prepare(flow, x, theta), theta)
    rows = other_rows(N, 3, torch.Generator().manual_seed(3))
    marginal = torch.stack([flow.log_ratio(x, theta[rows[:, k]]) for k in range(3)], dim=1)
    expected = objective.criterion(flow.log_ratio(x, theta), marginal, None)
    found = objective.loss(flow, batch, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, expected)


def test_other_rows_are_others():
    rows = other_rows(50, 200, torch.Generator().manual_seed(0))
    assert rows.shape == (50, 200)
    assert not (rows == torch.arange(50)[:, None]).any()
    # all others are as likely: 4.5 standard deviations
    counts = torch.bincount(rows.flatten(), minlength=50)
    assert (counts - 200).abs().max() < 4.5 * 200**0.5
    assert torch.equal(other_rows(1, 2, torch.Generator()), torch.zeros(1, 2).long())


def test_other_rows_of_weighted_events_follow_the_weights():
    weight = torch.tensor([0.0, 1.0, 2.0, 5.0, 0.5])
    rows = other_rows(5, 40_000, torch.Generator().manual_seed(0), weight)
    for own in range(5):
        others = weight.clone()
        others[own] = 0.0
        share = torch.bincount(rows[own], minlength=5) / 40_000
        torch.testing.assert_close(share, others / others.sum(), atol=0.011, rtol=0)
        assert share[own] == share[0] == 0


@pytest.mark.statistical
def test_alice_is_the_cross_entropy_of_both_samples():
    """Its mean is that over events of theta and of the reference, in equal parts."""
    rng = np.random.default_rng(0)
    theta, n = 0.8, 400_000
    # x = z + N(0, 1), z ~ N(theta, 0.5^2); the joint ratio is that of z
    hidden = [rng.normal(mean, 0.5, n) for mean in (theta, 0.0)]
    joint = [0.5 * (z**2 - (z - theta) ** 2) / 0.25 for z in hidden]
    x = [z + rng.normal(size=n) for z in hidden]
    guess = [torch.from_numpy(0.7 * values - 0.2) for values in x]
    labels = [torch.from_numpy(ratio).sigmoid() for ratio in joint]
    both = [
        -(s * t.sigmoid().log() + (1 - s) * (-t).sigmoid().log())
        for s, t in zip(labels, guess, strict=True)
    ]
    expected = 0.5 * sum(loss.mean().item() for loss in both)
    batch = Batch(guess[0], guess[0], log_ratio=torch.from_numpy(joint[0]))
    ours = Alice().criterion(guess[0], batch)
    error = 4.5 * ours.std().item() / n**0.5
    assert error < 0.02
    assert ours.mean().item() == pytest.approx(expected, abs=error)


def test_alices_adds_the_error_of_the_score(make_flow):
    flow, objective = make_flow("alices"), Alices(alpha=3.0)
    x, theta = torch.randn(N, 2).double(), torch.randn(N, 1).double()
    score, log_ratio = torch.randn(N, 1).double(), torch.randn(N).double()
    batch = Batch(objective.prepare(flow, x, theta), theta, score=score, log_ratio=log_ratio)
    step, generator = 1e-5, torch.Generator()
    with torch.no_grad():
        up, down = (flow.log_ratio(x, theta + h) for h in (step, -step))
    slope = (up - down)[:, None] / (2 * step)
    plain = Alice().loss(flow, batch, generator)
    expected = plain + 3 * (slope - score).square().sum(dim=-1)
    torch.testing.assert_close(
        objective.loss(flow, batch, generator), expected, rtol=1e-6, atol=1e-6
    )


def test_beginning_fits_the_scale_of_theta(make_flow):
    flow, theta = make_flow("nre-a"), torch.linspace(3, 9, N).double()[:, None]
    NreA().begin(flow, Batch(torch.zeros(N, 2), theta))
    torch.testing.assert_close(flow.theta_mean, theta.mean(dim=0))
    torch.testing.assert_close(flow.theta_scale, theta.std(dim=0))


def test_a_reference_that_events_do_not_cover_is_refused(make_flow):
    """One event in a thousand stands for all of them; weights can make up for it."""
    flow, theta = make_flow("alice"), torch.linspace(-1, 1, 1000).double()[:, None]
    log_ratio = torch.zeros(1000).double()
    batch = Batch(torch.zeros(1000, 2).double(), theta, log_ratio=log_ratio)
    Alice().begin(flow, batch)
    log_ratio[7] = -800.0
    with pytest.raises(DataError, match=r"effective sample size of at least 1%\), found .* 0.10%"):
        Alice().begin(flow, batch)
    weight = torch.ones(1000).double()
    weight[7] = 0.0
    Alice().begin(flow, batch._replace(weight=weight))


def test_what_does_not_go_together_is_refused(make_flow):
    x, theta = torch.zeros(N, 2).double(), torch.zeros(N, 1).double()
    with pytest.raises(ConfigError, match=r"a ratio to the reference|the ratio to the reference"):
        Alice().prepare(make_flow("nre-a"), x, theta)
    with pytest.raises(ConfigError, match=r"the ratio to the marginal .*choose a model that goes"):
        NreC().prepare(make_flow("alice"), x, theta)
    with pytest.raises(ConfigError, match="a ratio estimator, found AmbientFlow"):
        NreA().prepare(build_flow("af", Dimensions(2, 2, 1), {}), x, theta)
    flow = make_flow("alices")
    with pytest.raises(ConfigError, match="events with a joint log-ratio, found none"):
        Alice().loss(flow, Batch(x, theta), torch.Generator())
    batch = Batch(x, theta, log_ratio=theta[:, 0])
    with pytest.raises(ConfigError, match="events with a joint score, found none"):
        Alices().loss(flow, batch, torch.Generator())


@pytest.mark.parametrize(
    ("objective", "settings", "match"),
    [
        ("nre-c", {"classes": 0}, "classes >= 1"),
        ("nre-c", {"gamma": 0.0}, "0 < gamma"),
        ("bnre", {"strength": -1.0}, "0 < strength"),
        ("alices", {"alpha": 0.0}, "0 < alpha"),
    ],
)
def test_settings_that_cannot_be(objective, settings, match):
    with pytest.raises(ConfigError, match=match):
        Phase("ratio", objective, 1, settings=settings)
