r"""The dimension by the likelihood of noisy events as a function of the noise.

Events on a manifold of dimension n in r dimensions, with normal noise of width
:math:`\sigma` added, have at the events themselves the density

.. math:: \log p_\sigma(x) = (n - r) \log \sigma + \mathrm{const} + O(\sigma^2),

because the noise spreads them over a volume :math:`\sigma^{r-n}` across the manifold. An
ambient flow is trained for each of a few widths; the slope tells n. It is unbiased by
sparse points, as far as the flows learn densities that narrow: in many dimensions, they
take more training than there is time for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.geometry import Estimate, Points, skewed_log_weights
from lfi_mflow.training.events import ResidentEvents
from lfi_mflow.training.loop import fit
from lfi_mflow.training.phases import density

__all__ = ["NoiseSlope"]

_SYSTEMATIC = 0.12  # relative, of the densities, by judgement
_LEAST_ERROR = 0.25


@dataclass(frozen=True)
class NoiseSlope:
    """LIDL: the slope of the log-likelihood of ambient flows against the width of noise.

    References:
        | LIDL: Local Intrinsic Dimension Estimation Using Approximate Likelihood
        | (Tempczyk et al., 2022), https://arxiv.org/abs/2206.14882

    Arguments:
        widths: Standard deviations of the noise, of points with unit variances.
        epochs: Epochs of each training.
        batch_size: Events of a step.
        events: Number of points that are trained on.
        seed: Seed of noise and training.

    Raises:
        ConfigError: If there are fewer than two positive widths.
    """

    widths: tuple[float, ...] = (0.03, 0.05, 0.1)
    epochs: int = 15
    batch_size: int = 250
    events: int = 20_000
    seed: int = 0
    name: ClassVar[str] = "lidl"

    def __post_init__(self) -> None:
        """Check the widths."""
        if len(set(self.widths)) < 2 or min(self.widths) <= 0:
            raise ConfigError("two or more positive widths", str(self.widths), "add some")

    def estimate(self, points: Points) -> Estimate:
        """Train a flow for each width, and fit the slope."""
        z = torch.from_numpy(points.z[: self.events]).float()
        log_prob = np.stack([self._log_prob(z, sigma) for sigma in self.widths])
        log_sigma = np.log(self.widths)
        centred = log_sigma - log_sigma.mean()
        slopes = centred @ log_prob / (centred @ centred)
        value = float(np.clip(points.rank + slopes.mean(), 0.0, points.rank))
        error = self._error(log_prob.mean(axis=1), centred, slopes)
        n = np.arange(1, points.rank + 1)
        sd = np.hypot(error, np.maximum(_SYSTEMATIC * n, _LEAST_ERROR))
        return Estimate(
            self.name,
            value,
            error,
            skewed_log_weights(points.rank, value, sd, sd),
            "slope of the log-likelihood against that of the noise",
            {"widths": list(self.widths), "log_prob": log_prob.mean(axis=1).tolist()},
        )

    def _log_prob(self, z: torch.Tensor, sigma: float) -> np.ndarray:
        """Log-density of noisy points at the points (N, r) without noise: -> (N,)."""
        generator = torch.Generator().manual_seed(self.seed)
        noisy = z + sigma * torch.randn(z.shape, generator=generator)
        rank = z.shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            flow = build_flow("af", Dimensions(data=rank, latent=rank, theta=0), {})
        nothing = torch.zeros(len(z), 0)
        events = ResidentEvents(noisy, nothing, validation_fraction=0.1, seed=self.seed)
        fit(flow, density(self.epochs, self.batch_size), events, seed=self.seed)
        with torch.no_grad():
            found = [flow.log_prob(block, nothing[: len(block)]) for block in z[:4000].split(1000)]
        return torch.cat(found).double().numpy()

    @staticmethod
    def _error(means: np.ndarray, centred: np.ndarray, slopes: np.ndarray) -> float:
        """Standard error of the slope: its spread over points, and how crooked the line is."""
        statistical = float(slopes.std()) / len(slopes) ** 0.5
        free = len(means) - 2
        if not free:
            return statistical
        line = means.mean() + centred * (centred @ means) / (centred @ centred)
        crooked = float(np.sum((means - line) ** 2) / free / (centred @ centred)) ** 0.5
        return float(np.hypot(statistical, crooked))
