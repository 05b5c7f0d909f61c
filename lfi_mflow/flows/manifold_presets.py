"""The presets of flows on a manifold."""

from __future__ import annotations

from typing import Any

from lfi_mflow.charts import (
    PRESCRIBED,
    AtlasChart,
    AutoencoderChart,
    ConformalChart,
    CouplingChart,
    EncodedChart,
    HypersurfaceChart,
    Standardisation,
)
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.atlas import AtlasFlow, AtlasFlowSettings
from lfi_mflow.flows.atlas_latent import AtlasLatent
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.free_form import FreeFormSettings, build_free_form
from lfi_mflow.flows.latent import LatentFlow
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.preset import Preset, coupling_chart, latent_flow
from lfi_mflow.flows.ratio_networks import QuadraticRatio
from lfi_mflow.flows.relaxed import RelaxedInjectiveFlow
from lfi_mflow.flows.settings import (
    AutoencoderSettings,
    ConformalFlowSettings,
    Dimensions,
    EncodedSettings,
    HypersurfaceSettings,
    ManifoldSettings,
    PrescribedSettings,
    TiltedSettings,
)
from lfi_mflow.flows.tilted import MOST_MISSED, TiltedManifoldFlow

__all__ = ["MANIFOLD_PRESETS"]


def _autoencoder(dimensions: Dimensions, settings: AutoencoderSettings) -> AutoencoderChart:
    """Build a chart of two networks."""
    return AutoencoderChart(dimensions.data, dimensions.latent, settings.encoder, settings.decoder)


def _fom(dimensions: Dimensions, settings: PrescribedSettings) -> Flow:
    """Build a flow on a prescribed manifold: nothing but the latent density is learnt."""
    if settings.manifold not in PRESCRIBED:
        raise UnknownNameError("prescribed manifold", settings.manifold, PRESCRIBED)
    chart = PRESCRIBED[settings.manifold](dimensions.latent, settings.radius)
    if chart.data_dim != dimensions.data:
        raise ConfigError(
            f"d = {chart.data_dim} observables for the {settings.manifold} of dimension "
            f"n = {dimensions.latent}",
            f"d = {dimensions.data}",
            "choose another manifold or --latent-dim",
        )
    latent = latent_flow(dimensions, settings)
    return ManifoldFlow(Standardisation(dimensions.data), chart, latent)


def _m_flow(dimensions: Dimensions, settings: ManifoldSettings) -> Flow:
    """Build an M-flow: coupling chart, conditional spline flow on its coordinates."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        coupling_chart(dimensions, settings),
        latent_flow(dimensions, settings),
    )


def _me_flow(dimensions: Dimensions, settings: EncodedSettings) -> Flow:
    """Build an M_e-flow: as the M-flow, with an encoder of its own."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        EncodedChart(dimensions.data, dimensions.latent, settings.chart, settings.encoder),
        latent_flow(dimensions, settings),
    )


def _mr_flow(dimensions: Dimensions, settings: TiltedSettings) -> Flow:
    """Build an M_r-flow: as the M-flow, with a ratio that says what depends on theta."""
    d, n, p = dimensions.data, dimensions.latent, dimensions.theta
    return TiltedManifoldFlow(
        Standardisation(d),
        CouplingChart(d, n, settings.chart, 0),
        LatentFlow(n, 0, settings.latent),
        QuadraticRatio(n, p, settings.ratio, most=MOST_MISSED),
    )


def _pae(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a probabilistic autoencoder: two networks, conditional spline flow between them."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        _autoencoder(dimensions, settings),
        latent_flow(dimensions, settings),
    )


def _cef(dimensions: Dimensions, settings: ConformalFlowSettings) -> Flow:
    """Build a conformal embedding flow: a plane or sphere, conditional spline flow on it."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        ConformalChart(dimensions.data, dimensions.latent, settings.chart),
        latent_flow(dimensions, settings),
    )


def _hypersurface(dimensions: Dimensions, settings: HypersurfaceSettings) -> Flow:
    """Build a flow on a closed hypersurface: its radius, conditional spline flow on the sphere."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        HypersurfaceChart(dimensions.data, dimensions.latent, settings.radius),
        latent_flow(dimensions, settings),
    )


