"""The latent flow h: a conditional density p(u | theta) in n dimensions.

A flow from one Gaussian has to tear it apart to reach a density with several
modes. Here the base is a conditional mixture of Gaussians, and the splines bend
it, so that they do not have to tear.

What depends on theta by a straight line needs no network: with ``centre = "linear"`` the
standardisation takes the regression of the latents on theta away, and the flow learns
what is left.

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import zuko
from torch import Tensor, nn

from lfi_mflow.charts.autoregressive import MaskedAutoregressiveTransform
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.spline import BinsFirstSpline

__all__ = ["LatentFlow", "LatentSettings"]

Centre = Literal["constant", "linear"]

_CLUSTERED = 20_000


@dataclass(frozen=True)
class LatentSettings:
    """The architecture of a latent flow.

    Arguments:
        transforms: Number of autoregressive spline transforms.
        bins: Number of bins of each spline.
        hidden: Width of the two hidden layers of each transform and of the base.
        components: Number of Gaussians of the base.
        centre: What standardised latents are relative to: ``"constant"``, their mean, or
            ``"linear"``, their regression on theta, worth it where events are few.
    """

    transforms: int = 2
    bins: int = 8
    hidden: int = 64
    components: int = 4
    centre: Centre = "constant"

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("transforms", 1), ("bins", 2), ("hidden", 1), ("components", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} >= {least}", str(getattr(self, name)), "raise it")
        if self.centre not in get_args(Centre):
            raise UnknownNameError("centre", self.centre, get_args(Centre))

    def least_elements(self, latent_dim: int, theta_dim: int) -> int:
        """Return a lower bound of the number of weights.

        Biases, first layers and buffers are left out.
        """
        splines = latent_dim * (3 * self.bins - 1)
        base = self.components * (2 * latent_dim + 1)
        # what conditions on nothing has no network: its outputs are the weights
        if latent_dim + theta_dim > 1:
            splines = self.hidden * (self.hidden + splines + theta_dim)
        if theta_dim:
            base = self.hidden * (self.hidden + base + theta_dim)
        return self.transforms * splines + base


class LatentFlow(nn.Module):
    """A conditional neural spline flow on standardised latents and parameters.

    The flow is :class:`zuko.flows.NSF` with a faster spline, which acts on [-5, 5], and
    a faster inverse; the standardisation of latents and parameters is fitted once, belongs
    to the flow, and its Jacobian to the density.

    Arguments:
        latent_dim: Dimension n of the latents.
        theta_dim: Number p of parameters; 0 for an unconditional density.
        settings: The architecture.
    """

    u_mean: Tensor
    u_scale: Tensor
    theta_mean: Tensor
    theta_scale: Tensor
    u_slope: Tensor | None

    def __init__(self, latent_dim: int, theta_dim: int, settings: LatentSettings) -> None:
        super().__init__()
        for name, dim in (("u", latent_dim), ("theta", theta_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(dim))
            self.register_buffer(f"{name}_scale", torch.ones(dim))
        # not there where it is not used: older model files have none
        linear = settings.centre == "linear" and theta_dim > 0
        self.register_buffer("u_slope", torch.zeros(latent_dim, theta_dim) if linear else None)
        network = {"hidden_features": (settings.hidden,) * 2, "activation": nn.SiLU}
        bins = settings.bins
        order = torch.arange(latent_dim)
        splines = zuko.lazy.LazyComposedTransform(
            *(
                MaskedAutoregressiveTransform(
                    latent_dim,
                    theta_dim,
                    order=order.flip(0) if index % 2 else order,
                    univariate=BinsFirstSpline,
                    shapes=[(bins,), (bins,), (bins - 1,)],
                    **network,
                )
                for index in range(settings.transforms)
            )
        )
        base = zuko.mixtures.GMM(
            latent_dim,
            theta_dim,
            components=settings.components,
            covariance_type="diagonal",
            **(network if theta_dim else {}),
        )
        self.flow = zuko.lazy.Flow(splines, base)

    @torch.no_grad()
    def standardise(self, u: Tensor, theta: Tensor, weight: Tensor | None = None) -> None:
        """Fit the standardisation to latents and parameters, and place the base.

        A parameter that never changes keeps the scale one. The Gaussians of the
        base start at the clusters of the latents.

        Arguments:
            u: Latents, with shape (N, n).
            theta: Parameters, with shape (N, p).
            weight: Weights >= 0 of the events, with shape (N,); None if all are equal.
        """
        if theta.shape[-1]:  # torch warns about moments of nothing
            mean, scale = _moments(theta, weight)
            self.theta_mean.copy_(mean)
            self.theta_scale.copy_(scale)
        mean, scale = _moments(u, weight)
        self.u_mean.copy_(mean)
        if self.u_slope is not None:
            self.u_slope.copy_(_slope(u - self.u_mean, self._standardised(theta), weight))
            _, scale = _moments(u - self._centre(theta), weight)
        self.u_scale.copy_(scale)
        with torch.random.fork_rng():  # the clustering draws from the global generator
            torch.manual_seed(0)
            standardised = (u - self._centre(theta)) / self.u_scale
            some = standardised[_chosen(len(u), weight).to(u.device)]
            # zuko's clustering marks up to twice as many points as taken, and needs one more
            if len(some.unique(dim=0)) > 2 * self.flow.base.components:
                self._place_base(some)

    def _place_base(self, u: Tensor) -> None:
        """Start the Gaussians of the base at the clusters of standardised latents (N, n)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a cluster of one has no spread
            self.flow.base.initialize(u, strategy="kmeans++")
        for parameter in self.flow.base.parameters():
            parameter.nan_to_num_(nan=0.0, posinf=0.0, neginf=-7.0)

    def log_prob(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log-density with respect to du: (..., n), (..., p) -> (...); leading shapes broadcast."""
        standardised = (u - self._centre(theta)) / self.u_scale
        log_prob = self._given(theta).log_prob(standardised) - self.u_scale.log().sum()
        # without parameters nothing in zuko knows the shape of theta
        return log_prob.expand(torch.broadcast_shapes(u.shape[:-1], theta.shape[:-1]))

    def sample(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n)."""
        return self.draw(theta, generator)[0]

    def draw(
        self, theta: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw latents through which gradients flow: (B, p) -> (B, n), (B,).

        Returns:
            Latents u and log-weights. The value of a log-weight is zero; its gradient
            is that of the probability of the Gaussian that was chosen, which u cannot
            have. Averages of f(u) exp(log_weight) then have the gradient of the
            expectation of f.
        """
        given = self._given(theta)
        # Random numbers are drawn where the generator lives, and brought to the flow.
        home = theta.device if generator is None else generator.device
        weights = given.base.logits.softmax(dim=-1).expand(len(theta), -1).to(home)
        chosen = torch.multinomial(weights, 1, generator=generator)[..., None].to(theta.device)
        mean, spread = (
            values.expand(len(theta), -1, -1).take_along_dim(chosen, dim=1).squeeze(1)
            for values in (given.base.base.mean, given.base.base.stddev)
        )
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=home)
        u = self._centre(theta) + self.u_scale * given.transform.inv(mean + spread * noise.to(mean))
        log_probs = given.base.logits.log_softmax(dim=-1).expand(len(theta), -1)
        log_prob = log_probs.take_along_dim(chosen.squeeze(-1), dim=-1).squeeze(-1)
        return u, log_prob - log_prob.detach()

    def _given(self, theta: Tensor) -> zuko.distributions.NormalizingFlow:
        """Return the standardised density at theta."""
        if not len(self.theta_mean):
            return self.flow()
        return self.flow(self._standardised(theta))

    def _standardised(self, theta: Tensor) -> Tensor:
        """Parameters of zero mean and unit spread: (..., p) -> (..., p)."""
        return (theta - self.theta_mean) / self.theta_scale

    def _centre(self, theta: Tensor) -> Tensor:
        """What standardised latents are relative to: (..., p) -> (..., n) or (n,)."""
        if self.u_slope is None:
            return self.u_mean
        return self.u_mean + self._standardised(theta) @ self.u_slope.mT


def _moments(values: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in float64, one for what never changes: (N, k) -> (k,), (k,).

    Arguments:
        values: The values.
        weight: Weights of the rows, with shape (N,); None if all are equal.
    """
    values = values.cpu().double()
    if weight is None:
        scale, mean = torch.std_mean(values, dim=0)
    else:
        share = weight.to(values) / weight.to(values).sum()
        mean = share @ values
        scale = (share @ (values - mean).square() / (1.0 - share.square().sum())).sqrt()
    return mean, torch.where(scale > 1e-9 * mean.abs().clamp_min(1e-300), scale, 1.0)


def _slope(u: Tensor, theta: Tensor, weight: Tensor | None) -> Tensor:
    """Least-squares slope of centred latents on standardised parameters, with shape (n, p).

    Arguments:
        u: Latents of zero mean, with shape (N, n).
        theta: Parameters of zero mean and unit spread, with shape (N, p).
        weight: Weights of the rows, with shape (N,); None if all are equal.
    """
    u, theta = u.cpu().double(), theta.cpu().double()
    if weight is not None:
        root = weight.to(u).sqrt()[:, None]
        u, theta = root * u, root * theta
    # the pseudo-inverse gives a parameter that never changes no slope
    return (torch.linalg.pinv(theta, rtol=1e-6) @ u).mT


def _chosen(events: int, weight: Tensor | None) -> Tensor:
    """Rows that are clustered: the first ones, or draws in proportion to the weights."""
    count = min(events, _CLUSTERED)
    if weight is None:
        return torch.arange(count)
    return torch.multinomial(weight.cpu().double(), count, replacement=True)
