"""The latent flow h: a conditional density p(u | theta) in n dimensions.

A flow from one Gaussian has to tear it apart to reach a density with several
modes. Here the base is a conditional mixture of Gaussians, and the splines bend
it, so that they do not have to tear.

Where theta changes little of a density with much to learn, errors that differ between theta
hide what it changes. Transforms that are ``shared`` by all theta make the same errors at each.

What depends on theta by a straight line needs no network: with ``centre = "linear"`` the
standardisation takes the regression of the latents on theta away, and the flow learns
what is left. Nor does it take one to part what does not belong together: with
``axes = "simple"`` the latents are turned until each observable depends on few of them.

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
    | The varimax criterion for analytic rotation in factor analysis (Kaiser, 1958)
    | https://doi.org/10.1007/BF02289233
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import zuko
from torch import Tensor, nn
from torch.distributions import Transform

from lfi_mflow.charts.autoregressive import MaskedAutoregressiveTransform
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.spline import BinsFirstSpline

__all__ = ["LatentFlow", "LatentSettings", "mean_and_scale"]

Centre = Literal["constant", "linear"]
Axes = Literal["given", "simple"]
Kind = Literal["autoregressive", "coupling"]

_CLUSTERED = 20_000
_MAX_TURNS = 1000
# of the widest direction of latents: what is narrower cannot be told from rounding
_NARROWEST = 1e-6


@dataclass(frozen=True)
class LatentSettings:
    """The architecture of a latent flow.

    Arguments:
        transforms: Number of spline transforms.
        shared: How many of them, those next to the latents, are the same at all theta: theta
            then changes the density less than it pleases. Worth it where theta changes little
            of what there is to learn.
        bins: Number of bins of each spline.
        hidden: Width of the two hidden layers of each transform and of the base.
        components: Number of Gaussians of the base.
        centre: What standardised latents are relative to: ``"constant"``, their mean, or
            ``"linear"``, their regression on theta, worth it where events are few.
        axes: The axes along which the splines act: ``"given"``, those of the chart, or
            ``"simple"``, each observable depending on few, worth it where observables are
            many and independent of each other.
        kind: What a transform is: ``"autoregressive"``, each coordinate given those before, or
            ``"coupling"``, one half given the other, which learns less and generates faster.
    """

    transforms: int = 2
    bins: int = 8
    hidden: int = 64
    components: int = 4
    shared: int = 0
    centre: Centre = "constant"
    axes: Axes = "given"
    kind: Kind = "autoregressive"

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("transforms", 1), ("bins", 2), ("hidden", 1), ("components", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} >= {least}", str(getattr(self, name)), "raise it")
        if not 0 <= self.shared <= self.transforms:
            raise ConfigError(
                f"0 <= shared <= {self.transforms}, the transforms", str(self.shared), "correct it"
            )
        for name, choice in (("centre", Centre), ("axes", Axes), ("kind", Kind)):
            known = get_args(choice)
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)

    def least_elements(self, latent_dim: int, theta_dim: int) -> int:
        """Return a lower bound of the number of weights.

        Biases, first layers and buffers are left out.
        """
        outputs = latent_dim * (3 * self.bins - 1)

        def spline(theta_dim: int) -> int:
            # what conditions on nothing has no network: its outputs are the weights
            if latent_dim + theta_dim == 1:
                return outputs
            return self.hidden * (self.hidden + outputs + theta_dim)

        base = self.components * (2 * latent_dim + 1)
        if theta_dim:
            base = self.hidden * (self.hidden + base + theta_dim)
        shared = self.shared * spline(0)
        return shared + (self.transforms - self.shared) * spline(theta_dim) + base


class _Shared(zuko.lazy.LazyTransform):  # type: ignore[misc]  # no types
    """A transform that is the same at all parameters."""

    def __init__(self, transform: zuko.lazy.LazyTransform) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, c: Tensor | None = None) -> Transform:
        """Return the transform, whatever the parameters c with shape (..., p)."""
        return self.transform()


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
    u_axes: Tensor | None

    def __init__(self, latent_dim: int, theta_dim: int, settings: LatentSettings) -> None:
        super().__init__()
        for name, dim in (("u", latent_dim), ("theta", theta_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(dim))
            self.register_buffer(f"{name}_scale", torch.ones(dim))
        # not there where it is not used: older model files have none
        linear = settings.centre == "linear" and theta_dim > 0
        self.register_buffer("u_slope", torch.zeros(latent_dim, theta_dim) if linear else None)
        simple = settings.axes == "simple"
        self.register_buffer("u_axes", torch.eye(latent_dim) if simple else None)
        network = {"hidden_features": (settings.hidden,) * 2, "activation": nn.SiLU}
        bins, order = settings.bins, torch.arange(latent_dim)
        if settings.kind == "coupling":
            order = 2 * order // latent_dim

        def spline(index: int, context: int) -> zuko.lazy.LazyTransform:
            alone = latent_dim + context == 1
            transform = MaskedAutoregressiveTransform(
                latent_dim,
                context,
                order=order.flip(0) if index % 2 else order,
                univariate=BinsFirstSpline,
                # one part spares a copy; model files have three of what has no network
                shapes=[(bins,), (bins,), (bins - 1,)] if alone else [(3 * bins - 1,)],
                **network,
            )
            if alone:  # zuko starts what has no network far from the identity
                for values in transform.phi:
                    nn.init.zeros_(values)
            return transform

        # without parameters all are shared as they are
        shared = settings.shared if theta_dim else 0
        splines = [
            *(_Shared(spline(index, 0)) for index in range(shared)),
            *(spline(index, theta_dim) for index in range(shared, settings.transforms)),
        ]
        base = zuko.mixtures.GMM(
            latent_dim,
            theta_dim,
            components=settings.components,
            covariance_type="diagonal",
            **(network if theta_dim else {}),
        )
        self.flow = zuko.lazy.Flow(zuko.lazy.LazyComposedTransform(*splines), base)

    @property
    def theta_dim(self) -> int:
        """Number of parameters that the density depends on."""
        return len(self.theta_mean)

    @property
    def turns(self) -> bool:
        """Whether it has axes of its own, and :meth:`turn` has to come before it is fitted."""
        return self.u_axes is not None

    @torch.no_grad()
    def turn(self, u: Tensor, observables: Tensor, weight: Tensor | None = None) -> None:
        """Fit the axes to latents and observables.

        Arguments:
            u: Latents, with shape (N, n).
            observables: The points of the manifold that they stand for, with shape (N, d).
            weight: Weights >= 0 of the events, with shape (N,); None if all are equal.
        """
        if self.u_axes is not None:
            self.u_axes.copy_(_simple_axes(u, observables, weight))

    @torch.no_grad()
    def standardise(self, u: Tensor, theta: Tensor, weight: Tensor | None = None) -> None:
        """Fit the standardisation to latents and parameters, and place the base.

        A parameter that never changes keeps the scale one. The Gaussians of the
        base start at the clusters of the latents.

        Arguments:
            u: Latents, with shape (N, n).
            theta: Parameters, with shape (N, p); unused if it depends on none.
            weight: Weights >= 0 of the events, with shape (N,); None if all are equal.
        """
        if self.u_axes is not None:
            u = u @ self.u_axes
        if self.theta_dim:  # torch warns about moments of nothing
            mean, scale = mean_and_scale(theta, weight)
            self.theta_mean.copy_(mean)
            self.theta_scale.copy_(scale)
        mean, scale = mean_and_scale(u, weight)
        self.u_mean.copy_(mean)
        if self.u_slope is not None:
            self.u_slope.copy_(_slope(u - self.u_mean, self._standardised(theta), weight))
            _, scale = mean_and_scale(u - self._centre(theta), weight)
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
        condition = self._condition(theta)
        z, log_det = self.coordinates(u, theta), -self.u_scale.log().sum()
        for transform in self.flow.transform.transforms:
            z, log_slopes = transform(condition).call_and_ladj(z)
            log_det = log_det + log_slopes
        log_prob = self.flow.base(condition).log_prob(z) + log_det
        # without parameters nothing in zuko knows the shape of theta
        return log_prob.expand(torch.broadcast_shapes(u.shape[:-1], theta.shape[:-1]))

    def coordinates(self, u: Tensor, theta: Tensor) -> Tensor:
        """Standardised latents, along the axes of the splines: (..., n), (..., p) -> (..., n)."""
        if self.u_axes is not None:
            u = u @ self.u_axes
        return (u - self._centre(theta)) / self.u_scale

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
        condition = self._condition(theta)
        base = self.flow.base(condition)
        # Random numbers are drawn where the generator lives, and brought to the flow.
        home = theta.device if generator is None else generator.device
        weights = base.logits.softmax(dim=-1).expand(len(theta), -1).to(home)
        chosen = torch.multinomial(weights, 1, generator=generator)[..., None].to(theta.device)
        mean, spread = (
            values.expand(len(theta), -1, -1).take_along_dim(chosen, dim=1).squeeze(1)
            for values in (base.base.mean, base.base.stddev)
        )
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=home)
        z = mean + spread * noise.to(mean)
        for transform in reversed(self.flow.transform.transforms):
            z = transform(condition).inv(z)
        u = self._centre(theta) + self.u_scale * z
        if self.u_axes is not None:
            u = torch.linalg.solve(self.u_axes, u, left=False)
        log_probs = base.logits.log_softmax(dim=-1).expand(len(theta), -1)
        log_prob = log_probs.take_along_dim(chosen.squeeze(-1), dim=-1).squeeze(-1)
        return u, log_prob - log_prob.detach()

    def _condition(self, theta: Tensor) -> Tensor | None:
        """What the transforms depend on: standardised parameters, or nothing."""
        return self._standardised(theta) if self.theta_dim else None

    def _standardised(self, theta: Tensor) -> Tensor:
        """Parameters of zero mean and unit spread: (..., p) -> (..., p)."""
        return (theta - self.theta_mean) / self.theta_scale

    def _centre(self, theta: Tensor) -> Tensor:
        """What standardised latents are relative to: (..., p) -> (..., n) or (n,)."""
        if self.u_slope is None:
            return self.u_mean
        return self.u_mean + self._standardised(theta) @ self.u_slope.mT


def mean_and_scale(values: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
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


def _simple_axes(u: Tensor, observables: Tensor, weight: Tensor | None) -> Tensor:
    """Map A of latents to coordinates u A of simple structure, with |det A| = 1 and shape (n, n).

    The coordinates are uncorrelated, and the squares of their correlations with the
    observables as unequal as they can be (varimax): zero or one, if possible.
    """
    u, x = u.cpu().double(), observables.cpu().double()
    share = torch.ones(len(u)).to(u) if weight is None else weight.cpu().double()
    root = (share / share.sum()).sqrt()[:, None]
    u, x = (root * (values - root.square().mT @ values) for values in (u, x))
    _, spread, turn = torch.linalg.svd(u, full_matrices=False)
    whitening = turn.mT / spread.clamp_min(_NARROWEST * spread[0])
    loadings = (x / x.norm(dim=0).clamp_min(1e-300)).mT @ (u @ whitening)
    rotation, criterion = torch.eye(len(turn)).to(u), 0.0
    for _ in range(_MAX_TURNS):
        turned = loadings @ rotation
        cubed = turned * (turned.square() - turned.square().mean(dim=0))
        left, singular, right = torch.linalg.svd(loadings.mT @ cubed)
        rotation = left @ right
        if float(singular.sum()) < criterion * (1.0 + 1e-9):
            break
        criterion = float(singular.sum())
    axes = whitening @ rotation
    return axes / torch.linalg.slogdet(axes).logabsdet.div(len(axes)).exp()


def _chosen(events: int, weight: Tensor | None) -> Tensor:
    """Rows that are clustered: the first ones, or draws in proportion to the weights."""
    count = min(events, _CLUSTERED)
    if weight is None:
        return torch.arange(count)
    return torch.multinomial(weight.cpu().double(), count, replacement=True)
