"""The VQ-flow: a mixture of flows on the charts of an atlas."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from lfi_mflow.charts import AtlasChart, AtlasSettings, QuantiserSettings, Standardisation
from lfi_mflow.flows.atlas_latent import ABSENT, AtlasLatent, Slots, pack
from lfi_mflow.flows.flow import EncodedEvents, Flow
from lfi_mflow.flows.latent import LatentSettings
from lfi_mflow.flows.settings import Dimensions, FlowSettings

__all__ = ["AtlasFlow", "AtlasFlowSettings"]


@dataclass(frozen=True)
class AtlasFlowSettings(FlowSettings):
    """The architecture of a VQ-flow.

    Arguments:
        quantiser: The vector-quantised autoencoder that places the charts.
        chart: The charts.
        latent: The flow on the coordinates of each chart.
    """

    quantiser: QuantiserSettings = field(default_factory=QuantiserSettings)
    chart: AtlasSettings = field(default_factory=AtlasSettings)
    latent: LatentSettings = field(default_factory=LatentSettings)

    def least_elements(self, dimensions: Dimensions) -> int:
        """Return a lower bound of the number of weights."""
        d, n, charts = dimensions.data, dimensions.latent, self.quantiser.charts
        known = (self.quantiser.embedding or d) + self.chart.features
        chart = self.chart.least_elements(d, n, known) + self.quantiser.least_elements(d)
        chart += charts * self.chart.features
        return chart + self.latent.least_elements(n, dimensions.theta + charts)


class AtlasFlow(Flow):
    r"""A manifold of several charts, and a conditional density on it.

    An event is projected by the chart that reproduces it best. At the projection x',

    .. math:: \log p(x' | \theta) = \log \sum_{k: x' \in M_k}
              p_k(\theta) \, q(f_k(x') | k, \theta) \, e^{-V_k(f_k(x'))}

    with respect to the n-dimensional volume (Hausdorff) measure in the units of the
    observables. :math:`M_k` is the image of the chart k: x' belongs to it if the chart
    reproduces it to within the tolerance of the atlas. :math:`V_k` is the log-volume of the
    decoder, the standardisation included.

    Each term is the density of what the chart generates, on all of its image. So the sum
    is normalised on the union of the images, whatever the weights are: nothing is cut off at
    the borders of the regions that charts were trained on.

    Warning:
        Charts that differ by more than the tolerance where both have events are two sheets
        of the manifold, of which an event counts on the nearer one only. Sheets of the manifold
        that are closer than the tolerance count as one.

    References:
        | VQ-Flows: Vector Quantized Local Normalizing Flows (Sidheekh et al., 2022)
        | https://arxiv.org/abs/2203.11556

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The atlas, in standardised coordinates.
        latent: The density of charts and coordinates.
    """

    reference = "hausdorff"
    chart: AtlasChart
    latent: AtlasLatent  # type: ignore[assignment]

    def __init__(
        self, standardisation: Standardisation, chart: AtlasChart, latent: AtlasLatent
    ) -> None:
        super().__init__()
        self.standardisation = standardisation
        self.chart = chart
        self.latent = latent
        self.data_dim = chart.data_dim
        self.latent_dim = chart.latent_dim
        self.theta_dim = len(latent.theta_mean)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Number of the best chart of events, and coordinates in it: (B, d) -> (B, 1 + n)."""
        return self.chart.encode(self.standardisation.inverse(x))

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Events of a chart and coordinates: (B, 1 + n) -> (B, d)."""
        return self.standardisation(self.chart.decode(u))

    def latents(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """The charts of events, coordinates and volumes: (B, d) -> (B, K (2 + n))."""
        return self.encode_events(x).u

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """Codes, distance to the manifold and -V of the best chart: (N, d) -> EncodedEvents."""
        z = self.standardisation.inverse(x)
        cover = self.chart.cover(z)
        best = cover.distance.argmin(dim=-1)
        coordinates = self.chart.coordinates(cover, best)
        projection = self.chart.decode(coordinates)
        distance = torch.linalg.vector_norm(x - self.standardisation(projection), dim=-1)
        code, log_volume = self._code(projection, best, coordinates[:, 1:])
        return EncodedEvents(code, distance, -log_volume)

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log of the sum over charts, by codes: (..., K (2 + n)), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta)

    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw a chart and coordinates for each row of theta: (B, p) -> (B, 1 + n)."""
        return self.latent.sample(theta, generator)

    def log_volume(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Log-volume V of a chart, in the units of the observables: (B, 1 + n) -> (B,)."""
        chart = u[..., 0].round().long()
        return self.chart.log_volume_in(u[..., 1:], chart, self.standardisation)

    def chart_probabilities(self, x: Tensor, theta: Tensor) -> Tensor:
        """Probabilities p(k | x, theta) of the charts: (B, d), (B, p) -> (B, K)."""
        charts, terms = self.latent.log_terms(self.latents(x), theta)
        zeros = terms.new_zeros(len(x), self.chart.n_charts)
        return zeros.scatter_add(-1, charts, terms.softmax(dim=-1))

    def infer(self, x: Tensor, theta: Tensor) -> Tensor:
        """The most probable chart of events, and coordinates: (B, d), (B, p) -> (B, 1 + n)."""
        cover = self.chart.cover(self.standardisation.inverse(x))
        return self.chart.coordinates(cover, self.chart_probabilities(x, theta).argmax(dim=-1))

    def _code(self, z: Tensor, best: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Codes of points of the manifold, and the log-volume of their best chart.

        Arguments:
            z: Points of the manifold in standardised coordinates, with shape (B, d).
            best: The chart of each that they are decoded by, with shape (B,).
            u: Their coordinates in it, with shape (B, n).
        """
        cover = self.chart.cover(z)
        own = F.one_hot(best, self.chart.n_charts).bool()
        coordinates = torch.where(own[..., None], u[:, None, :], cover.u)
        there = own | (cover.distance < self.chart.settings.tolerance)
        event, chart = there.nonzero(as_tuple=True)
        volumes = self.chart.log_volume_in(coordinates[there], chart, self.standardisation)
        log_weight = coordinates.new_full(there.shape, ABSENT)
        log_weight = log_weight.index_put((event, chart), -volumes)
        log_volume = -log_weight.gather(-1, best[:, None])
        log_weight = torch.where(there, log_weight + log_volume, ABSENT)
        order = (own.int() * 2 + there.int()).argsort(dim=-1, descending=True, stable=True)
        slots = Slots(
            order,
            log_weight.gather(-1, order),
            torch.where(there[..., None], coordinates, 0.0).take_along_dim(order[..., None], dim=1),
        )
        return pack(slots), log_volume.squeeze(-1)
