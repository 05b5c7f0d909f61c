"""Flows on a learned manifold."""

from __future__ import annotations

from torch import Tensor

from lfi_mflow.charts import Composition
from lfi_mflow.flows.charted import ChartedFlow
from lfi_mflow.flows.flow import EncodedEvents
from lfi_mflow.geometry import log_volume_by_minor, log_volume_by_tangents

__all__ = ["ManifoldFlow"]


class ManifoldFlow(ChartedFlow):
    r"""A manifold, and a conditional density on it.

    The manifold is the image of a chart g that does not depend on theta; the
    density of latents is h. With x' = g(e(x)) the projection of an event,

    .. math:: \log p(x' | \theta) = \log p_h(e(x) | \theta) - V(e(x))

    with respect to the n-dimensional volume (Hausdorff) measure in the units of
    the observables, where V is the log-volume of the chart *and* of the
    standardisation together.

    Warning:
        This is a density as far as e is a left inverse of g. A coupling chart is
        built that way; a free encoder has learnt it as well as its reconstruction
        error says.

    References:
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), https://arxiv.org/abs/2003.13913

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    reference = "hausdorff"

    def encode_events(self, x: Tensor) -> EncodedEvents:
        """Latents, distance to the manifold and -V of events: (N, d) -> (N, n), (N,), (N,)."""
        u = self.encode(x)
        projection = self.decode(u)
        distance = (x - projection).norm(dim=-1)
        return EncodedEvents(u, distance, -self._log_volume(u, projection))

    def log_volume(self, u: Tensor) -> Tensor:
        """Log-volume V of the decoder: (B, n) -> (B,).

        By the cheaper of the two exact methods: n forward-mode tangents, or the
        d - n reverse-mode rows of the complementary minor.
        """
        return self._log_volume(u, self.decode(u))

    def _log_volume(self, u: Tensor, x: Tensor) -> Tensor:
        """Log-volume V at latents and what they decode to: (B, n), (B, d) -> (B,)."""
        bijection = self.chart.bijection
        if bijection is None or self.data_dim - self.latent_dim > self.latent_dim:
            return log_volume_by_tangents(self.decode, u)
        whole = Composition([bijection, self.standardisation])
        return log_volume_by_minor(whole.inverse_and_log_det, x, self.latent_dim)
