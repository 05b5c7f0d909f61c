"""The presets of flows with a density in the whole feature space."""

from __future__ import annotations

from typing import Any

from lfi_mflow.charts import Standardisation
from lfi_mflow.flows.ambient import AmbientFlow
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.preset import Preset, coupling_chart, latent_flow
from lfi_mflow.flows.pseudo_invertible import PseudoInvertibleEncoder
from lfi_mflow.flows.settings import (
    AmbientSettings,
    Dimensions,
    OriginalPieSettings,
    PieSettings,
)

__all__ = ["AMBIENT_PRESETS"]


def _af(dimensions: Dimensions, settings: AmbientSettings) -> Flow:
    """Build an ambient flow: conditional spline flow on all standardised coordinates."""
    standardisation = Standardisation(dimensions.data, turns=settings.principal_axes)
    return AmbientFlow(standardisation, latent_flow(dimensions, settings))


def _pie(dimensions: Dimensions, settings: PieSettings) -> Flow:
    """Build a pseudo-invertible encoder: the parts of an M-flow, with width off the manifold."""
    return PseudoInvertibleEncoder(
        Standardisation(dimensions.data),
        coupling_chart(dimensions, settings),
        latent_flow(dimensions, settings),
        settings.epsilon,
    )


AMBIENT_PRESETS: tuple[Preset[Any], ...] = (
    Preset(
        name="af",
        summary="ambient flow: conditional density on the whole feature space",
        limits="learns no manifold: no projection, no distance, no test for outliers off it",
        reference="lebesgue",
        source="Papamakarios et al. 2019, arXiv:1912.02762",
        algorithms=("density", "density-scandal"),
        settings=AmbientSettings,
        build=_af,
        ambient=True,
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
    Preset(
        name="pie-original",
        summary="pie whose bijection, and so whose manifold, depends on theta",
        limits="as pie; and its chart sees theta, so that every posterior step pays for all",
        reference="lebesgue",
        source="Beitler et al. 2021, arXiv:2111.00619",
        algorithms=("simultaneous",),
        settings=OriginalPieSettings,
        build=_pie,
    ),
)
