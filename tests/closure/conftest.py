"""An exact flow of the polynomial surface, and wrong ones that diagnostics must catch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.simulation import Events, Parameter
from lfi_mflow.simulation.priors import Prior, Uniform
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface


class SurfaceFlow(Flow):
    """The polynomial surface as a flow: chart z -> R (z0, z1, f(z)), latent = the true mixture.

    Without faults it is exact. ``lift`` moves the learned surface along its third
    axis, ``theta_shift`` evaluates the likelihood at another theta, ``power``
    sharpens (> 1) or flattens (< 1) it, ``log_offset`` adds to the log-density.
    """

    data_dim, latent_dim, theta_dim, reference = 3, 2, 1, "hausdorff"
    chart = None

    def __init__(self, lift=0.0, theta_shift=0.0, power=1.0, log_offset=0.0):
        super().__init__()
        self.surface = PolynomialSurface()
        self.lift, self.theta_shift, self.power = lift, theta_shift, power
        self.log_offset = log_offset
        self.register_buffer("rotation", torch.as_tensor(self.surface.rotation))

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        return (x @ self.rotation)[:, :2]

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        height = torch.as_tensor(self.surface.height(u.detach().numpy())) + self.lift
        return torch.cat([u, height[:, None]], dim=1) @ self.rotation.T

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        u = self.encode(x)
        slope0, slope1 = self.surface._gradient(*u.numpy().T)
        constant = torch.as_tensor(-0.5 * np.log1p(slope0**2 + slope1**2)) + self.log_offset
        return EncodedEvents(u, self.reconstruction_error(x), constant)

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        theta = theta[..., 0] + self.theta_shift
        sd = (0.2 + 0.8 * (0.5 + 0.5 * theta)).clamp_min(0.02)
        broad = math.log(0.6) + _log_normal(u, (1.0, -1.0), torch.full_like(sd, 2.0))
        narrow = math.log(0.4) + _log_normal(u, (-1.0, 1.0), sd)
        return self.power * torch.logaddexp(broad, narrow)

    def sample_latent(self, theta: Tensor, generator=None) -> Tensor:
        broad = torch.rand(len(theta), dtype=theta.dtype, generator=generator) < 0.6
        sd = torch.where(broad, 2.0, 0.2 + 0.8 * (0.5 + 0.5 * theta[:, 0]))
        sign = torch.where(broad, 1.0, -1.0)
        mean = torch.stack([sign, -sign], dim=1)
        return mean + sd[:, None] * torch.randn(
            len(theta), 2, dtype=theta.dtype, generator=generator
        )


def _log_normal(u: Tensor, mean: tuple[float, float], sd: Tensor) -> Tensor:
    squares = (u[..., 0] - mean[0]) ** 2 + (u[..., 1] - mean[1]) ** 2
    return -0.5 * squares / sd**2 - 2.0 * torch.log(sd) - math.log(2.0 * math.pi)


class Opaque:
    """A simulator of which neither the likelihood nor the manifold is known."""

    name = "opaque"
    parameters = (Parameter("theta", -1.0, 1.0),)
    manifold_dim = None

    def __init__(self):
        self.inner = PolynomialSurface()
        self.observables = self.inner.observables

    def simulate(self, theta, rng) -> Events:
        return self.inner.simulate(theta, rng)


@pytest.fixture(scope="session")
def surface():
    return PolynomialSurface()


@pytest.fixture(scope="session")
def opaque():
    return Opaque()


@pytest.fixture(scope="session")
def make_flow():
    return SurfaceFlow


@pytest.fixture(scope="session")
def prior():
    return Prior((Uniform(-1.0, 1.0),))


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


EVENTS, EVENT_SD = 20, 2.0


def _conjugate(rng, sets=200, draws=99, p=1, width=1.0, shift=0.0, outwards=0.0):
    """Posteriors of sets of 20 events x ~ N(theta, 2^2), theta ~ N(0, 1), with a fault.

    ``width`` and ``shift`` are in units of the posterior's width; ``outwards`` is a
    shift away from zero, which cancels in averages over the prior.
    """
    theta = rng.normal(size=(sets, p))
    x = theta[:, None] + EVENT_SD * rng.normal(size=(sets, EVENTS, p))
    precision = 1.0 + EVENTS / EVENT_SD**2
    mean, sd = x.sum(axis=1) / EVENT_SD**2 / precision, precision**-0.5
    mean = mean + sd * (shift + outwards * np.sign(mean))
    samples = mean[:, None] + width * sd * rng.normal(size=(sets, draws, p))

    def log_prob(points):
        return -0.5 * np.sum(((points - mean[:, None]) / (width * sd)) ** 2, axis=-1)

    return theta, samples, log_prob(theta[:, None])[:, 0], log_prob(samples)


@pytest.fixture(scope="session")
def conjugate():
    return _conjugate


@pytest.fixture(scope="session")
def share_below():
    """Share of repetitions in which a p-value is below a level."""

    def share_below(p_value, level, repeat):
        return np.mean([p_value() < level for _ in range(repeat)])

    return share_below
