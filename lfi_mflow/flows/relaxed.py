"""Relaxed injective flows: a bound instead of the volume."""

from __future__ import annotations

from torch import Tensor

from lfi_mflow.flows.charted import InjectiveFlow
from lfi_mflow.geometry import log_volume_bound

__all__ = ["RelaxedInjectiveFlow"]


class RelaxedInjectiveFlow(InjectiveFlow):
    r"""A manifold by an autoencoder, and a lower bound of the density on it.

    .. math:: \log p(x' | \theta) \ge \log p_h(e(x) | \theta)
              - \tfrac{n}{2} \log(\|J\|_F^2 / n)

    with the Jacobian J of the decoder, in the units of the observables. The bound is
    cheap in high dimensions, where the norm can be estimated by a single tangent;
    here it is exact. It holds with equality where the decoder is conformal, and
    training for it pulls the decoder there.

    Warning:
        What :meth:`log_prob` returns is no log-density: it lies below it, by an amount
        that is different for every event. Likelihood ratios at one event are right,
        because the bound does not depend on theta.

    References:
        | Relaxed Injective Flows, as "Regularized Autoencoders via Relaxed Injective
        | Probability Flow" (Kumar et al., 2020), https://arxiv.org/abs/2002.08927

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates.
        latent: The latent density.
    """

    reference = "bound"

    def _log_volume(self, u: Tensor, x: Tensor, theta: Tensor | None) -> Tensor:
        """Upper bound of the log-volume at latents: (B, n), (B, d) -> (B,)."""
        return log_volume_bound(self.decode, u, theta if self.conditional else None)
