"""The latent flow."""

import math

import pytest
import torch

from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows import LatentFlow, LatentSettings

SMALL = LatentSettings(transforms=2, bins=4, hidden=8, components=3)


@pytest.fixture
def make_latent():
    """A function that makes a latent flow whose weights are random."""

    @torch.no_grad()
    def make(n, p, dtype=torch.float64):
        latent = LatentFlow(n, p, SMALL)
        for parameter in latent.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
        return latent.to(dtype)

    return make


@pytest.mark.parametrize(("n", "p"), [(1, 0), (1, 1), (2, 0), (3, 2)])
def test_shapes(make_latent, dtype, n, p):
    latent = make_latent(n, p, dtype)
    theta = torch.rand(5, p).to(dtype)
    u = latent.sample(theta)
    assert u.shape == (5, n)
    assert u.dtype == latent.log_prob(u, theta).dtype == dtype
    assert latent.log_prob(u, theta).shape == (5,)
    assert latent.log_prob(u[:, None], theta).shape == (5, 5)
    assert latent.log_prob(u, theta[:1]).shape == (5,)
    assert latent.log_prob(u[0], theta).shape == (5,)
    assert latent.log_prob(u, theta[:, None, None]).shape == (5, 1, 5)


def test_a_weight_counts_as_copies_in_the_standardisation():
    generator = torch.Generator().manual_seed(8)
    u = torch.randn(3000, 2, generator=generator) * torch.tensor([1.0, 20.0]) + 3.0
    theta = torch.rand(3000, 1, generator=generator)
    counts = torch.arange(3000) % 4
    weighted, copied = LatentFlow(2, 1, SMALL), LatentFlow(2, 1, SMALL)
    weighted.standardise(u, theta, counts.float())
    copied.standardise(u.repeat_interleave(counts, 0), theta.repeat_interleave(counts, 0))
    for name in ("u_mean", "u_scale", "theta_mean", "theta_scale"):
        torch.testing.assert_close(
            getattr(weighted, name), getattr(copied, name), rtol=1e-3, atol=0
        )


def test_the_base_starts_where_the_weight_is():
    """One cluster without weight, far from one with all of it: no Gaussian may start there."""
    generator = torch.Generator().manual_seed(9)
    u = torch.randn(2000, 1, generator=generator)
    u[1000:] += 100.0
    weight = (torch.arange(2000) < 1000).double()
    latent = LatentFlow(1, 0, SMALL)
    state = torch.get_rng_state()
    latent.standardise(u, torch.zeros(2000, 0), weight)
    assert torch.equal(torch.get_rng_state(), state)
    assert latent.u_mean.item() == pytest.approx(0.0, abs=0.2)
    assert latent.u_scale.item() == pytest.approx(1.0, abs=0.1)
    assert latent.flow.base(None).base.mean.abs().max() < 5.0


@pytest.mark.parametrize("p", [0, 2])
def test_the_jacobian_of_the_standardisation_is_part_of_the_density(make_latent, p):
    latent = make_latent(2, p)
    u, theta = torch.randn(6, 2).double(), torch.rand(6, p).double()
    before = latent.log_prob(u, theta)
    latent.u_mean.copy_(torch.tensor([3.0, -1.0]))
    latent.u_scale.copy_(torch.tensor([10.0, 0.01]))
    moved = latent.u_mean + latent.u_scale * u
    torch.testing.assert_close(latent.log_prob(moved, theta), before - math.log(0.1))


@pytest.mark.parametrize(("n", "p"), [(1, 1), (2, 0)])
def test_sampling_standardises_back(make_latent, n, p):
    latent, theta = make_latent(n, p), torch.rand(9, p).double()
    plain = latent.sample(theta, torch.Generator().manual_seed(4))
    latent.u_mean.fill_(5.0)
    latent.u_scale.fill_(7.0)
    again = latent.sample(theta, torch.Generator().manual_seed(4))
    torch.testing.assert_close(again, 5 + 7 * plain)


def test_the_parameters_matter_and_are_standardised(make_latent):
    latent, u = make_latent(2, 1), torch.randn(6, 2).double()
    theta = torch.rand(6, 1).double()
    plain = latent.log_prob(u, theta)
    assert (latent.log_prob(u, theta + 1) - plain).abs().max() > 1e-3
    latent.theta_mean.fill_(100.0)
    latent.theta_scale.fill_(20.0)
    torch.testing.assert_close(latent.log_prob(u, 100 + 20 * theta), plain)


