"""What a preset is: a flow of the literature as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lfi_mflow.charts import CouplingChart
from lfi_mflow.flows.flow import Flow, Reference
from lfi_mflow.flows.latent import LatentFlow
from lfi_mflow.flows.settings import Dimensions, FlowSettings, ManifoldSettings, ModelSettings

__all__ = ["Preset", "coupling_chart", "latent_flow"]

S = TypeVar("S", bound=ModelSettings)


@dataclass(frozen=True)
class Preset(Generic[S]):
    """A flow of the literature.

    Arguments:
        name: Its name, as in the paper.
        summary: One line on what it is.
        limits: One line on what it cannot do.
        reference: The measure its densities refer to.
        source: Paper.
        algorithms: Names of the training algorithms that suit it, its default first.
        settings: The class of its settings.
        build: Makes the flow for given dimensions and settings.
        ambient: Whether it fills the feature space, n = d, instead of learning a manifold.
        charts_of: Names of other presets whose trained charts it can take.
    """

    name: str
    summary: str
    limits: str
    reference: Reference
    source: str
    algorithms: tuple[str, ...]
    settings: type[S]
    build: Callable[[Dimensions, S], Flow]
    ambient: bool = False
    charts_of: tuple[str, ...] = ()


def latent_flow(dimensions: Dimensions, settings: FlowSettings) -> LatentFlow:
    """Build the latent density."""
    return LatentFlow(dimensions.latent, dimensions.theta, settings.latent)


def coupling_chart(dimensions: Dimensions, settings: ManifoldSettings) -> CouplingChart:
    """Build a coupling chart."""
    theta_dim = settings.chart_theta(dimensions)
    return CouplingChart(dimensions.data, dimensions.latent, settings.chart, theta_dim)
