"""The M_r-flow on a density that is quadratic in theta, as those of effective theories are."""

import numpy as np
import pytest
import torch
from scipy import stats

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.simulation import Events, Observable, Parameter
from lfi_mflow.training import OBJECTIVES, Batch, Phase, RunConfig, train_model

SETTINGS = {
    "chart": {"layers": 2, "bins": 5, "hidden": 16, "blocks": 1},
    "latent": {"transforms": 1, "bins": 2, "hidden": 8, "components": 1},
    "ratio": {"hidden": 32, "blocks": 1},
}
BEFORE = (
    Phase("chart", "distance", 15, 200, 1e-2, optimiser="soap"),
    Phase("latent", "latent-likelihood", 4, 200, 3e-3),
)


def _log_prob(t, theta):
    """(N(t; 0, 1) + theta^2 N(t; 3, 0.5^2)) / (1 + theta^2), per length of (t, sin t)."""
    new = theta**2 * stats.norm.pdf(t, 3.0, 0.5)
    density = (stats.norm.pdf(t) + new) / (1 + theta**2)
    return np.log(density) - 0.5 * np.log1p(np.cos(t) ** 2)


def _score(t, theta):
    """Derivative of the density in theta."""
    new = theta**2 * stats.norm.pdf(t, 3.0, 0.5)
    return 2 / theta * (new / (stats.norm.pdf(t) + new) - theta**2 / (1 + theta**2))


def _draw(n, seed, theta=None):
    """Draw n events on a wave; what theta adds has a peak of its own."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform(-1, 1, n) if theta is None else np.full(n, theta)
    added = rng.random(n) < theta**2 / (1 + theta**2)
    t = np.where(added, 3 + 0.5 * rng.normal(size=n), rng.normal(size=n))
    return Events(theta[:, None], np.stack([t, np.sin(t)], axis=1), score=_score(t, theta)[:, None])


@pytest.fixture(scope="module", params=["noise-contrast", "noise-contrast-scandal"])
def flow(request, tmp_path_factory):
    """A flow whose density h is a poor one, and its ratio."""
    about = EventMetadata(
        parameters=(Parameter("theta", -1.0, 1.0),),
        observables=(Observable("a"), Observable("b")),
        manifold_dim=1,
    )
    path = tmp_path_factory.mktemp("wave") / "events.h5"
    write_events(path, about, [_draw(8000, seed=1)], force=True)
    phases = (*BEFORE, Phase("ratio", request.param, 20, 200, 1e-2, optimiser="soap"))
    config = RunConfig(model="mr-flow", settings=SETTINGS, phases=phases)
    return train_model(path, config).flow.requires_grad_(False)


@pytest.mark.statistical
def test_the_ratio_learns_theta_and_mends_the_density(flow):
    test = _draw(2000, seed=2)
    x, theta = (torch.from_numpy(values).float() for values in (test.x, test.theta))
    exact = _log_prob(test.x[:, 0], test.theta[:, 0])
    encoded = flow.encode_events(x)
    alone = encoded.log_constant + flow.latent.log_prob(encoded.u, theta)
    before, after = (
        np.mean(np.abs(found.double().numpy() - exact))
        for found in (alone, flow.log_prob(x, theta))
    )
    assert before > 0.3
    assert after < 0.1


@pytest.mark.statistical
def test_what_it_generates_is_what_there_is(flow):
    """Samples of h are far from the truth, and those of the flow several times nearer."""
    theta = torch.full((3000, 1), 0.9)
    truth = _draw(3000, seed=3, theta=0.9).x[:, 0]
    generator = torch.Generator().manual_seed(4)
    alone = flow.decode(flow.latent.sample(theta, generator))
    found = flow.sample(theta, generator)
    poor, good = (stats.ks_2samp(some[:, 0].numpy(), truth).statistic for some in (alone, found))
    assert poor > 0.2
    assert good < 0.3 * poor


def test_the_density_is_normalised_in_the_end(flow):
    """At all theta at once, the whole of the training range."""
    u = flow.latent.sample(torch.zeros(100_000, 1), torch.Generator().manual_seed(5))
    for theta in (-1.0, 0.0, 0.3, 1.0):
        ratio = flow.log_ratio(u, torch.tensor([theta])).exp()
        assert abs(ratio.mean() - 1) < 5 * ratio.std() / len(u) ** 0.5


def test_events_that_say_nothing_of_theta_can_be_normalised():
    """Rounding would make a covariance that is zero a negative one."""
    flow = build_flow("mr-flow", Dimensions(3, 1, 2), SETTINGS).requires_grad_(False)
    flow.ratio.network.last.bias[1:] = torch.tensor([0.3, -0.7, 0.0, 0.0, 0.0]) - flow.ratio.start
    flow.normalise(torch.Generator().manual_seed(0), draws=1000)
    u, theta = torch.randn(50, 1), torch.randn(50, 2)
    torch.testing.assert_close(flow.log_ratio(u, theta), torch.zeros(50), atol=1e-4, rtol=0)


def test_losses_need_what_they_need(flow):
    with pytest.raises(ConfigError, match="classes >= 1, found 0"):
        OBJECTIVES["noise-contrast"](classes=0)
    with pytest.raises(ConfigError, match="0 < gamma"):
        OBJECTIVES["noise-contrast"](gamma=0.0)
    with pytest.raises(ConfigError, match="0 < alpha"):
        OBJECTIVES["noise-contrast-scandal"](alpha=0.0)
    batch = Batch(torch.zeros(3, 1), torch.zeros(3, 1))
    with pytest.raises(ConfigError, match="events with a joint score"):
        OBJECTIVES["noise-contrast-scandal"]().loss(flow, batch, torch.Generator())
    assert flow.sample(torch.zeros(0, 1)).shape == (0, 2)
