"""Objectives of an atlas: where its charts lie, and what each of them covers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.charts import AtlasChart
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow
from lfi_mflow.training.events import Batch
from lfi_mflow.training.objective import Objective, chart_of, check_positive

__all__ = ["Membership", "VectorQuantisation"]


@dataclass(frozen=True)
class VectorQuantisation(Objective):
    r"""A vector-quantised autoencoder of standardised events z.

    .. math:: \|z - D(v)\|^2 + \|z - D(E(z))\|^2 + \beta \|E(z) - v\|^2

    with v the nearest centre, through which gradients pass straight to E. The second term
    keeps neighbours in the data neighbours in the embedding, without which no charts
    would overlap. The centres have no gradients: they follow the events as running
    averages, and dead ones are moved.

    Of validation events, the usage is recorded (the exponential of the entropy of
    the numbers of the nearest centres, divided by K: 1 if all are used alike), and how many
    dead centres were revived so far.

    References:
        | Neural Discrete Representation Learning (van den Oord et al., 2017)
        | https://arxiv.org/abs/1711.00937

    Arguments:
        beta: Weight of what holds the embedding to the centres.
    """

    beta: float = 0.25
    part = "chart"
    needs_positive_weights = False

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("beta", self.beta)

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Start the centres from k-means."""
        atlas_of(flow).quantiser.start(batch.prepared)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Squared errors of both autoencoders and of the embedding, with shape (B,)."""
        quantiser, z = atlas_of(flow).quantiser, batch.prepared
        e = quantiser.encode(z)
        v = quantiser.centres[quantiser.nearest(z)]
        straight = e + (v - e).detach()
        errors = [z - quantiser.decode(straight), z - quantiser.decode(e)]
        squares = [error.square().sum(dim=-1) for error in errors]
        return squares[0] + squares[1] + self.beta * (e - v).square().sum(dim=-1)

    def after_step(self, flow: Flow, batch: Batch) -> None:
        """Let the centres follow the events of the step."""
        atlas_of(flow).quantiser.follow(batch.prepared)

    def validate(self, flow: Flow, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss, the usage of the centres, and how many were revived, each with shape (B,)."""
        loss, quantiser = self.loss(flow, batch, generator), atlas_of(flow).quantiser
        charts = len(quantiser.centres)
        shares = torch.bincount(quantiser.nearest(batch.prepared), minlength=charts) / len(loss)
        usage = torch.special.entr(shares).sum().exp() / charts
        return {
            "loss": loss,
            "usage": usage.to(loss).expand_as(loss),
            "revived": quantiser.revived.to(loss).expand_as(loss),
        }


@dataclass(frozen=True)
class Membership(Objective):
    r"""Every chart reproduces the events that it is to cover.

    .. math:: \frac{1}{|\{k: x \in U_k\}|} \sum_{k: x \in U_k} \| z - g_k(f_k(z)) \|^2

    in standardised coordinates. Who belongs to whom is a constant of the event: the
    quantiser is trained before, and does not move any more.

    Of validation events, the number of charts of each is recorded.

    Source: Sidheekh et al. 2022, arXiv:2203.11556.
    """

    part = "chart"
    needs_positive_weights = False

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Standardised events, and to which charts they belong: (B, d) -> (B, d + K)."""
        z = flow.standardisation.inverse(x)
        return torch.cat([z, atlas_of(flow).quantiser.members(z).to(z)], dim=-1)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Give every chart the frame of its events."""
        atlas_of(flow).place(batch.prepared[:, : flow.data_dim])

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared distance to the projections by the charts of each event, (B,)."""
        atlas, d = atlas_of(flow), flow.data_dim
        z, members = batch.prepared[:, :d], batch.prepared[:, d:]
        event, chart = members.nonzero(as_tuple=True)
        rows = z[event]
        residual = rows - atlas.decode_in(atlas.encode_in(rows, chart), chart)
        total = z.new_zeros(len(z)).index_add(0, event, residual.square().sum(dim=-1))
        return total / members.sum(dim=-1)

    def validate(self, flow: Flow, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The loss and the number of charts of each event, both with shape (B,)."""
        members = batch.prepared[:, flow.data_dim :]
        return {"loss": self.loss(flow, batch, generator), "charts": members.sum(dim=-1)}


def atlas_of(flow: Flow) -> AtlasChart:
    """Return the atlas of a flow.

    Raises:
        ConfigError: If it has none.
    """
    chart = chart_of(flow)
    if not isinstance(chart, AtlasChart):
        raise ConfigError("a model with an atlas", type(chart).__name__, "choose another model")
    return chart