def test_standardise_fits_mean_and_spread(make_latent, dtype):
    latent = make_latent(2, 2, dtype)
    u = (torch.randn(1000, 2) * torch.tensor([3.0, 0.01]) + 7).to(dtype)
    theta = torch.stack([torch.rand(1000), torch.full((1000,), 0.3)], dim=1).to(dtype)
    latent.standardise(u, theta)
    torch.testing.assert_close(latent.u_mean, u.mean(dim=0), rtol=1e-5, atol=0)
    torch.testing.assert_close(latent.u_scale, u.double().std(dim=0).to(dtype), rtol=1e-5, atol=0)
    assert latent.theta_scale[0] == pytest.approx(theta[:, 0].std().item(), rel=1e-5)
    assert latent.theta_scale[1] == 1  # a parameter that never changes
    assert latent.u_mean.dtype == dtype


def test_without_parameters_nothing_is_standardised_and_nothing_warns(make_latent):
    latent = make_latent(2, 0)
    latent.standardise(torch.randn(50, 2).double() + 4, torch.zeros(50, 0).double())
    assert latent.theta_scale.shape == (0,)
    assert latent.u_mean.min() > 3


def test_the_base_starts_at_the_clusters(make_latent):
    """Three clusters, three Gaussians: each is where the latents are."""
    centres = torch.tensor([[-8.0, 0.0], [8.0, 8.0], [0.0, -8.0]]).double()
    u = centres.repeat(300, 1) + 0.1 * torch.randn(900, 2).double()
    latent, theta = make_latent(2, 1), torch.rand(900, 1).double()
    before = torch.get_rng_state()
    latent.standardise(u, theta)
    assert torch.equal(torch.get_rng_state(), before)
    means = latent.flow.base(theta[:1]).base.mean[0] * latent.u_scale + latent.u_mean
    assert torch.cdist(centres, means).amin(dim=1).max() < 1.0


@pytest.mark.parametrize("p", [0, 1])
def test_an_outlier_is_no_cluster_without_spread(make_latent, p):
    """k-means++ makes it a centre of its own, and one point has no covariance."""
    u = torch.randn(500, 2).double()
    u[3] = torch.tensor([60.0, -60.0])
    latent, theta = make_latent(2, p), torch.rand(500, p).double()
    latent.standardise(u, theta)
    assert latent.log_prob(u, theta).isfinite().all()
    latent.log_prob(u, theta).sum().backward()
    gradients = [value.grad for value in latent.parameters() if value.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("rows", [2, 3, 4, 6, 7])
def test_latents_fewer_than_clusters(make_latent, rows):
    u, theta = torch.randn(rows, 2).double(), torch.rand(rows, 1).double()
    latent = make_latent(2, 1)
    latent.standardise(u, theta)
    assert latent.log_prob(u, theta).isfinite().all()


def test_latents_that_are_all_the_same(make_latent):
    u, theta = torch.ones(50, 1).double(), torch.rand(50, 1).double()
    latent = make_latent(1, 1)
    latent.standardise(u, theta)
    assert latent.log_prob(u, theta).isfinite().all()


def test_gradients_with_respect_to_theta(make_latent):
    """What MCMC with gradients and the Fisher information need."""
    latent, u = make_latent(2, 1), torch.randn(4, 2).double()
    theta = torch.rand(4, 1).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda theta: latent.log_prob(u, theta), theta)


@pytest.mark.parametrize(
    ("name", "value"), [("transforms", 0), ("bins", 1), ("hidden", 0), ("components", 0)]
)
def test_settings_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=f"{name} >= .*found {value}"):
        LatentSettings(**{name: value})


@pytest.fixture
def linear():
    """Latents that depend on two of three parameters by a straight line, and a flow on them."""
    settings = LatentSettings(transforms=1, bins=4, hidden=8, components=2, centre="linear")
    latent = LatentFlow(2, 3, settings).double()
    theta = torch.stack([torch.rand(4000), torch.full((4000,), 0.3), torch.rand(4000)], dim=1)
    theta = theta.double()
    slope = torch.tensor([[4.0, 0.0, -1.0], [0.0, 0.0, 30.0]]).double()
    noise = torch.tensor([0.1, 2.0]).double() * torch.randn(4000, 2).double()
    u = 5 + theta @ slope.mT + noise
    latent.standardise(u, theta)
    return latent, slope


def test_a_linear_centre_is_the_regression(linear):
    latent, slope = linear
    found = latent.u_slope / latent.theta_scale
    torch.testing.assert_close(found, slope, rtol=0, atol=0.5)
    assert found[:, 1].abs().max() < 1e-9  # a parameter that never changes
    torch.testing.assert_close(latent.u_scale, torch.tensor([0.1, 2.0]).double(), rtol=0.1, atol=0)