def _rif(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a relaxed injective flow: the parts of a PAE, with a bound of the volume."""
    return RelaxedInjectiveFlow(
        Standardisation(dimensions.data),
        _autoencoder(dimensions, settings),
        latent_flow(dimensions, settings),
    )


def _vq_flow(dimensions: Dimensions, settings: AtlasFlowSettings) -> Flow:
    """Build a VQ-flow: charts around vector-quantised centres, conditional flow on each."""
    d, n, charts = dimensions.data, dimensions.latent, settings.quantiser.charts
    return AtlasFlow(
        Standardisation(d),
        AtlasChart(d, n, settings.chart, settings.quantiser),
        AtlasLatent(n, dimensions.theta, charts, settings.latent),
    )


MANIFOLD_PRESETS: tuple[Preset[Any], ...] = (
    Preset(
        name="fom",
        summary="flow on a prescribed manifold: a sphere or a torus whose chart is known",
        limits="the manifold has to be known, down to its radius",
        reference="hausdorff",
        source="Gemici et al. 2016, arXiv:1611.02304",
        algorithms=("density", "density-scandal"),
        settings=PrescribedSettings,
        build=_fom,
    ),
    Preset(
        name="m-flow",
        summary="learned manifold by a coupling bijection, conditional density on it",
        limits="one chart: cuts a closed manifold open, and joins the pieces of a torn one",
        reference="hausdorff",
        source="Brehmer and Cranmer 2020, arXiv:2003.13913",
        algorithms=(
            *("sequential", "alternating", "simultaneous", "penalised"),
            *("transport", "transport-alternating", "scandal", "chart"),
        ),
        settings=ManifoldSettings,
        build=_m_flow,
    ),
    Preset(
        name="me-flow",
        summary="M-flow with a free encoder: it learns how to project, too",
        limits="a density only as far as encoder and decoder agree; one chart, as m-flow",
        reference="hausdorff",
        source="Brehmer and Cranmer 2020, arXiv:2003.13913",
        algorithms=(
            *("sequential", "alternating", "simultaneous", "penalised", "scandal"),
            "chart",
        ),
        settings=EncodedSettings,
        build=_me_flow,
    ),
    Preset(
        name="mr-flow",
        summary="M-flow of the events of all theta, and a ratio quadratic in theta",
        limits="densities that are not quadratic in theta: it is for effective field theories",
        reference="hausdorff",
        source="Gao et al. 2020, arXiv:1912.00589; Chen et al. 2020, arXiv:2007.10356",
        algorithms=("tilted", "tilted-scandal", "chart"),
        settings=TiltedSettings,
        build=_mr_flow,
        charts_of=("m-flow",),
    ),
    Preset(
        name="pae",
        summary="probabilistic autoencoder: two free networks, conditional density between",
        limits="a density only as far as encoder and decoder agree; the decoder may fold",
        reference="hausdorff",
        source="Böhm and Seljak 2020, arXiv:2006.05479",
        algorithms=("sequential", "scandal", "chart"),
        settings=AutoencoderSettings,
        build=_pae,
    ),
    Preset(
        name="rif",
        summary="relaxed injective flow: two free networks, trained with a bound of the volume",
        limits="its log_prob is a lower bound; the bound pulls the decoder to conformal maps",
        reference="bound",
        source="Kumar et al. 2020, arXiv:2002.08927",
        algorithms=("penalised",),
        settings=AutoencoderSettings,
        build=_rif,
    ),
    Preset(
        name="fif",
        summary="free-form injective flow: two free networks and a density, trained at once",
        limits="a density only as far as encoder and decoder agree; the decoder may fold",
        reference="hausdorff",
        source="Sorrenson et al. 2024, arXiv:2306.01843",
        algorithms=("free-form", "nae", "sequential", "penalised"),
        settings=FreeFormSettings,
        build=build_free_form,
    ),
    Preset(
        name="rf",
        summary="rectangular flow: the parts of an M-flow, trained at once with the volume",
        limits="one chart, as m-flow; every step of training pays for the volume",
        reference="hausdorff",
        source="Caterini et al. 2021, arXiv:2106.01413",
        algorithms=("penalised", "rectangular"),
        settings=ManifoldSettings,
        build=_m_flow,
    ),
    Preset(
        name="cef",
        summary="conformal embedding flow: a plane or sphere that is fitted, density on it",
        limits="planes and spheres only, and no others: that is all that conformal maps reach",
        reference="hausdorff",
        source="Ross and Cresswell 2021, arXiv:2106.05275",
        algorithms=("sequential", "penalised", "scandal"),
        settings=ConformalFlowSettings,
        build=_cef,
    ),
    Preset(
        name="hypersurface",
        summary="closed hypersurface by its radius in every direction, density on it",
        limits="n = d - 1, and every ray from the centre meets the manifold once",
        reference="hausdorff",
        source="Negri et al. 2025, arXiv:2406.09116",
        algorithms=("sequential", "penalised", "scandal"),
        settings=HypersurfaceSettings,
        build=_hypersurface,
    ),
    Preset(
        name="vq-flow",
        summary="atlas: several charts by vector quantisation, mixture of densities on them",
        limits="each chart costs as much as one m-flow, in a step and in a density",
        reference="hausdorff",
        source="Sidheekh et al. 2022, arXiv:2203.11556",
        algorithms=("atlas", "atlas-scandal", "atlas-charts"),
        settings=AtlasFlowSettings,
        build=_vq_flow,
    ),
)
