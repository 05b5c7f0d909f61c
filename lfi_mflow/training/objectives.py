"""What a phase of training minimises.

An objective says what it needs of an event, which is computed once per phase
because the part that trains does not change it, and the loss of each event. It is
a record of its settings: a phase names it and sets them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.func import functional_call

from lfi_mflow.charts import Chart
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow, GenerativeAdversarialNetwork, VariationalAutoencoder
from lfi_mflow.geometry import sinkhorn_divergence
from lfi_mflow.training.events import Batch

__all__ = [
    "OBJECTIVES",
    "Adversarial",
    "EvidenceBound",
    "LatentLikelihood",
    "Likelihood",
    "Objective",
    "Part",
    "PenalisedLikelihood",
    "Reconstruction",
    "Scandal",
    "Transport",
]

Part = Literal["chart", "latent", "all"]


class Objective(ABC):
    """A loss for a part of a flow.

    Attributes:
        part: The part of the flow whose parameters it can train.
        needs_score: Whether events need a joint score.
        needs_positive_weights: Whether weights must not be negative; where they may, signed
            ones are left out of the loss.
        least_batch: Smallest batch that makes sense; 1 if each event has a loss of its
            own, whatever others are in the batch.
        keeps: The weights to keep: those of the epoch with the best validation loss, or
            of the last where the loss does not measure success.
    """

    part: ClassVar[Part]
    needs_score: ClassVar[bool] = False
    needs_positive_weights: ClassVar[bool] = True
    least_batch: ClassVar[int] = 1
    keeps: ClassVar[Literal["best", "last"]] = "best"

    @abstractmethod
    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """What the loss needs of events, constant during the phase: (B, d), (B, p) -> (B, *)."""

    @abstractmethod
    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit what is fitted and not trained, on some prepared events.

        It is called before the first step of the first phase that trains the latent
        density, and not again in later ones: what has been trained would be lost.
        """

    @abstractmethod
    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Loss of each event, with shape (B,); what is random comes from the generator."""


@dataclass(frozen=True)
class Reconstruction(Objective):
    r"""The manifold phase: :math:`\|x - g(e(x))\|^2` in standardised coordinates.

    The manifold is the support of the events, whatever they weigh: positive weights say
    where it matters most, signed ones say nothing, and are not used.

    Source: Brehmer and Cranmer 2020, section 3.B, "M/D training".
    """

    part = "chart"
    needs_positive_weights = False

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Nothing has to be fitted: the standardisation is."""

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Squared distance to the projection, with shape (B,)."""
        chart, theta = chart_of(flow), batch.theta
        residual = batch.prepared - chart.decode(chart.encode(batch.prepared, theta), theta)
        return residual.square().sum(dim=-1)


@dataclass(frozen=True)
class LatentLikelihood(Objective):
    r"""The density phase: :math:`-\log p_h(e(x) | \theta)` on latents encoded once.

    With the chart fixed, the volume term is a constant and its gradient zero
    (Brehmer and Cranmer 2020, section 3.B): no d-dimensional work is left.
    """

    part = "latent"

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return flow.encode(x, theta)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters."""
        flow.latent.standardise(batch.prepared, batch.theta, batch.weight)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density of latents, with shape (B,)."""
        return -flow.latent.log_prob(batch.prepared, batch.theta)


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

    def __post_init__(self) -> None:
        """Check the value."""
        _check_positive("alpha", self.alpha)

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        if flow.conditional:
            raise ConfigError(
                "a chart that is free of theta, for the score",
                "a conditional one",
                "choose a model that has such a chart, or train without the score",
            )
        if not flow.theta_dim:
            raise ConfigError("parameters, for the score", "none", "train without the score")
        return super().prepare(flow, x, theta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density and squared error of its score, with shape (B,)."""
        if batch.score is None:
            raise ConfigError("events with a joint score", "none", "simulate them with one")
        trains = torch.is_grad_enabled()
        with torch.enable_grad():
            theta = batch.theta.detach().requires_grad_()
            log_prob = flow.latent.log_prob(batch.prepared, theta)
            (score,) = torch.autograd.grad(log_prob.sum(), theta, create_graph=trains)
        return self.alpha * (score - batch.score).square().sum(dim=-1) - log_prob


