"""The flows of the literature by name.

A preset is data: a name, where it comes from, its settings, and how to build it
for given dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lfi_mflow.charts import CouplingChart, CouplingSettings, Standardisation
from lfi_mflow.config import from_table
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.flow import Reference
from lfi_mflow.flows.latent import LatentFlow, LatentSettings
from lfi_mflow.flows.manifold import ManifoldFlow

__all__ = ["PRESETS", "Dimensions", "FlowSettings", "Preset", "build_flow", "get_preset"]


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a problem.

    Arguments:
        data: Dimension d of the events.
        latent: Dimension n of the manifold.
        theta: Number p of parameters.

    Raises:
        ConfigError: If one is negative.
    """

    data: int
    latent: int
    theta: int

    def __post_init__(self) -> None:
        """Check the values."""
        if min(self.data, self.latent, self.theta) < 0:
            raise ConfigError("dimensions >= 0", str(self), "correct them")


@dataclass(frozen=True)
class FlowSettings:
    """The architecture of a flow.

    Arguments:
        chart: The coupling bijection of the chart.
        latent: The latent flow.
    """

    chart: CouplingSettings = field(default_factory=CouplingSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights, to hold against a file before building.

        Biases, first layers and buffers are left out.
        """
        chart, latent, n = self.chart, self.latent, dimensions.latent
        moved = (chart.layers + 1) // 2 * (dimensions.data - n) + chart.layers // 2 * n
        inner = 2 * chart.blocks * chart.hidden**2 + 2 * dimensions.data**2
        coupling = chart.layers * inner + 3 * chart.bins * chart.hidden * moved
        splines, base = n * (3 * latent.bins - 1), latent.components * (2 * n + 1)
        # what conditions on nothing has no network: its outputs are the weights
        if n + dimensions.theta > 1:
            splines = latent.hidden * (latent.hidden + splines + dimensions.theta)
        if dimensions.theta:
            base = latent.hidden * (latent.hidden + base + dimensions.theta)
        return coupling + latent.transforms * splines + base


@dataclass(frozen=True)
class Preset:
    """A flow of the literature.

    Arguments:
        name: Its name, as in the paper.
        summary: One line on what it is.
        reference: The measure its densities refer to.
        source: Paper.
        build: Makes the flow for given dimensions and settings.
    """

    name: str
    summary: str
    reference: Reference
    source: str
    build: Callable[[Dimensions, FlowSettings], ManifoldFlow]


def _m_flow(dimensions: Dimensions, settings: FlowSettings) -> ManifoldFlow:
    """Build an M-flow: coupling chart, conditional spline flow on its coordinates."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        CouplingChart(dimensions.data, dimensions.latent, settings.chart),
        LatentFlow(dimensions.latent, dimensions.theta, settings.latent),
    )


PRESETS: Mapping[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            "m-flow",
            "learned manifold by a coupling bijection, conditional density on it",
            "hausdorff",
            "Brehmer and Cranmer 2020, arXiv:2003.13913",
            _m_flow,
        ),
    )
}


def get_preset(name: str) -> Preset:
    """Look up a preset.

    Raises:
        UnknownNameError: If there is none of that name; the nearest are offered.
    """
    if name not in PRESETS:
        raise UnknownNameError("model", name, PRESETS, "list them with: lfi-mflow models")
    return PRESETS[name]


def build_flow(name: str, dimensions: Dimensions, settings: Mapping[str, Any]) -> ManifoldFlow:
    """Build a flow from the name of its preset and a table of settings.

    Raises:
        UnknownNameError: If the preset or a setting does not exist.
        ConfigError: If a setting or the dimensions cannot be.
    """
    preset = get_preset(name)
    return preset.build(dimensions, from_table(FlowSettings, settings, f"the settings of {name}"))
