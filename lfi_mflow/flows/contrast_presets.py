"""The presets of models without a density, which flows are compared with."""

from __future__ import annotations

from typing import Any

from lfi_mflow.charts import AutoencoderChart, GeneratorChart, Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows.contrasts import GenerativeAdversarialNetwork, VariationalAutoencoder
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.preset import Preset, latent_flow
from lfi_mflow.flows.ratio import Denominator, RatioEstimator
from lfi_mflow.flows.ratio_networks import FreeRatio, QuadraticRatio
from lfi_mflow.flows.settings import (
    AutoencoderSettings,
    Dimensions,
    GanSettings,
    RatioSettings,
)

__all__ = ["CONTRAST_PRESETS"]


def _vae(dimensions: Dimensions, settings: AutoencoderSettings) -> Flow:
    """Build a variational autoencoder: the parts of a PAE, with noise in the latents."""
    return VariationalAutoencoder(
        Standardisation(dimensions.data),
        AutoencoderChart(dimensions.data, dimensions.latent, settings.encoder, settings.decoder),
        latent_flow(dimensions, settings),
        settings.encoder,
    )


def _gan(dimensions: Dimensions, settings: GanSettings) -> Flow:
    """Build a generative adversarial network: a decoder on a latent flow, and a discriminator."""
    return GenerativeAdversarialNetwork(
        Standardisation(dimensions.data),
        GeneratorChart(dimensions.data, dimensions.latent, settings.decoder),
        latent_flow(dimensions, settings),
        settings.discriminator,
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
        kind = FreeRatio if settings.dependence == "free" else QuadraticRatio
        return RatioEstimator(
            Standardisation(dimensions.data),
            dimensions.theta,
            kind(dimensions.data, dimensions.theta, settings.network),
            denominator,
        )

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


CONTRAST_PRESETS: tuple[Preset[Any], ...] = (
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
