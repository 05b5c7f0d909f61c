"""The latent flow h: a conditional density p(u | theta) in n dimensions.

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import zuko
from torch import Tensor, nn

from lfi_mflow.errors import ConfigError

__all__ = ["LatentFlow", "LatentSettings"]


@dataclass(frozen=True)
class LatentSettings:
    """The architecture of a latent flow.

    Arguments:
        transforms: Number of autoregressive spline transforms.
        bins: Number of bins of each spline.
        hidden: Width of the two hidden layers of each transform.
    """

    transforms: int = 4
    bins: int = 10
    hidden: int = 64

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("transforms", 1), ("bins", 2), ("hidden", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} >= {least}", str(getattr(self, name)), "raise it")


class LatentFlow(nn.Module):
    """A conditional neural spline flow on standardised latents and parameters.

    The splines of :class:`zuko.flows.NSF` act on [-5, 5]; the standardisation of
    latents and parameters is fitted once, belongs to the flow, and its Jacobian
    to the density.

    Arguments:
        latent_dim: Dimension n of the latents.
        theta_dim: Number p of parameters; 0 for an unconditional density.
        settings: The architecture.
    """

    u_mean: Tensor
    u_scale: Tensor
    theta_mean: Tensor
    theta_scale: Tensor

    def __init__(self, latent_dim: int, theta_dim: int, settings: LatentSettings) -> None:
        super().__init__()
        for name, dim in (("u", latent_dim), ("theta", theta_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(dim))
            self.register_buffer(f"{name}_scale", torch.ones(dim))
        self.flow = zuko.flows.NSF(
            latent_dim,
            theta_dim,
            transforms=settings.transforms,
            bins=settings.bins,
            hidden_features=(settings.hidden, settings.hidden),
            activation=nn.SiLU,
        )

    @torch.no_grad()
    def standardise(self, u: Tensor, theta: Tensor) -> None:
        """Fit the standardisation to latents (N, n) and parameters (N, p).

        A parameter that never changes keeps the scale one.
        """
        for name, values in (("u", u), ("theta", theta)):
            scale, mean = torch.std_mean(values.double(), dim=0)
            scale = torch.where(scale > 1e-9 * mean.abs().clamp_min(1e-300), scale, 1.0)
            getattr(self, f"{name}_mean").copy_(mean)
            getattr(self, f"{name}_scale").copy_(scale)

    def log_prob(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log-density with respect to du: (..., n), (..., p) -> (...); leading shapes broadcast."""
        standardised = (u - self.u_mean) / self.u_scale
        log_prob = self._given(theta).log_prob(standardised) - self.u_scale.log().sum()
        # without parameters nothing in zuko knows the shape of theta
        return log_prob.expand(torch.broadcast_shapes(u.shape[:-1], theta.shape[:-1]))

    def sample(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n)."""
        shape = (*theta.shape[:-1], len(self.u_mean))
        noise = torch.randn(
            shape, generator=generator, dtype=self.u_mean.dtype, device=self.u_mean.device
        )
        return self.u_mean + self.u_scale * self._given(theta).transform.inv(noise)

    def _given(self, theta: Tensor) -> zuko.distributions.NormalizingFlow:
        """Return the standardised density at theta."""
        if not len(self.theta_mean):
            return self.flow()
        return self.flow((theta - self.theta_mean) / self.theta_scale)
