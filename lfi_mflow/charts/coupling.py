"""Coupling bijections and the coupling chart of the M-flow.

References:
    | Flows for simultaneous manifold learning and density estimation
    | (Brehmer and Cranmer, 2020), https://arxiv.org/abs/2003.13913
"""

from __future__ import annotations

import math
from abc import ABC
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.func import vjp

from lfi_mflow.charts.bijection import Bijection, Composition, Leading
from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.linear import TriangularLinear
from lfi_mflow.charts.networks import ResidualNetwork
from lfi_mflow.charts.spline import MIN_BIN, RationalQuadraticSpline
from lfi_mflow.errors import ConfigError

__all__ = ["BijectiveDecoder", "CouplingChart", "CouplingSettings", "SplineCoupling"]


@dataclass(frozen=True)
class CouplingSettings:
    """The architecture of a stack of spline couplings.

    Arguments:
        layers: Number of coupling layers.
        bins: Number K of bins of each spline.
        bound: Half width R of the splines, in standardised units.
        hidden: Width of the conditioners' layers.
        blocks: Number of residual blocks in each conditioner.
        fold_gain: Gain of the layers that move the coordinates on the manifold; 1 lets
            them learn as fast as the others.
        rank: How many principal axes hold the events, if some observables are linear
            functions of others: the layers leave the axes beyond alone. 0 means all d.
    """

    layers: int = 3
    bins: int = 10
    bound: float = 6.0
    hidden: int = 64
    blocks: int = 2
    fold_gain: float = 0.1
    rank: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("layers", "hidden", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} >= 1", str(getattr(self, name)), "raise it")
        if not 2 <= self.bins < 1 / MIN_BIN or not 0 < self.bound < math.inf:
            raise ConfigError(
                f"2 <= bins < {1 / MIN_BIN:.0f} and a finite bound > 0",
                f"{self.bins} and {self.bound}",
                "correct them",
            )

    def least_elements(self, data_dim: int, latent_dim: int, theta_dim: int = 0) -> int:
        """Return a lower bound of the number of weights of the bijection.

        Biases and what the first layers do with the data are left out.
        """
        data_dim = self.rank or data_dim
        folds = self.layers // 2
        moved = (self.layers - folds) * (data_dim - latent_dim) + folds * latent_dim
        inner = 2 * self.blocks * self.hidden**2 + 2 * data_dim**2 + theta_dim * self.hidden
        return self.layers * inner + 3 * self.bins * self.hidden * moved


