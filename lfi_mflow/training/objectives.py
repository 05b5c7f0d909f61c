"""What a phase of training minimises.

An objective says what it needs of an event, which is computed once per phase
because the part that trains does not change it, and the loss of each event.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

from torch import Tensor, nn

from lfi_mflow.flows import ManifoldFlow

__all__ = ["OBJECTIVES", "LatentLikelihood", "Objective", "Part", "Reconstruction"]

Part = Literal["chart", "latent", "all"]


class Objective(ABC):
    """A loss for a part of a flow.

    Attributes:
        part: The part of the flow whose parameters it can train.
    """

    part: Part

    @abstractmethod
    def prepare(self, flow: ManifoldFlow, x: Tensor) -> Tensor:
        """What the loss needs of events, constant during the phase: (B, d) -> (B, *)."""

    @abstractmethod
    def begin(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> None:
        """Fit what is fitted and not trained, on some prepared events, before the first step."""

    @abstractmethod
    def loss(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Loss of each event: (B, *), (B, p) -> (B,)."""


class Reconstruction(Objective):
    r"""The manifold phase: :math:`\|x - g(e(x))\|^2` in standardised coordinates.

    Source: Brehmer and Cranmer 2020, section 3.B, "M/D training".
    """

    part: Part = "chart"

    def prepare(self, flow: ManifoldFlow, x: Tensor) -> Tensor:
        """Standardised events: (B, d) -> (B, d)."""
        return flow.standardisation.inverse(x)

    def begin(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> None:
        """Nothing has to be fitted: the standardisation is."""

    def loss(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Squared distance to the projection: (B, d), (B, p) -> (B,)."""
        residual = prepared - flow.chart.decode(flow.chart.encode(prepared))
        return residual.square().sum(dim=-1)


class LatentLikelihood(Objective):
    r"""The density phase: :math:`-\log p_h(e(x) | \theta)` on latents encoded once.

    With the chart fixed, the volume term is a constant and its gradient zero
    (Brehmer and Cranmer 2020, section 3.B): no d-dimensional work is left.
    """

    part: Part = "latent"

    def prepare(self, flow: ManifoldFlow, x: Tensor) -> Tensor:
        """Latents of events: (B, d) -> (B, n)."""
        return flow.encode(x)

    def begin(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> None:
        """Fit the standardisation of latents and parameters."""
        flow.latent.standardise(prepared, theta)

    def loss(self, flow: ManifoldFlow, prepared: Tensor, theta: Tensor) -> Tensor:
        """Negative log-density of latents: (B, n), (B, p) -> (B,)."""
        return -flow.latent.log_prob(prepared, theta)


OBJECTIVES: Mapping[str, Objective] = {
    "reconstruction": Reconstruction(),
    "latent-likelihood": LatentLikelihood(),
}
"""The objectives by the names they have in configuration files."""


def trained_part(flow: ManifoldFlow, part: Part) -> nn.Module:
    """Return the module whose parameters a phase trains."""
    return flow if part == "all" else flow.get_submodule(part)
