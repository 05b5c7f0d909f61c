"""Free-form injective flows: a manifold by two free networks, of whatever kind.

References:
    | Lifting Architectural Constraints of Injective Flows (Sorrenson et al., 2024)
    | https://arxiv.org/abs/2306.01843
"""

from __future__ import annotations

from dataclasses import dataclass

from lfi_mflow.charts import (
    AutoencoderChart,
    Chart,
    ConvolutionalChart,
    ImageSettings,
    Standardisation,
)
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.preset import latent_flow
from lfi_mflow.flows.settings import AutoencoderSettings, Dimensions

__all__ = ["FreeFormSettings", "build_free_form"]


@dataclass(frozen=True)
class FreeFormSettings(AutoencoderSettings):
    """The architecture of a free-form injective flow.

    Arguments:
        encoder: The network that encodes, or what follows its convolutions.
        decoder: The network that decodes, or what its convolutions follow.
        latent: The latent flow.
        image: What the observables are as an image, for convolutions; None if they are none.
    """

    image: ImageSettings | None = None

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        if self.image is None:
            return super().least_elements(dimensions)
        n = dimensions.latent
        chart = self.image.least_elements(n, self.encoder, self.decoder)
        return chart + self.latent.least_elements(n, dimensions.theta)


def build_free_form(dimensions: Dimensions, settings: FreeFormSettings) -> Flow:
    """Build a free-form injective flow: two networks, conditional spline flow between them.

    Raises:
        ConfigError: If the data have another dimension than the image.
    """
    # The chart first, as in every preset: the order decides which weights a seed gives.
    chart, latent = _chart(dimensions, settings), latent_flow(dimensions, settings)
    return ManifoldFlow(Standardisation(dimensions.data), chart, latent)


def _chart(dimensions: Dimensions, settings: FreeFormSettings) -> Chart:
    """Build the two networks."""
    d, n = dimensions.data, dimensions.latent
    if settings.image is None:
        return AutoencoderChart(d, n, settings.encoder, settings.decoder)
    return ConvolutionalChart(d, n, settings.image, settings.encoder, settings.decoder)
