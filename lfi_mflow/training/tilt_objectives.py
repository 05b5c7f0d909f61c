"""Objectives of the ratio that tilts a density: contrasts with what the density generates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow, TiltedManifoldFlow
from lfi_mflow.training.events import Batch
from lfi_mflow.training.objective import Objective, check_positive, tilted, value_and_score
from lfi_mflow.training.ratio_objectives import Choice, other_rows

__all__ = ["NoiseContrast", "NoiseContrastScandal"]

_SEED = 0


@dataclass(frozen=True)
class NoiseContrast(Choice, Objective):
    r"""Which of K theta made the event, or did the density h?

    The loss of NRE-C (:class:`~lfi_mflow.training.ratio_objectives.NreC`), with events
    that h generates for those that none of the theta has made. Where NRE-C learns
    p(u | theta) / p(u), this learns p(u | theta) / h(u): what theta changes, and where
    the density is wrong.

    References:
        | Contrastive neural ratio estimation (Miller et al., 2022)
        | https://arxiv.org/abs/2210.06170
        | Noise-contrastive estimation (Gutmann and Hyvärinen, 2010)
        | https://proceedings.mlr.press/v9/gutmann10a.html

    Arguments:
        classes: Number K of theta to choose from.
        gamma: Odds that one of them did make it.

    Raises:
        ConfigError: If K is smaller than one, or gamma not positive.
    """

    part = "ratio"
    least_batch = 2

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return flow.latents(x, theta)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of parameters."""
        tilted(flow).standardise_theta(batch.theta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy of the choice for each event and one of h, with shape (B,)."""
        others, noise = self._drawn(tilted(flow), batch, generator)
        return self.cross_entropy(self._made(tilted(flow), batch, others)(batch.theta), noise)

    def end(self, flow: Flow) -> None:
        """Normalise the density."""
        tilted(flow).normalise(torch.Generator().manual_seed(_SEED))

    def _drawn(
        self, flow: TiltedManifoldFlow, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Draw K other theta for each event, and an event of h with their log-ratios.

        Returns:
            The theta, with shape (B, K, p), and the log-ratios, with shape (B, K).
        """
        with torch.no_grad():
            noise = flow.latent.sample(batch.theta, generator)
        rows = other_rows(len(batch.theta), self.classes, generator, batch.weight)
        others = batch.theta[rows.to(batch.theta.device)]
        return others, flow.log_ratio(noise[:, None], others)

    def _made(
        self, flow: TiltedManifoldFlow, batch: Batch, others: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """Log-ratios of the events, of their own theta first: (B, p) -> (B, K)."""

        def log_ratios(theta: Tensor) -> Tensor:
            among = torch.cat([theta[:, None], others[:, :-1]], dim=1)
            return flow.log_ratio(batch.prepared[:, None], among)

        return log_ratios


@dataclass(frozen=True)
class NoiseContrastScandal(NoiseContrast):
    r"""The contrast with the density, and the joint score t as a second teacher.

    .. math:: + \alpha \| \nabla_\theta \log r(e(x) | \theta) - t \|^2

    References:
        | Mining gold from implicit models to improve likelihood-free inference
        | (Brehmer et al., 2018), https://arxiv.org/abs/1805.12244

    Arguments:
        classes: Number K of theta to choose from.
        gamma: Odds that one of them did make it.
        alpha: Weight of the score.
    """

    alpha: float = 1.0
    needs_score = True
    compiles = False

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        check_positive("alpha", self.alpha)

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        if not flow.theta_dim:
            raise ConfigError("parameters, for the score", "none", "train without the score")
        return super().prepare(flow, x, theta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Cross-entropy of the choice and squared error of the score, with shape (B,)."""
        if batch.score is None:
            raise ConfigError("events with a joint score", "none", "simulate them with one")
        others, noise = self._drawn(tilted(flow), batch, generator)
        # the other theta do not move with an event's own: the score of all is that of the first
        made, score = value_and_score(self._made(tilted(flow), batch, others), batch.theta)
        penalty = self.alpha * (score - batch.score).square().sum(dim=-1)
        return self.cross_entropy(made, noise) + penalty
