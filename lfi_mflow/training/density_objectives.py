"""Objectives of the density on a manifold that is learnt: only its latents are looked at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow, TiltedManifoldFlow
from lfi_mflow.training.events import Batch
from lfi_mflow.training.objective import (
    Objective,
    check_positive,
    standardise_latent,
    value_and_score,
)
from lfi_mflow.training.ratio_objectives import other_rows

__all__ = ["ContrastiveLikelihood", "LatentLikelihood", "Scandal"]


@dataclass(frozen=True)
class LatentLikelihood(Objective):
    r"""The density phase: :math:`-\log p_h(e(x) | \theta)` on latents encoded once.

    With the chart fixed, the volume term is a constant and its gradient zero
    (Brehmer and Cranmer 2020, section 3.B): no d-dimensional work is left.
    """

    part = "latent"

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return flow.latents(x, theta)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters."""
        standardise_latent(flow, batch.prepared, batch)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density of latents, with shape (B,)."""
        return -flow.latent.log_prob(batch.prepared, batch.theta)


@dataclass(frozen=True)
class ContrastiveLikelihood(LatentLikelihood):
    r"""The density phase with the question, whose theta an event has, as a second teacher.

    .. math:: -\log p_h(e(x) | \theta) - \lambda \log
        \frac{p_h(e(x) | \theta)}{\frac{1}{K + 1} \sum_{k=0}^K p_h(e(x) | \theta_k)},
        \quad \theta_0 = \theta

    The theta_k are those of other events. Both terms have their minimum at the true density.
    Where theta changes little of it, the likelihood alone spends all on what it has in
    common at all theta, and the ratios, which inference is about, come last. It needs no
    joint score.

    References:
        | On contrastive learning for likelihood-free inference (Durkan et al., 2020)
        | https://arxiv.org/abs/2002.03712

    Arguments:
        strength: Weight lambda of the second term.
        contrasts: Number K of other theta.
    """

    strength: float = 10.0
    contrasts: int = 3
    least_batch = 2

    def __post_init__(self) -> None:
        """Check the values."""
        check_positive("strength", self.strength)
        if self.contrasts < 1:
            raise ConfigError("contrasts >= 1", str(self.contrasts), "raise it")

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        _check_latents(flow, "the contrast")
        return super().prepare(flow, x, theta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density and cross-entropy of the choice, with shape (B,)."""
        rows = other_rows(len(batch.theta), self.contrasts, generator, batch.weight)
        others = batch.theta[rows.T.to(batch.theta.device)]
        log_prob = flow.latent.log_prob(
            batch.prepared, torch.cat([batch.theta.unsqueeze(0), others])
        )
        average = log_prob.logsumexp(dim=0) - math.log(self.contrasts + 1)
        return self.strength * (average - log_prob[0]) - log_prob[0]


@dataclass(frozen=True)
class Scandal(LatentLikelihood):
    r"""The density phase with the joint score t of the simulator as a second teacher.

    .. math:: -\log p_h(e(x) | \theta) + \alpha \| \nabla_\theta \log p_h(e(x) | \theta) - t \|^2

    The joint score is that of the simulator with its hidden variables; its mean over
    those that lead to x is the score of x. With a chart that is free of theta the
    score of the event is that of its latents.

    References:
        | Mining gold from implicit models to improve likelihood-free inference
        | (Brehmer et al., 2018), https://arxiv.org/abs/1805.12244

    Arguments:
        alpha: Weight of the score.
    """

    alpha: float = 1.0
    needs_score = True
    compiles = False

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("alpha", self.alpha)

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        _check_latents(flow, "the score")
        return super().prepare(flow, x, theta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density and squared error of its score, with shape (B,)."""
        if batch.score is None:
            raise ConfigError("events with a joint score", "none", "simulate them with one")
        log_prob, score = value_and_score(
            lambda theta: flow.latent.log_prob(batch.prepared, theta), batch.theta
        )
        return self.alpha * (score - batch.score).square().sum(dim=-1) - log_prob


def _check_latents(flow: Flow, purpose: str) -> None:
    """Fail unless the latents of events are the same at all parameters, and there are some."""
    if flow.conditional:
        raise ConfigError(
            f"a chart that is free of theta, for {purpose}",
            "a conditional one",
            f"choose a model that has such a chart, or train without {purpose}",
        )
    if isinstance(flow, TiltedManifoldFlow):
        raise ConfigError(
            f"a density that depends on theta, for {purpose}",
            "one that does not, but for its ratio",
            "train the ratio with it, or choose a model without one",
        )
    if not flow.theta_dim:
        raise ConfigError(f"parameters, for {purpose}", "none", f"train without {purpose}")
