"""The flows of the literature by name.

A preset is data: a name, where it comes from, its settings, what it can be
trained with, and how to build it for given dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from lfi_mflow.charts import (
    PRESCRIBED,
    AutoencoderChart,
    ConformalChart,
    CouplingChart,
    EncodedChart,
    GeneratorChart,
    HypersurfaceChart,
    Standardisation,
)
from lfi_mflow.config import from_table
from lfi_mflow.errors import ConfigError, UnknownNameError
from lfi_mflow.flows.ambient import AmbientFlow
from lfi_mflow.flows.contrasts import GenerativeAdversarialNetwork, VariationalAutoencoder
from lfi_mflow.flows.flow import Flow, Reference
from lfi_mflow.flows.latent import LatentFlow
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.pseudo_invertible import PseudoInvertibleEncoder
from lfi_mflow.flows.ratio import Denominator, RatioEstimator
from lfi_mflow.flows.relaxed import RelaxedInjectiveFlow
from lfi_mflow.flows.settings import (
    AmbientSettings,
    AutoencoderSettings,
    ConformalFlowSettings,
    Dimensions,
    EncodedSettings,
    FlowSettings,
    GanSettings,
    HypersurfaceSettings,
    ManifoldSettings,
    ModelSettings,
    OriginalPieSettings,
    PieSettings,
    PrescribedSettings,
    RatioSettings,
)

__all__ = ["PRESETS", "Preset", "build_flow", "get_preset"]

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


def _coupling(dimensions: Dimensions, settings: ManifoldSettings) -> CouplingChart:
    """Build a coupling chart."""
    theta_dim = settings.chart_theta(dimensions)
    return CouplingChart(dimensions.data, dimensions.latent, settings.chart, theta_dim)


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
    latent = _latent(dimensions, settings)
    return ManifoldFlow(Standardisation(dimensions.data), chart, latent)


def _m_flow(dimensions: Dimensions, settings: ManifoldSettings) -> Flow:
    """Build an M-flow: coupling chart, conditional spline flow on its coordinates."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        _coupling(dimensions, settings),
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
        _autoencoder(dimensions, settings),
        _latent(dimensions, settings),
    )


def _cef(dimensions: Dimensions, settings: ConformalFlowSettings) -> Flow:
    """Build a conformal embedding flow: a plane or sphere, conditional spline flow on it."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        ConformalChart(dimensions.data, dimensions.latent, settings.chart),
        _latent(dimensions, settings),
    )


def _hypersurface(dimensions: Dimensions, settings: HypersurfaceSettings) -> Flow:
    """Build a flow on a closed hypersurface: its radius, conditional spline flow on the sphere."""
    return ManifoldFlow(
        Standardisation(dimensions.data),
        HypersurfaceChart(dimensions.data, dimensions.latent, settings.radius),
        _latent(dimensions, settings),
    )


def _rif(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a relaxed injective flow: the parts of a PAE, with a bound of the volume."""
    return RelaxedInjectiveFlow(
        Standardisation(dimensions.data),
        _autoencoder(dimensions, settings),
        _latent(dimensions, settings),
    )


def _vae(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a variational autoencoder: the parts of a PAE, with noise in the latents."""
    return VariationalAutoencoder(
        Standardisation(dimensions.data),
        _autoencoder(dimensions, settings),
        _latent(dimensions, settings),
        settings.encoder,
    )


def _gan(dimensions: Dimensions, settings: GanSettings) -> Flow:
    """Build a generative adversarial network: a decoder on a latent flow, and a discriminator."""
    return GenerativeAdversarialNetwork(
        Standardisation(dimensions.data),
        GeneratorChart(dimensions.data, dimensions.latent, settings.decoder),
        _latent(dimensions, settings),
        settings.discriminator,
    )


def _pie(dimensions: Dimensions, settings: PieSettings) -> Flow:
    """Build a pseudo-invertible encoder: the parts of an M-flow, with width off the manifold."""
    return PseudoInvertibleEncoder(
        Standardisation(dimensions.data),
        _coupling(dimensions, settings),
        _latent(dimensions, settings),
        settings.epsilon,
    )


def _ratio(
    name: str, summary: str, source: str, *, denominator: Denominator
) -> Preset[RatioSettings]:
    """Return the preset of a ratio estimator; its training algorithm has the same name."""

    def build(dimensions: Dimensions, settings: RatioSettings) -> Flow:
        if dimensions.latent != dimensions.data:
            raise ConfigError(
                f"n = d = {dimensions.data} in a ratio estimator",
                f"n = {dimensions.latent}",
                "leave --latent-dim out, or choose a model that learns a manifold",
            )
        standardisation = Standardisation(dimensions.data)
        return RatioEstimator(standardisation, dimensions.theta, settings.network, denominator)

    limits = {
        "marginal": "a ratio and no density: no samples, no manifold, no density of an event",
        "reference": "as nre-c, and its events need joint ratios, which few simulators know",
    }
    return Preset(
        name=name,
        summary=summary,
        limits=limits[denominator],
        reference="ratio",
        source=source,
        algorithms=(name,),
        settings=RatioSettings,
        build=build,
        ambient=True,
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
            algorithms=("density", "density-scandal"),
            settings=AmbientSettings,
            build=_af,
            ambient=True,
        ),
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
            settings=AutoencoderSettings,
            build=_pae,
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
        Preset(
            name="vae",
            summary="variational autoencoder, for comparison",
            limits="no density, only a lower bound of it in training: no posteriors",
            reference="none",
            source="Kingma and Welling 2013, arXiv:1312.6114",
            algorithms=("elbo",),
            settings=AutoencoderSettings,
            build=_vae,
        ),
        Preset(
            name="gan",
            summary="generative adversarial network, for comparison",
            limits="no density and no encoder: no posteriors, projections or distances",
            reference="none",
            source="Goodfellow et al. 2014, arXiv:1406.2661",
            algorithms=("adversarial",),
            settings=GanSettings,
            build=_gan,
        ),
        _ratio(
            "nre-a",
            "ratio p(x | theta) / p(x) by a classifier of joint and marginal pairs",
            "Hermans et al. 2020, arXiv:1903.04057",
            denominator="marginal",
        ),
        _ratio(
            "nre-c",
            "ratio p(x | theta) / p(x) by a classifier that chooses among several theta",
            "Miller et al. 2022, arXiv:2210.06170",
            denominator="marginal",
        ),
        _ratio(
            "bnre",
            "nre-a with a balanced classifier, which is cautious rather than certain",
            "Delaunoy et al. 2022, arXiv:2208.13624",
            denominator="marginal",
        ),
        _ratio(
            "alice",
            "ratio p(x | theta) / p(x | theta_0) from the simulator's joint ratios",
            "Stoye et al. 2018, arXiv:1808.00973",
            denominator="reference",
        ),
        _ratio(
            "alices",
            "alice with the simulator's joint scores as a second teacher",
            "Stoye et al. 2018, arXiv:1808.00973",
            denominator="reference",
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