@dataclass(frozen=True)
class Likelihood(Objective):
    r"""Maximum likelihood of all parts at once: :math:`-\log p(x | \theta)`.

    The density is exact, the volume term and its gradient included.

    Warning:
        For a flow on a learned manifold this is ill-posed (Brehmer and Cranmer
        2020): nothing in it asks the manifold to go through the data, and a
        manifold on which the projections crowd together has a larger likelihood.
    """

    part = "all"

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """The events: (B, d) -> (B, d)."""
        return x

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters, with the chart as it starts."""
        with torch.no_grad():
            u = flow.encode(batch.prepared, batch.theta)
            flow.latent.standardise(u, batch.theta, batch.weight)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density of events, with shape (B,)."""
        return -flow.log_prob(batch.prepared, batch.theta)


@dataclass(frozen=True)
class PenalisedLikelihood(Likelihood):
    r"""Maximum likelihood that is held to the data: :math:`-\log p + \beta \|x - g(e(x))\|^2`.

    The distance is that of :class:`Reconstruction`, in standardised coordinates. With
    the default weight a manifold that misses the data by 0.1 costs one nat.

    Arguments:
        beta: Weight of the squared distance.
    """

    beta: float = 100.0

    def __post_init__(self) -> None:
        """Check the value."""
        _check_positive("beta", self.beta)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative log-density and weighted squared distance, with shape (B,)."""
        reconstruction = Reconstruction()
        standardised = reconstruction.prepare(flow, batch.prepared, batch.theta)
        distance = reconstruction.loss(flow, batch._replace(prepared=standardised), generator)
        return super().loss(flow, batch, generator) + self.beta * distance


@dataclass(frozen=True)
class _Generative(Objective, ABC):
    """A loss of what the flow generates, or draws, in standardised coordinates."""

    part = "all"

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters to the first principal axes.

        That is where every chart starts, whether it has an encoder or not.
        """
        chart_of(flow)
        axes = batch.prepared[:, : flow.latent_dim]
        flow.latent.standardise(axes, batch.theta, batch.weight)


@dataclass(frozen=True)
class Transport(_Generative):
    r"""Optimal transport between simulated events and those that the flow generates.

    The debiased Sinkhorn divergence of the two clouds of a batch, in the common space
    of standardised events and parameters: generated events have the parameters of the
    simulated ones, and mass that moves between parameters pays for it.

    Warning:
        What a batch of B events knows of the distribution is the loss: its bias falls
        with B slowly, the faster the fewer dimensions there are.

    References:
        | Learning Generative Models with Sinkhorn Divergences (Genevay et al., 2018)
        | https://arxiv.org/abs/1706.00292
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), section 3.B, https://arxiv.org/abs/2003.13913

    Arguments:
        blur: Length below which mass is not resolved, in standardised units.
    """

    blur: float = 0.05
    least_batch = 100

    def __post_init__(self) -> None:
        """Check the value."""
        _check_positive("blur", self.blur)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Contribution of each event and its generated partner, with shape (B,)."""
        z, log_weight = _generate(flow, batch.theta, generator)
        condition = _standardised_theta(flow, batch.theta)
        simulated, generated = (torch.cat([v, condition], -1) for v in (batch.prepared, z))
        log_mass = None
        if batch.weight is not None:
            log_mass = batch.weight.log() - batch.weight.sum().log()
        divergence = sinkhorn_divergence(simulated, generated, log_mass, log_mass, blur=self.blur)
        return divergence.x_terms + log_weight.exp() * divergence.y_terms


@dataclass(frozen=True)
class EvidenceBound(_Generative):
    """The evidence lower bound of a variational autoencoder, its sign changed."""

    def begin(self, flow: Flow, batch: Batch) -> None:
        """Fit the standardisation of latents and parameters, with the chart as it starts."""
        chart = self._autoencoder(flow).chart
        with torch.no_grad():
            flow.latent.standardise(chart.encode(batch.prepared), batch.theta, batch.weight)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative lower bound with one draw of each event's latents, with shape (B,)."""
        shape = (len(batch.theta), flow.latent_dim)
        noise = torch.randn(shape, generator=generator, dtype=batch.theta.dtype)
        noise = noise.to(batch.theta.device)
        return -self._autoencoder(flow).elbo(batch.prepared, batch.theta, noise)

    @staticmethod
    def _autoencoder(flow: Flow) -> VariationalAutoencoder:
        """Return the flow if it has such a bound, and fail otherwise."""
        if not isinstance(flow, VariationalAutoencoder):
            raise ConfigError(
                "a variational autoencoder", type(flow).__name__, "choose a model that has a bound"
            )
        return flow


