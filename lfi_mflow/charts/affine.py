r"""Affine bijections whose shifts and scales are networks.

They are the layers of two flows of the literature: couplings of RealNVP, where one part of
a vector is shifted and scaled by functions of the other, and masked autoregressive layers
of MAF, where every coordinate is by functions of those before it. Each keeps volumes
known, and each is cheaper and less able to bend than a spline.

References:
    | Density estimation using Real NVP (Dinh et al., 2017)
    | https://arxiv.org/abs/1605.08803
    | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
    | https://arxiv.org/abs/1705.07057
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from zuko.transforms import Transform

from lfi_mflow.charts.autoregressive import MaskedAutoregressiveTransform
from lfi_mflow.charts.bijection import Bijection
from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork

__all__ = ["AffineCoupling", "MaskedAffine"]

MAX_LOG_SCALE = 3.0
"""Bound of the logarithms of the scales."""


class AffineCoupling(Bijection):
    r"""One part of a vector is scaled and shifted by functions of the other.

    .. math:: x_b = z_b \exp(s(z_a, \theta)) + t(z_a, \theta), \qquad x_a = z_a

    It starts as the identity; :math:`|s| < 3`.

    Arguments:
        dim: The dimension d.
        split: Where the vector is cut.
        settings: The network of scales and shifts.
        moves_head: Whether the part before the cut moves, or the part after it.
        theta_dim: Number p of parameters it depends on.
    """

    def __init__(
        self,
        dim: int,
        split: int,
        settings: NetworkSettings,
        *,
        moves_head: bool,
        theta_dim: int = 0,
    ) -> None:
        super().__init__()
        self.split = split
        self.moves_head = moves_head
        moved, fixed = (split, dim - split) if moves_head else (dim - split, split)
        self.conditioner = ResidualNetwork(
            fixed + theta_dim, 2 * moved, settings.hidden, settings.blocks
        )

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        fixed, moved = self._cut(z)
        log_scale, shift = self._condition(fixed, theta)
        return self._join(fixed, moved * log_scale.exp() + shift)

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        return self.inverse_and_log_det(x, theta)[0]

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        fixed, moved = self._cut(x)
        log_scale, shift = self._condition(fixed, theta)
        z = (moved - shift) * (-log_scale).exp()
        return self._join(fixed, z), -log_scale.sum(dim=-1)

    def _cut(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the part that stays and the part that moves."""
        head, tail = vector[..., : self.split], vector[..., self.split :]
        return (tail, head) if self.moves_head else (head, tail)

    def _join(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Undo the cut."""
        return torch.cat((moved, fixed) if self.moves_head else (fixed, moved), dim=-1)

    def _condition(self, fixed: Tensor, theta: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return log-scales and shifts."""
        context = fixed if theta is None else torch.cat([fixed, theta], dim=-1)
        raw, shift = self.conditioner(context).chunk(2, dim=-1)
        return MAX_LOG_SCALE * (raw / MAX_LOG_SCALE).tanh(), shift


class MaskedAffine(Bijection):
    r"""Every coordinate is scaled and shifted by functions of the data coordinates before it.

    .. math:: x_i = z_i \exp(s_i(x_{<i}, \theta)) + t_i(x_{<i}, \theta)

    From data to latents it takes one pass of its network; from latents to data, too, but step by
    step. It starts as the identity.

    Arguments:
        dim: The dimension d.
        settings: The network of scales and shifts; it has two layers in each block.
        theta_dim: Number p of parameters it depends on.
        backwards: Whether "before" means with a larger index.
    """

    def __init__(
        self, dim: int, settings: NetworkSettings, *, theta_dim: int = 0, backwards: bool = False
    ) -> None:
        super().__init__()
        order = torch.arange(dim)
        self.masked = MaskedAutoregressiveTransform(
            dim,
            theta_dim,
            order=order.flip(0) if backwards else order,
            hidden_features=(settings.hidden,) * 2 * settings.blocks,
            activation=nn.SiLU,
        )
        with torch.no_grad():
            *_, weight, bias = self.masked.parameters()
            weight.zero_()
            bias.zero_()

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        x: Tensor = self._given(theta).inv(z)
        return x

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        z: Tensor = self._given(theta)(x)
        return z

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        z, log_det = self._given(theta).call_and_ladj(x)
        return z, log_det

    def _given(self, theta: Tensor | None) -> Transform:
        """Return the transform from data to latents at theta."""
        return self.masked(theta)
