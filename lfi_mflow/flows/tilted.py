"""A flow on a manifold for events of all theta, and a ratio that makes one at each theta of it."""

from __future__ import annotations

import torch
from torch import Tensor

from lfi_mflow.charts import Chart, Standardisation
from lfi_mflow.flows.latent import LatentFlow, mean_and_scale
from lfi_mflow.flows.manifold import ManifoldFlow
from lfi_mflow.flows.ratio_networks import QuadraticRatio

__all__ = ["MOST_MISSED", "TiltedManifoldFlow"]

MOST_MISSED = 10.0
"""How many times the density h a ratio can make of it, on average over theta: where h has nearly no
events, a ratio without bound would give all of the probability to the next that it has there."""

_BLOCK = 2**14
_NORMALISED = 2**18
_TRIED = 2**12
"""Latents that are drawn at once, at least: enough to see how large ratios are."""


class TiltedManifoldFlow(ManifoldFlow):
    r"""A density of the events of all theta together, tilted by a ratio.

    .. math:: p(u | \theta) = p_h(u) \, r(u | \theta), \quad \mathrm{E}_h[r(u | \theta)] = 1

    with h a flow that does not depend on theta and r a network
    (:class:`~lfi_mflow.flows.ratio_networks.QuadraticRatio`). Each does what it does best:
    the flow says where events are, and spends nothing on theta; the ratio says what theta
    changes, and what the flow has got wrong, as a classifier does that tells the flow's events
    from those of the simulator. Samples are events of the flow, taken or refused by their ratio.

    References:
        | Flow contrastive estimation of energy-based models (Gao et al., 2020)
        | https://arxiv.org/abs/1912.00589
        | Resampled priors for variational autoencoders (Bauer and Mnih, 2019)
        | https://arxiv.org/abs/1810.11428
        | DCTRGAN: improving the precision of generative models with reweighting
        | (Diefenbacher et al., 2020), https://arxiv.org/abs/2009.03796

    Arguments:
        standardisation: Map from standardised coordinates to the observables.
        chart: The chart, in standardised coordinates; it does not depend on theta.
        latent: The density h, which does not depend on theta.
        ratio: The ratio r, of the standardised coordinates of h and of standardised theta.
    """

    theta_mean: Tensor
    theta_scale: Tensor
    log_average: Tensor

    def __init__(
        self,
        standardisation: Standardisation,
        chart: Chart,
        latent: LatentFlow,
        ratio: QuadraticRatio,
    ) -> None:
        super().__init__(standardisation, chart, latent)
        self.ratio = ratio
        self.theta_dim = ratio.theta_dim
        self.register_buffer("theta_mean", torch.zeros(self.theta_dim))
        self.register_buffer("theta_scale", torch.ones(self.theta_dim))
        self.register_buffer("log_average", torch.zeros(()))

    @torch.no_grad()
    def standardise_theta(self, theta: Tensor) -> None:
        """Fit the standardisation of parameters: (N, p); one that never changes keeps scale 1."""
        if not self.theta_dim:  # torch warns about moments of nothing
            return
        mean, scale = mean_and_scale(theta)
        self.theta_mean.copy_(mean)
        self.theta_scale.copy_(scale)

    @torch.no_grad()
    def normalise(self, generator: torch.Generator, draws: int = _NORMALISED) -> None:
        """Make the average of r over the density h one, at all theta at once.

        Arguments:
            generator: What draws from h.
            draws: How many latents stand for h; r is then normalised to
                sqrt(Var_h[r] / draws).
        """
        total = torch.zeros((), dtype=torch.float64)
        for first in range(0, draws, _BLOCK):
            rows = self.theta_mean.new_empty(min(_BLOCK, draws - first), 0)
            z = self.latent.coordinates(self.latent.sample(rows, generator), rows)
            total = total + self.ratio.moments(z).sum(dim=0)
        self.log_average.copy_(self.ratio.normalise(total / draws))

    def log_ratio(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log r of latents: (..., n), (..., p) -> (...); leading shapes broadcast."""
        condition = (theta - self.theta_mean) / self.theta_scale
        return self.ratio(self.latent.coordinates(u, theta), condition) - self.log_average

    def log_prob_latent(self, u: Tensor, theta: Tensor) -> Tensor:
        """Log p_h(u) + log r(u | theta): (..., n), (..., p) -> (...)."""
        return self.latent.log_prob(u, theta[..., :0]) + self.log_ratio(u, theta)

    @torch.no_grad()
    def sample_latent(self, theta: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one latent per row of theta: (B, p) -> (B, n).

        By rejection, with the largest ratio that has been seen for the bound that is not known
        (empirical supremum rejection sampling: Caffo, Booth and Davis 2002).
        """
        if not len(theta):
            return theta.new_empty(0, self.latent_dim)
        home = theta.device if generator is None else generator.device
        drawn = theta.new_empty(len(theta), self.latent_dim)
        left = torch.arange(len(theta), device=theta.device)
        bound: Tensor | None = None
        while len(left):
            tries = -(-_TRIED // len(left))
            rows = theta[left].repeat(tries, 1)
            u = self.latent.sample(rows, generator)
            log_ratio = self.log_ratio(u, rows)
            bound = log_ratio.max() if bound is None else torch.maximum(bound, log_ratio.max())
            chance = torch.rand(len(rows), generator=generator, device=home).to(log_ratio)
            taken = (chance.log() < log_ratio - bound).unflatten(0, (tries, -1))
            # the first that is taken for each row
            found, first = taken.any(dim=0), taken.int().argmax(dim=0)
            u = u.unflatten(0, (tries, -1))[first, torch.arange(len(left), device=u.device)]
            drawn[left[found]] = u[found]
            left = left[~found]
        return drawn