@dataclass(frozen=True)
class Adversarial(_Generative):
    r"""The game of a generator and a discriminator, one step of each at a time.

    Both losses are the non-saturating ones; a penalty on the discriminator's gradient
    at the data (R_1) makes the game converge. Their sum says nothing of success.

    References:
        | Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018)
        | https://arxiv.org/abs/1801.04406

    Arguments:
        gamma: Weight of the gradient penalty.
    """

    gamma: float = 1.0
    keeps = "last"

    def __post_init__(self) -> None:
        """Check the value."""
        _check_positive("gamma", self.gamma)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Losses of generator and discriminator, with shape (B,)."""
        if not isinstance(flow, GenerativeAdversarialNetwork):
            raise ConfigError(
                "a generative adversarial network",
                type(flow).__name__,
                "choose a model that has a discriminator",
            )
        z, log_weight = _generate(flow, batch.theta, generator)
        condition = _standardised_theta(flow, batch.theta)
        frozen = {name: value.detach() for name, value in flow.discriminator.named_parameters()}

        def judge(events: Tensor) -> Tensor:
            return flow.discriminator(torch.cat([events, condition], -1)).squeeze(-1)

        with torch.enable_grad():
            simulated = batch.prepared.detach().requires_grad_()
            real = judge(simulated)
            (slope,) = torch.autograd.grad(real.sum(), simulated, create_graph=True)
        discriminator = F.softplus(-real) + F.softplus(judge(z.detach()))
        fooled = functional_call(
            flow.discriminator, frozen, (torch.cat([z, condition], -1),)
        ).squeeze(-1)
        penalty = 0.5 * self.gamma * slope.square().sum(dim=-1)
        return discriminator + penalty + log_weight.exp() * F.softplus(-fooled)


OBJECTIVES: Mapping[str, type[Objective]] = {
    "reconstruction": Reconstruction,
    "latent-likelihood": LatentLikelihood,
    "scandal": Scandal,
    "likelihood": Likelihood,
    "penalised-likelihood": PenalisedLikelihood,
    "transport": Transport,
    "elbo": EvidenceBound,
    "adversarial": Adversarial,
}
"""The objectives by the names they have in configuration files."""


def trained_part(flow: Flow, part: Part) -> nn.Module:
    """Return the module whose parameters a phase trains.

    Raises:
        ConfigError: If the flow has no such part.
    """
    if part == "latent":
        return flow.latent
    module = flow if part == "all" else chart_of(flow)
    if next(module.parameters(), None) is None:
        raise ConfigError(
            "a chart with something to learn",
            f"a prescribed one ({type(module).__name__})",
            "train its density only, or choose a model that learns a manifold",
        )
    return module


def chart_of(flow: Flow) -> Chart:
    """Return the chart of a flow.

    Raises:
        ConfigError: If it has none.
    """
    if flow.chart is None:
        raise ConfigError(
            "a model with a chart to train",
            "one that fills the feature space and has none",
            "train its density only, or choose a model that learns a manifold",
        )
    return flow.chart


def advice_on_failure(flow: Flow, objective: Objective) -> str:
    """Say what to do when a loss or gradient is not finite."""
    ill_posed = isinstance(objective, Likelihood) and not isinstance(objective, PenalisedLikelihood)
    if ill_posed and flow.reference == "hausdorff":
        return (
            "the training diverged: maximum likelihood of a manifold has no maximum; "
            'train with algorithm = "sequential" or "alternating"'
        )
    return "lower the learning rate of the phase or check the events for outliers"


def _check_positive(name: str, value: float) -> None:
    """Fail unless a setting is positive and finite."""
    if not 0 < value < math.inf:
        raise ConfigError(f"0 < {name} < infinity", str(value), "correct it")


def _generate(flow: Flow, theta: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Generate standardised events through which gradients flow: (B, p) -> (B, d), (B,)."""
    u, log_weight = flow.latent.draw(theta, generator)
    return chart_of(flow).decode(u, theta), log_weight


def _standardised_theta(flow: Flow, theta: Tensor) -> Tensor:
    """Standardise parameters as the latent density does: (B, p) -> (B, p)."""
    return (theta - flow.latent.theta_mean) / flow.latent.theta_scale
