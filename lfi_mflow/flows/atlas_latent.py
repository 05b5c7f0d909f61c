r"""The latent density of an atlas: a chart, and coordinates in it, given theta.

.. math:: p(k, u | \theta) = p_k(\theta) \, q(u | k, \theta)

An event may lie on several charts, and its density is a sum over them. What that sum
needs of the event is a constant of it: the numbers of its charts, its coordinates in them,
and their volumes. They make its *code*, which is computed once.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts import ResidualNetwork
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows.latent import LatentFlow, LatentSettings

__all__ = ["ABSENT", "AtlasLatent", "Slots", "pack", "unpack"]

ABSENT = -1e30
"""Log-weight of a chart that an event does not belong to: finite, as all codes are."""


class Slots(NamedTuple):
    """The charts of events, the one that reproduces them best first, those they miss last.

    Arguments:
        chart: Numbers of the charts, with shape (..., K).
        log_weight: Minus the log-volume of each relative to that of the first one,
            with shape (..., K); ``ABSENT`` for a chart that the event does not belong to.
        u: Coordinates in them, with shape (..., K, n).
    """

    chart: Tensor
    log_weight: Tensor
    u: Tensor


def pack(slots: Slots) -> Tensor:
    """Write the charts of events in one row each: (..., K (2 + n))."""
    parts = (slots.chart[..., None].to(slots.u), slots.log_weight[..., None], slots.u)
    return torch.cat(parts, dim=-1).flatten(-2)


def unpack(code: Tensor, latent_dim: int) -> Slots:
    """Read codes with shape (..., K (2 + n))."""
    slots = code.unflatten(-1, (-1, 2 + latent_dim))
    return Slots(slots[..., 0].round().long(), slots[..., 1], slots[..., 2:])


class AtlasLatent(nn.Module):
    """Weights of the charts of an atlas, and a conditional flow on the coordinates of each.

    Arguments:
        latent_dim: Dimension n of the manifold.
        theta_dim: Number p of parameters; 0 for an unconditional density.
        n_charts: Number K of charts.
        settings: The architecture of the flow; the network of the weights is as wide.

    Raises:
        ConfigError: If the flow is to have axes or transforms for all charts alike.
    """

    theta_mean: Tensor
    theta_scale: Tensor
    turns: ClassVar[bool] = False

    def __init__(
        self, latent_dim: int, theta_dim: int, n_charts: int, settings: LatentSettings
    ) -> None:
        super().__init__()
        self.latent_dim, self.n_charts = latent_dim, n_charts
        self.register_buffer("theta_mean", torch.zeros(theta_dim))
        self.register_buffer("theta_scale", torch.ones(theta_dim))
        # what every theta has in common, and what it changes
        self.log_share = nn.Parameter(torch.zeros(n_charts))
        self.weights = None
        if theta_dim and n_charts > 1:
            self.weights = ResidualNetwork(theta_dim, n_charts, settings.hidden, 1)
        if settings.axes != "given":
            raise ConfigError('axes = "given" in an atlas', settings.axes, "leave it out")
        if settings.shared:
            raise ConfigError("shared = 0 in an atlas", str(settings.shared), "leave it out")
        self.flow = LatentFlow(latent_dim, theta_dim + n_charts, settings)

    @torch.no_grad()
    def standardise(self, code: Tensor, theta: Tensor, weight: Tensor | None = None) -> None:
        r"""Fit the standardisation to codes, and begin with the charts sharing the events.

        An event that lies on several charts counts in each by :math:`e^{-|u|^2 / 2}`, so
        that a chart begins with what is near its centre.

        Arguments:
            code: Codes of events, with shape (N, K (2 + n)).
            theta: Parameters, with shape (N, p).
            weight: Weights >= 0 of the events, with shape (N,); None if all are equal.
        """
        slots = unpack(code, self.latent_dim)
        there = slots.log_weight > 0.5 * ABSENT
        near = torch.where(there, -0.5 * slots.u.square().sum(dim=-1), -torch.inf)
        share = near.softmax(dim=-1)
        if weight is not None:
            share = share * weight[:, None]
        rows = there & (share > 0)
        condition = self._condition(theta[:, None, :], slots.chart)
        self.flow.standardise(slots.u[rows], condition[rows], share[rows])
        self.theta_mean.copy_(self.flow.theta_mean[: theta.shape[-1]])
        self.theta_scale.copy_(self.flow.theta_scale[: theta.shape[-1]])
        total = share.new_zeros(self.n_charts)
        total.index_add_(0, slots.chart.flatten(), share.flatten())
        self.log_share.copy_((total / total.sum()).clamp_min(1e-6).log())

    def log_weights(self, theta: Tensor) -> Tensor:
        """Log p_k(theta) of all charts: (..., p) -> (..., K)."""
        logits = self.log_share.expand(*theta.shape[:-1], -1)
        if self.weights is not None:
            standardised = (theta - self.theta_mean) / self.theta_scale
            logits = logits + self.weights(standardised)
        return logits.log_softmax(dim=-1)

    def log_terms(self, code: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of the charts of events, and log-terms of the sum over them.

        Slots that are empty for all events are left out.

        Arguments:
            code: Codes of events, with shape (..., K (2 + n)).
            theta: Parameters, with shape (..., p); leading shapes broadcast.

        Returns:
            Numbers and terms, both with shape (..., slots).
        """
        chart, log_weight, u = unpack(code, self.latent_dim)
        there = (log_weight > 0.5 * ABSENT).reshape(-1, self.n_charts)
        used = max(1, int(there.any(dim=0).sum()))
        chart, log_weight, u = chart[..., :used], log_weight[..., :used], u[..., :used, :]
        log_q = self.flow.log_prob(u, self._condition(theta[..., None, :], chart))
        shares = self.log_weights(theta)
        lead = torch.broadcast_shapes(chart.shape[:-1], theta.shape[:-1])
        chart = chart.expand(*lead, used)
        log_p = shares.expand(*lead, -1).gather(-1, chart)
        return chart, log_p + log_q + log_weight

    def log_prob(self, code: Tensor, theta: Tensor) -> Tensor:
        """Log of the sum over the charts of events: (..., K (2 + n)), (..., p) -> (...)."""
        return self.log_terms(code, theta)[1].logsumexp(dim=-1)

    def sample(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a chart and coordinates for each row of theta: (B, p) -> (B, 1 + n)."""
        home = theta.device if generator is None else generator.device
        shares = self.log_weights(theta).exp().to(home)
        chart = torch.multinomial(shares, 1, generator=generator).to(theta.device)
        u = self.flow.sample(self._condition(theta, chart.squeeze(-1)), generator)
        return torch.cat([chart.to(u), u], dim=-1)

    def _condition(self, theta: Tensor, chart: Tensor) -> Tensor:
        """What the flow depends on, theta and the chart: (..., p), (...) -> (..., p + K)."""
        chosen = F.one_hot(chart, self.n_charts).to(self.log_share)
        lead = torch.broadcast_shapes(theta.shape[:-1], chosen.shape[:-1])
        parts = (theta.to(chosen).expand(*lead, -1), chosen.expand(*lead, -1))
        return torch.cat(parts, dim=-1)
