"""The objectives by name, and those that are none of a manifold or of its volume."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn
from torch.func import functional_call

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import (
    Flow,
    GenerativeAdversarialNetwork,
    TiltedManifoldFlow,
    VariationalAutoencoder,
)
from lfi_mflow.geometry import sinkhorn_divergence
from lfi_mflow.training.atlas_objectives import Membership, VectorQuantisation
from lfi_mflow.training.density_objectives import (
    ContrastiveLikelihood,
    LatentLikelihood,
    Scandal,
)
from lfi_mflow.training.events import Batch
from lfi_mflow.training.injective_objectives import (
    FreeForm,
    NormalisedAutoencoder,
    RectangularFlow,
)
from lfi_mflow.training.manifold_objectives import (
    Distance,
    Likelihood,
    PenalisedLikelihood,
    Reconstruction,
)
from lfi_mflow.training.objective import (
    Objective,
    Part,
    chart_of,
    check_positive,
    one_chart_of,
    standardise_latent,
    tilted,
)
from lfi_mflow.training.ratio_objectives import Alice, Alices, BalancedNre, NreA, NreC
from lfi_mflow.training.tilt_objectives import NoiseContrast, NoiseContrastScandal

__all__ = [
    "OBJECTIVES",
    "Adversarial",
    "ContrastiveLikelihood",
    "Distance",
    "EvidenceBound",
    "FreeForm",
    "LatentLikelihood",
    "Likelihood",
    "Membership",
    "NoiseContrast",
    "NoiseContrastScandal",
    "NormalisedAutoencoder",
    "Objective",
    "Part",
    "PenalisedLikelihood",
    "Reconstruction",
    "RectangularFlow",
    "Scandal",
    "Transport",
    "VectorQuantisation",
]


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
        one_chart_of(flow)
        standardise_latent(flow, batch.prepared[:, : flow.latent_dim], batch)


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
    compiles = False

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("blur", self.blur)

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
            standardise_latent(flow, chart.encode(batch.prepared), batch)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Negative lower bound with one draw of each event's latents, with shape (B,)."""
        shape = (len(batch.theta), flow.latent_dim)
        noise = torch.randn(shape, generator=generator, dtype=batch.theta.dtype)
        noise = noise.to(batch.theta.device, non_blocking=True)
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
    compiles = False

    def __post_init__(self) -> None:
        """Check the value."""
        check_positive("gamma", self.gamma)

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
    "distance": Distance,
    "latent-likelihood": LatentLikelihood,
    "contrastive-likelihood": ContrastiveLikelihood,
    "scandal": Scandal,
    "likelihood": Likelihood,
    "penalised-likelihood": PenalisedLikelihood,
    "transport": Transport,
    "elbo": EvidenceBound,
    "adversarial": Adversarial,
    "free-form": FreeForm,
    "nae": NormalisedAutoencoder,
    "rectangular": RectangularFlow,
    "vector-quantisation": VectorQuantisation,
    "membership": Membership,
    "nre-a": NreA,
    "nre-c": NreC,
    "bnre": BalancedNre,
    "alice": Alice,
    "alices": Alices,
    "noise-contrast": NoiseContrast,
    "noise-contrast-scandal": NoiseContrastScandal,
}
"""The objectives by the names they have in configuration files."""


def trained_part(flow: Flow, part: Part) -> nn.Module:
    """Return the module whose parameters a phase trains.

    Raises:
        ConfigError: If the flow has no such part.
    """
    if part == "latent":
        return flow.latent
    if part == "ratio":
        return tilted(flow).ratio
    if part == "all" and isinstance(flow, TiltedManifoldFlow):
        raise ConfigError(
            "phases that train chart, density and ratio one after the other",
            "one that trains all at once",
            "choose another objective, or choose a model without a ratio, as m-flow",
        )
    module = flow if part == "all" else chart_of(flow)
    if next(module.parameters(), None) is None:
        raise ConfigError(
            "a chart with something to learn",
            f"a prescribed one ({type(module).__name__})",
            "train its density only, or choose a model that learns a manifold",
        )
    return module


def advice_on_failure(flow: Flow, objective: Objective) -> str:
    """Say what to do when a loss or gradient is not finite."""
    ill_posed = isinstance(objective, Likelihood) and not isinstance(objective, PenalisedLikelihood)
    if ill_posed and flow.reference == "hausdorff":
        return (
            "the training diverged: maximum likelihood of a manifold has no maximum; "
            'train with algorithm = "sequential" or "alternating"'
        )
    return "lower the learning rate of the phase or check the events for outliers"


def _generate(flow: Flow, theta: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Generate standardised events through which gradients flow: (B, p) -> (B, d), (B,)."""
    u, log_weight = flow.latent.draw(theta, generator)
    return chart_of(flow).decode(u, theta), log_weight


def _standardised_theta(flow: Flow, theta: Tensor) -> Tensor:
    """Standardise parameters as the latent density does: (B, p) -> (B, p)."""
    return (theta - flow.latent.theta_mean) / flow.latent.theta_scale