def test_the_density_with_a_linear_centre_moves_with_the_draws(linear):
    latent, _ = linear
    with torch.no_grad():  # no other dependence on theta
        for weight in latent.flow.parameters():
            weight.mul_(0.01)
    theta = torch.tensor([[0.2, 0.3, 0.9]]).double()
    shift = torch.tensor([[0.5, 0.0, -0.4]]).double()
    here, there = (
        latent.sample(point.expand(6, 3), torch.Generator().manual_seed(1))
        for point in (theta, theta + shift)
    )
    moved = (shift / latent.theta_scale) @ latent.u_slope.mT
    torch.testing.assert_close(there - here, moved.expand(6, 2), rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(
        latent.log_prob(here + moved, theta + shift),
        latent.log_prob(here, theta),
        rtol=0,
        atol=0.05,
    )


def test_an_unknown_centre_is_refused():
    with pytest.raises(UnknownNameError, match="quadratic"):
        LatentSettings(centre="quadratic")


@pytest.fixture
def turned():
    """Latents that mix three skew columns, the columns, and a flow that has been turned."""
    generator = torch.Generator().manual_seed(4)
    columns = torch.randn(5000, 3, generator=generator).exp().double()
    u = columns @ torch.tensor([[1.0, 0.5, 0.2], [-0.4, 2.0, 0.0], [0.3, -0.1, 0.1]]).double()
    theta = torch.rand(5000, 1, generator=generator).double()
    settings = LatentSettings(transforms=1, bins=4, hidden=8, components=2, axes="simple")
    latent = LatentFlow(3, 1, settings).double()
    weight = torch.rand(5000, generator=generator).double()
    latent.turn(u, columns, weight)
    latent.standardise(u, theta, weight)
    return latent, u, theta, columns


def test_simple_axes_are_those_of_the_observables(turned):
    latent, u, _, columns = turned
    both = torch.cat([u @ latent.u_axes, columns], dim=1)
    correlation = both.T.corrcoef()[:3, 3:].abs()
    assert (correlation.max(dim=0).values > 0.98).all()
    assert sorted(correlation.argmax(dim=0).tolist()) == [0, 1, 2]
    torch.testing.assert_close(latent.u_axes.det().abs(), torch.tensor(1.0).double())


def test_the_density_along_simple_axes_is_that_of_its_draws(turned):
    """Its integral is one, by importance sampling with a wide normal."""
    latent, _, theta, _ = turned
    draws = latent.sample(theta[:1].expand(4000, 1), torch.Generator().manual_seed(1)).detach()
    wide = torch.distributions.MultivariateNormal(draws.mean(0), 4.0 * draws.T.cov())
    torch.manual_seed(2)
    points = wide.sample((100_000,))
    log_prob = latent.log_prob(points, theta[:1]).detach()
    ratio = (log_prob - wide.log_prob(points)).exp()
    assert ratio.mean().item() == pytest.approx(1.0, abs=4 * ratio.std().item() / 100_000**0.5)
    mean = (ratio[:, None] * points).mean(0)
    torch.testing.assert_close(mean, draws.mean(0), rtol=0.1, atol=0.1)


def test_observables_that_depend_on_one_direction_turn_it_all_the_same():
    u = torch.randn(100, 2).double()
    latent = LatentFlow(2, 0, LatentSettings(axes="simple")).double()
    latent.turn(u, u[:, :1].expand(100, 3))
    assert latent.u_axes.isfinite().all()


@pytest.mark.parametrize("shared", [0, 1, 2, 3])
def test_shared_transforms_are_the_same_at_all_theta(shared):
    torch.manual_seed(3)
    settings = LatentSettings(transforms=3, bins=4, hidden=8, components=2, shared=shared)
    latent = LatentFlow(3, 2, settings).double()
    for parameter in latent.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    u, theta = torch.randn(5, 3).double(), torch.randn(2, 1, 2).double()
    given = latent.flow(theta)
    steps, x = [], u.expand(2, 5, 3)
    for transform in given.transform.transforms:
        x = transform(x)
        steps.append(torch.allclose(x[0], x[1]))
    assert steps == [index < shared for index in range(3)]
    density = latent.log_prob(u, theta)
    assert density.shape == (2, 5)
    torch.testing.assert_close(density[1], latent.log_prob(u, theta[1].expand(5, 2)))
    assert not torch.allclose(density[0], density[1])
    torch.testing.assert_close(given.transform.inv(x), u.expand(2, 5, 3))


def test_no_more_transforms_are_shared_than_there_are():
    with pytest.raises(ConfigError, match="0 <= shared <= 2, the transforms, found 3"):
        LatentSettings(transforms=2, shared=3)


@pytest.mark.parametrize("shared", [0, 1, 2])
@pytest.mark.parametrize(("latent_dim", "theta_dim"), [(1, 0), (1, 2), (3, 0), (3, 2)])
def test_the_least_number_of_weights_is_no_larger_than_the_true_one(latent_dim, theta_dim, shared):
    settings = LatentSettings(transforms=2, bins=4, hidden=8, components=2, shared=shared)
    latent = LatentFlow(latent_dim, theta_dim, settings)
    elements = sum(parameter.numel() for parameter in latent.parameters())
    assert elements / 6 < settings.least_elements(latent_dim, theta_dim) <= elements
    assert latent.log_prob(torch.randn(5, latent_dim), torch.randn(5, theta_dim)).shape == (5,)