class SplineCoupling(Bijection):
    r"""One part of a vector moves by a spline and a shift that the other part sets.

    .. math:: x_b = S(z_b; \phi(z_a, \theta)) + t(z_a, \theta), \qquad x_a = z_a

    The shift lets one layer draw any graph :math:`x_b = t(x_a)`; the spline
    does what is left. Both directions take one call of the conditioner, which
    sees parameters only if there are any.

    Arguments:
        dim: The dimension d.
        split: Where the vector is cut.
        moves_head: Whether the part before the cut moves, or the part after it.
        settings: The architecture.
        theta_dim: Number p of parameters it depends on.
        gain: Factor on what the conditioner says; a small one makes a layer learn slowly.
    """

    def __init__(
        self,
        dim: int,
        split: int,
        settings: CouplingSettings,
        *,
        moves_head: bool,
        theta_dim: int = 0,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.gain = gain
        self.split = split
        self.moves_head = moves_head
        self.bound = settings.bound
        moved, fixed = (split, dim - split) if moves_head else (dim - split, split)
        self.conditioner = ResidualNetwork(
            fixed + theta_dim, moved * 3 * settings.bins, settings.hidden, settings.blocks
        )
        self.moved = moved

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        fixed, moved = self._cut(z)
        spline, shift = self._condition(fixed, theta)
        return self._join(fixed, spline(moved.T.contiguous()) + shift)

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        fixed, moved = self._cut(x)
        spline, shift = self._condition(fixed, theta)
        return self._join(fixed, spline.inverse(moved.T - shift))

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        fixed, moved = self._cut(x)
        spline, shift = self._condition(fixed, theta)
        z = spline.inverse(moved.T - shift)
        return self._join(fixed, z), -spline.log_derivative(z).sum(dim=0)

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d).

        A moved coordinate depends on its own parameters only. Their derivatives are
        contracted with the last layer of the conditioner once, before the tangents come: pushed
        through that layer one by one, they would cost 3 K times as much there.
        """
        (fixed, moved), (fixed_along, moved_along) = self._cut(z), self._cut(tangents)
        context, context_along = fixed, fixed_along
        if theta is not None:  # it stays as it is
            context = torch.cat([fixed, theta], dim=-1)
            context_along = F.pad(fixed_along, (0, theta.shape[-1]))
        hidden, hidden_along = self.conditioner.push_hidden(context, context_along)
        parameters = self._conditioned(hidden)

        def move(parameters: Tensor, moved: Tensor) -> Tensor:
            spline, shift = self._spline(parameters)
            return spline(moved) + shift

        x, pull = vjp(move, parameters, moved.T)[:2]
        by_parameter, by_moved = pull(torch.ones_like(x))
        weight = self.gain * self.conditioner.last.weight.unflatten(0, (self.moved, -1))
        by_hidden = torch.bmm(by_parameter.permute(1, 2, 0), weight)  # (moved, B, h)
        along = hidden_along @ by_hidden.permute(1, 2, 0) + by_moved.T.unsqueeze(1) * moved_along
        parts = (x.T, fixed) if self.moves_head else (fixed, x.T)
        parts_along = (along, fixed_along) if self.moves_head else (fixed_along, along)
        return torch.cat(parts, dim=-1), torch.cat(parts_along, dim=-1)

    def _cut(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return the part that stays and the part that moves."""
        head, tail = vector[..., : self.split], vector[..., self.split :]
        return (tail, head) if self.moves_head else (head, tail)

    def _join(self, fixed: Tensor, moved: Tensor) -> Tensor:
        """Undo the cut, for a moved part with shape (features, B).

        The batch is last in memory: the next layer finds contiguous what it moves.
        """
        parts = (moved, fixed.T) if self.moves_head else (fixed.T, moved)
        return torch.cat(parts).T

    def _condition(
        self, fixed: Tensor, theta: Tensor | None
    ) -> tuple[RationalQuadraticSpline, Tensor]:
        """Return the splines and shifts, with bins first and the batch last."""
        context = fixed if theta is None else torch.cat([fixed, theta], dim=-1)
        return self._spline(self._conditioned(self.conditioner.hidden(context)))

    def _spline(self, parameters: Tensor) -> tuple[RationalQuadraticSpline, Tensor]:
        """Return the splines and shifts of parameters (3 K, moved, B)."""
        bins = len(parameters) // 3
        shift, sizes, slopes = parameters.split([1, 2 * bins, bins - 1])
        return RationalQuadraticSpline(sizes, slopes, self.bound), shift.squeeze(0)

    def _conditioned(self, hidden: Tensor) -> Tensor:
        """Shifts and splines, bins first and the batch last: (B, h) -> (3 K, moved, B).

        The rows of the last layer are brought into that order, which costs less than to bring
        what it says of every event.
        """
        last = self.conditioner.last
        weight, bias = (
            self.gain * rows.unflatten(0, (self.moved, -1)).transpose(0, 1).flatten(0, 1)
            for rows in (last.weight, last.bias)
        )
        return torch.addmm(bias[:, None], weight, hidden.T).unflatten(0, (-1, self.moved))


class BijectiveDecoder(Chart, ABC):
    r"""A chart :math:`g(u) = f(u, 0)` with a coupling bijection f of R^d.

    The couplings alternate between moving the n coordinates on the manifold and
    the d - n coordinates off it, beginning next to the latents with the latter:
    a manifold that is a graph over its first n principal axes takes one layer.
    The layers that fold, by moving the coordinates on the manifold, learn slowly:
    a chart that lifts what it can and folds only what it must leaves a smoother
    density for the latent flow to learn.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture.
        theta_dim: Number p of parameters that the manifold depends on.

    Raises:
        ConfigError: If n is not between 1 and d - 1, or the rank not between n + 1 and d.
    """

    bijection: Bijection

    def __init__(
        self, data_dim: int, latent_dim: int, settings: CouplingSettings, theta_dim: int = 0
    ) -> None:
        super().__init__(data_dim, latent_dim, theta_dim)
        rank = settings.rank or data_dim
        if not latent_dim < rank <= data_dim:
            raise ConfigError(
                f"n = {latent_dim} < rank <= d = {data_dim}", str(rank), "correct the rank"
            )
        layers: list[Bijection] = []
        for index in range(settings.layers):
            folds = index % 2 == 1
            gain = settings.fold_gain if folds else 1.0
            coupling = SplineCoupling(
                rank, latent_dim, settings, moves_head=folds, theta_dim=theta_dim, gain=gain
            )
            layers += [coupling, TriangularLinear(rank)]
        whole = Composition(layers)
        self.bijection = whole if rank == data_dim else Leading(whole, rank)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        padded = F.pad(u, (0, self.data_dim - self.latent_dim))
        return self.bijection(padded, self.condition(theta))


class CouplingChart(BijectiveDecoder):
    """The chart of the M-flow: its encoder is the inverse of the bijection, without v.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture.
        theta_dim: Number p of parameters that the manifold depends on.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""
        return self.bijection.inverse(x, self.condition(theta))[..., : self.latent_dim]
