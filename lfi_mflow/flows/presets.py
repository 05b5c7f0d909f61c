"""The flows of the literature by name.

A preset is data: a name, where it comes from, its settings, what it can be
trained with, and how to build it for given dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lfi_mflow.charts import AutoencoderChart, CouplingChart, EncodedChart, Standardisation
from lfi_mflow.config import from_table
from lfi_mflow.errors import UnknownNameError
from lfi_mflow.flows.ambient import AmbientFlow
from lfi_mflow.flows.flow import Flow, Reference
from lfi_mflow.flows.latent import LatentFlow
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.pseudo_invertible import PseudoInvertibleEncoder
from lfi_mflow.flows.settings import (
    AmbientSettings,
    AutoencoderSettings,
    Dimensions,
    EncodedSettings,
    FlowSettings,
    ManifoldSettings,
    PieSettings,
)

__all__ = ["PRESETS", "Preset", "build_flow", "get_preset"]

S = TypeVar("S", bound=FlowSettings)


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


def _latent(dimensions: Dimensions, settings: FlowSettings) -> LatentFlow:
    """Build the latent density."""
    return LatentFlow(dimensions.latent, dimensions.theta, settings.latent)


def _af(dimensions: Dimensions, settings: AmbientSettings) -> Flow:
    """Build an ambient flow: conditional spline flow on all standardised coordinates."""
    return AmbientFlow(Standardisation(dimensions.data), _latent(dimensions, settings))


def _m_flow(dimensions: Dimensions, settings: ManifoldSettings) -> Flow:
    """Build an M-flow: coupling chart, conditional spline flow on its coordinates."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        CouplingChart(dimensions.data, dimensions.latent, settings.chart),
        _latent(dimensions, settings),
    )


def _me_flow(dimensions: Dimensions, settings: EncodedSettings) -> Flow:
    """Build an M_e-flow: as the M-flow, with an encoder of its own."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        EncodedChart(dimensions.data, dimensions.latent, settings.chart, settings.encoder),
        _latent(dimensions, settings),
    )


def _pae(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a probabilistic autoencoder: two networks, conditional spline flow between them."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        AutoencoderChart(dimensions.data, dimensions.latent, settings.encoder, settings.decoder),
        _latent(dimensions, settings),
    )


def _pie(dimensions: Dimensions, settings: PieSettings) -> Flow:
    """Build a pseudo-invertible encoder: the parts of an M-flow, with width off the manifold."""
    return PseudoInvertibleEncoder(
        Standardisation(dimensions.data),
        CouplingChart(dimensions.data, dimensions.latent, settings.chart),
        _latent(dimensions, settings),
        settings.epsilon,
    )


PRESETS: Mapping[str, Preset[Any]] = {
    preset.name: preset
    for preset in (
        Preset(
            name="af",
            summary="ambient flow: conditional density on the whole feature space",
            limits="learns no manifold: no projection, no distance, no test for outliers off it",
            reference="lebesgue",
            source="Papamakarios et al. 2019, arXiv:1912.02762",
            algorithms=("density",),
            settings=AmbientSettings,
            build=_af,
            ambient=True,
        ),
        Preset(
            name="m-flow",
            summary="learned manifold by a coupling bijection, conditional density on it",
            limits="one chart: cuts a closed manifold open, and joins the pieces of a torn one",
            reference="hausdorff",
            source="Brehmer and Cranmer 2020, arXiv:2003.13913",
            algorithms=("sequential", "alternating", "simultaneous", "penalised"),
            settings=ManifoldSettings,
            build=_m_flow,
        ),
        Preset(
            name="me-flow",
            summary="M-flow with a free encoder: it learns how to project, too",
            limits="a density only as far as encoder and decoder agree; one chart, as m-flow",
            reference="hausdorff",
            source="Brehmer and Cranmer 2020, arXiv:2003.13913",
            algorithms=("sequential", "alternating", "simultaneous", "penalised"),
            settings=EncodedSettings,
            build=_me_flow,
        ),
        Preset(
            name="pae",
            summary="probabilistic autoencoder: two free networks, conditional density between",
            limits="a density only as far as encoder and decoder agree; the decoder may fold",
            reference="hausdorff",
            source="Böhm and Seljak 2020, arXiv:2006.05479",
            algorithms=("sequential",),
            settings=AutoencoderSettings,
            build=_pae,
        ),
        Preset(
            name="pie",
            summary="pseudo-invertible encoder: bijection whose base is narrow off a manifold",
            limits="samples lie on the manifold and do not follow its density, which is around it",
            reference="lebesgue",
            source="Beitler et al. 2021, arXiv:2111.00619",
            algorithms=("simultaneous",),
            settings=PieSettings,
            build=_pie,
        ),
    )
}


def get_preset(name: str) -> Preset[Any]:
    """Look up a preset.

    Raises:
        UnknownNameError: If there is none of that name; the nearest are offered.
    """
    if name not in PRESETS:
        raise UnknownNameError("model", name, PRESETS, "list them with: lfi-mflow models")
    return PRESETS[name]


def build_flow(name: str, dimensions: Dimensions, settings: Mapping[str, Any]) -> Flow:
    """Build a flow from the name of its preset and a table of settings.

    Raises:
        UnknownNameError: If the preset or a setting does not exist.
        ConfigError: If a setting or the dimensions cannot be.
    """
    preset = get_preset(name)
    table = from_table(preset.settings, settings, f"the settings of {name}")
    return preset.build(dimensions, table)
