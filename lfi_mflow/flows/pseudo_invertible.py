"""The pseudo-invertible encoder: a density around a manifold instead of on it."""

from __future__ import annotations

import math

from torch import Tensor

from lfi_mflow.charts import Bijection, Chart, Standardisation
from lfi_mflow.errors import ConfigError
from lfi_mflow.flows.charted import ChartedFlow
from lfi_mflow.flows.flow import EncodedEvents
from lfi_mflow.flows.latent import LatentFlow

__all__ = ["PseudoInvertibleEncoder"]


class PseudoInvertibleEncoder(ChartedFlow):
    r"""A bijection whose base is wide on the manifold and narrow off it.

    With :math:`(u, v) = f^{-1}(z)` and z the standardised event,

    .. math:: \log p(x | \theta) = \log p_h(u | \theta) + \log N(v; 0, \epsilon^2)
              + \log |\det d(u, v)/dx|

    per volume of R^d. Unless f depends on theta, as in the original model, all but
    the first term is free of it.

    Warning:
        Samples are drawn at v = 0, on the manifold f(u, 0), where this density has
        no mass: *samples do not follow the density*. That is how the model is
        defined.

    References:
        | PIE: Pseudo-Invertible Encoder (Beitler et al., 2021)
        | https://arxiv.org/abs/2111.00619
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), with and without a condition on theta
        | https://arxiv.org/abs/2003.13913

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: A chart that is part of a bijection f, in standardised coordinates.
        latent: The latent density h.
        epsilon: Standard deviation of v.

    Raises:
        ConfigError: If the chart has no bijection, or ``epsilon`` is not above zero.
    """

    reference = "lebesgue"

    def __init__(
        self, standardisation: Standardisation, chart: Chart, latent: LatentFlow, epsilon: float
    ) -> None:
        super().__init__(standardisation, chart, latent)
        if not 0 < epsilon < math.inf:
            raise ConfigError("0 < epsilon < infinity", str(epsilon), "correct it")
        self.epsilon = epsilon
        self._bijection()  # to fail now, if there is none

    def encode_events(self, x: Tensor, theta: Tensor | None = None) -> EncodedEvents:
        """Latents, distance to f(u, 0), and the density of v with the volume, for x (N, d)."""
        standardised, scaling = self.standardisation.inverse_and_log_det(x)
        condition = self.chart.condition(theta)
        latents, log_det = self._bijection().inverse_and_log_det(standardised, condition)
        u, v = latents.tensor_split([self.latent_dim], dim=-1)
        distance = (x - self.decode(u, theta)).norm(dim=-1)
        return EncodedEvents(u, distance, self._log_prob_off(v) + log_det + scaling)

    def _log_prob_off(self, v: Tensor) -> Tensor:
        """Log N(v; 0, epsilon^2): (B, d - n) -> (B,)."""
        normalisation = v.shape[-1] * math.log(self.epsilon * math.sqrt(2 * math.pi))
        return -0.5 * (v / self.epsilon).square().sum(dim=-1) - normalisation

    def _bijection(self) -> Bijection:
        """Return the bijection f of the chart."""
        if self.chart.bijection is None:
            raise ConfigError("a chart with a bijection", "one without", "take a coupling chart")
        return self.chart.bijection
