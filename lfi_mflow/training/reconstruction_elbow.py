r"""The dimension by the distance of events to manifolds of dimension 1, 2, ...

A manifold with too few dimensions cannot reach the events; with n it can, and further
dimensions help no more. Autoencoders of each dimension are trained for a short while,
and the largest drop of the distance,

.. math:: \hat n = \arg\max_n \; \log \frac{\mathrm{RE}(n - 1)}{\mathrm{RE}(n)},

is where n is. It sees the dimensions that are wider than what a short training leaves,
a hundredth of the events' spread: narrower ones it cannot tell from none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from lfi_mflow.errors import ConfigError, DataError
from lfi_mflow.flows import Dimensions, build_flow
from lfi_mflow.geometry import Estimate, Points
from lfi_mflow.training.events import ResidentEvents
from lfi_mflow.training.loop import fit
from lfi_mflow.training.phases import Phase

__all__ = ["ReconstructionElbow"]

Array = NDArray[np.float64]

_SHARPNESS = 4.0  # of the weights in the logarithm of the drop
_RATE = 5e-3


@dataclass(frozen=True)
class ReconstructionElbow:
    """The largest drop of the reconstruction error of autoencoders with n.

    Arguments:
        largest: Largest n that is tried; the largest useful one is the rank minus one.
        epochs: Epochs of each training.
        events: Number of points that are trained on.
        seed: Seed of the trainings.

    Raises:
        ConfigError: If ``largest`` is less than 1.
    """

    largest: int = 16
    epochs: int = 20
    events: int = 20_000
    seed: int = 0
    name: ClassVar[str] = "reconstruction"

    def __post_init__(self) -> None:
        """Check the range."""
        if self.largest < 1:
            raise ConfigError("largest >= 1", str(self.largest), "raise it")

    def estimate(self, points: Points) -> Estimate:
        """Train autoencoders of all dimensions, and find the drop.

        Raises:
            DataError: If the points lie on a line: there is nothing to compare.
        """
        if points.rank < 2:
            raise DataError(
                "points that lie on no straight line, to compare reconstruction errors",
                "a linear rank of 1",
                "leave that estimator out: n = 1",
            )
        z = torch.from_numpy(points.z[: self.events]).float()
        tried = min(self.largest, points.rank - 1)
        errors = np.array([float(z.square().sum(dim=1).mean().sqrt())])
        errors = np.append(errors, [self._error(z, n) for n in range(1, tried + 1)])
        drops = -np.diff(np.log(errors))
        log_weights = np.full(points.rank, _SHARPNESS * float(drops.min()))
        log_weights[:tried] = _SHARPNESS * drops
        weights = np.exp(log_weights - log_weights.max())
        n = np.arange(1, points.rank + 1)
        value = int(np.argmax(weights)) + 1
        spread = float(np.sqrt(weights @ (n - value) ** 2 / weights.sum()))
        return Estimate(
            self.name,
            float(value),
            spread,
            log_weights,
            f"the distance to autoencoders drops by {np.exp(drops[value - 1]):.2g}",
            {"errors": errors.tolist()},
        )

    def _error(self, z: torch.Tensor, n: int) -> float:
        """Root-mean-square distance of validation points (N, r) to a manifold of dimension n."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            flow = build_flow("pae", Dimensions(data=z.shape[1], latent=n, theta=0), {})
        nothing = torch.zeros(len(z), 0)
        events = ResidentEvents(z, nothing, validation_fraction=0.1, seed=self.seed)
        phase = Phase("chart", "reconstruction", self.epochs, 250, _RATE)
        history = fit(flow, (phase,), events, seed=self.seed).phases[0]
        loss: float = history.epochs[history.best_epoch].validation
        return loss**0.5
