"""Flows on a learned manifold."""

from __future__ import annotations

from torch import Tensor

from lfi_mflow.charts import Composition
from lfi_mflow.flows.charted import InjectiveFlow
from lfi_mflow.geometry import (
    log_volume_by_minor,
    log_volume_by_push,
    log_volume_by_tangents,
)

__all__ = ["ManifoldFlow"]

_TANGENTS_PER_ROW = 5


class ManifoldFlow(InjectiveFlow):
    r"""A manifold, and a conditional density on it.

    The manifold is the image of a chart g; the density of latents is h. With
    x' = g(e(x)) the projection of an event,

    .. math:: \log p(x' | \theta) = \log p_h(e(x) | \theta) - V(e(x))

    with respect to the n-dimensional volume (Hausdorff) measure in the units of
    the observables, where V is the log-volume of the chart *and* of the
    standardisation together.

    Warning:
        This is a density as far as e is a left inverse of g. A coupling chart is
        built that way; a free encoder has learnt it as well as its reconstruction
        error says.

        If the chart depends on theta, so does the manifold. Densities on different
        manifolds are mutually singular, and their ratio means nothing.

    References:
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), https://arxiv.org/abs/2003.13913

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    reference = "hausdorff"

    def _log_volume(self, u: Tensor, x: Tensor, theta: Tensor | None) -> Tensor:
        """Log-volume V at latents and what they decode to: (B, n), (B, d) -> (B,).

        In closed form if the chart has one; otherwise by the cheapest exact method: n
        forward-mode tangents, which a bijection pushes itself, or the d - n reverse-mode
        rows of the complementary minor, each of which costs as much as five such tangents.
        """
        known = self.chart.log_volume(u, self.standardisation, theta)
        if known is not None:
            return known
        bijection = self.chart.bijection
        if bijection is None:
            condition = theta if self.conditional else None
            return log_volume_by_tangents(self.decode, u, condition)
        whole, condition = (
            Composition([bijection, self.standardisation]),
            self.chart.condition(theta),
        )
        if self.latent_dim > _TANGENTS_PER_ROW * (self.data_dim - self.latent_dim):
            return log_volume_by_minor(whole.inverse_and_log_det, x, self.latent_dim, condition)
        return log_volume_by_push(whole.push, u, self.data_dim, condition)
