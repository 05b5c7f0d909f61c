r"""The vector-quantised autoencoder that says where the charts of an atlas lie.

An encoder E maps events to an embedding, in which there are K centres :math:`v_k`; a
decoder D maps centres back. With the distances :math:`d_k = \|E(x) - v_k\|` and their
sorted permutation :math:`\tilde d_1 \le ... \le \tilde d_K`, the chart k is to cover

.. math:: U_k = \{ x : d_k(x) < (1 + \epsilon) \tilde d_m(x) \}

so that every event belongs to m charts at least, and neighbours overlap.

The centres are means of the events nearest to them, followed by running averages; they
start from k-means. A centre that is nearest to next to nothing is dead: it is moved to where
events are farthest from theirs.

References:
    | Neural Discrete Representation Learning (van den Oord et al., 2017), appendix A.1
    | https://arxiv.org/abs/1711.00937
    | VQ-Flows: Vector Quantized Local Normalizing Flows (Sidheekh et al., 2022)
    | https://arxiv.org/abs/2203.11556
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork
from lfi_mflow.errors import ConfigError

__all__ = ["QuantiserSettings", "VectorQuantiser"]

DEAD = 0.05
"""A centre is dead below this fraction of its fair share of events."""
_ROUNDS = 25
_CLUSTERED = 20_000


@dataclass(frozen=True)
class QuantiserSettings:
    """The architecture of a vector quantiser, and the rule by which charts overlap.

    Arguments:
        charts: Number K of centres.
        embedding: Dimension n' of the embedding; 0 for that of the data.
        neighbours: Number m of charts that every event belongs to at least.
        overlap: How much farther than the m-th nearest centre others may be, epsilon.
        decay: Decay of the running averages that the centres are, per step.
        hidden: Width of the hidden layers of encoder and decoder.
        blocks: Number of their residual blocks.
    """

    charts: int = 12
    embedding: int = 0
    neighbours: int = 1
    overlap: float = 1.0
    decay: float = 0.99
    hidden: int = 32
    blocks: int = 1

    def __post_init__(self) -> None:
        """Check the values."""
        for name, least in (("charts", 1), ("embedding", 0), ("hidden", 1), ("blocks", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} >= {least}", str(getattr(self, name)), "raise it")
        if not 1 <= self.neighbours <= self.charts:
            raise ConfigError(
                f"neighbours from 1 to {self.charts}, the number of charts",
                str(self.neighbours),
                "correct one of them",
            )
        # without an overlap the strict < would leave the m-th chart, or all, without events
        if not (0 < self.overlap < math.inf and 0 <= self.decay < 1):
            raise ConfigError(
                "0 < overlap < infinity and 0 <= decay < 1",
                f"{self.overlap} and {self.decay}",
                "correct them",
            )

    def embedding_dim(self, data_dim: int) -> int:
        """Return n' for events of dimension d.

        Raises:
            ConfigError: If it is larger than d.
        """
        if self.embedding > data_dim:
            raise ConfigError(
                f"embedding <= d = {data_dim}", str(self.embedding), "lower it, or leave it out"
            )
        return self.embedding or data_dim

    def least_elements(self, data_dim: int) -> int:
        """Return a lower bound of the number of weights and centres."""
        dim = self.embedding or data_dim
        network = NetworkSettings(self.hidden, self.blocks)
        networks = network.least_elements(data_dim, dim) + network.least_elements(dim, data_dim)
        return networks + self.charts * (2 * dim + 1)


class VectorQuantiser(nn.Module):
    r"""Centres of charts in an embedding of standardised events.

    .. math:: E(z) = (z_1, ..., z_{n'}) + \phi(z), \qquad D(v) = (v, 0) + \psi(v)

    Both start without their networks: the first centres are k-means of the principal
    coordinates.

    Arguments:
        data_dim: Dimension d of the data.
        settings: The architecture.

    Attributes:
        centres: The centres v_k, with shape (K, n').
        revived: How many dead centres were moved in the training so far.

    Raises:
        ConfigError: If the embedding has more dimensions than the data.
    """

    centres: Tensor
    counts: Tensor
    sums: Tensor
    revived: Tensor

    def __init__(self, data_dim: int, settings: QuantiserSettings) -> None:
        super().__init__()
        self.settings = settings
        self.data_dim, self.dim = data_dim, settings.embedding_dim(data_dim)
        self.encoder = ResidualNetwork(data_dim, self.dim, settings.hidden, settings.blocks)
        self.decoder = ResidualNetwork(self.dim, data_dim, settings.hidden, settings.blocks)
        # apart from each other, so that charts differ before anything is trained
        apart = torch.linspace(-1, 1, settings.charts)[:, None] if settings.charts > 1 else 0.0
        self.register_buffer("centres", torch.zeros(settings.charts, self.dim) + apart)
        self.register_buffer("counts", torch.ones(settings.charts))
        self.register_buffer("sums", self.centres.clone())
        self.register_buffer("revived", torch.zeros(()))

    def encode(self, z: Tensor) -> Tensor:
        """Embed standardised events: (B, d) -> (B, n')."""
        return z[..., : self.dim] + self.encoder(z)

    def decode(self, v: Tensor) -> Tensor:
        """Standardised events of an embedding: (B, n') -> (B, d)."""
        return F.pad(v, (0, self.data_dim - self.dim)) + self.decoder(v)

    def distances(self, z: Tensor) -> Tensor:
        """Distances d_k of standardised events to all centres: (B, d) -> (B, K)."""
        return _distances(self.encode(z), self.centres)

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest centre: (B, d) -> (B,)."""
        return self.distances(z).argmin(dim=-1)

    def members(self, z: Tensor) -> Tensor:
        """Whether standardised events belong to U_k: (B, d) -> (B, K)."""
        distances = self.distances(z)
        limit = distances.sort(dim=-1).values[..., self.settings.neighbours - 1, None]
        # an event on a centre has d~_1 = 0, and would belong nowhere
        return (distances < (1 + self.settings.overlap) * limit) | (distances == limit)

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Set the centres to those of k-means of standardised events (N, d).

        Raises:
            ConfigError: If there are fewer events than charts.
        """
        charts = self.settings.charts
        points = self.encode(z[:_CLUSTERED])
        if len(points.unique(dim=0)) < charts:
            raise ConfigError(
                f"at least as many different events as charts ({charts})",
                f"{len(points.unique(dim=0))}",
                "lower charts, or simulate more",
            )
        centres, counts = _k_means(points, charts)
        self._place(centres, counts / len(points))

    @torch.no_grad()
    def follow(self, z: Tensor) -> None:
        """Move the centres with the events of a step (B, d), and dead ones to a new place."""
        points = self.encode(z)
        sums, counts = _sums(points, _distances(points, self.centres).argmin(dim=-1), self.counts)
        decay = self.settings.decay
        self.counts.mul_(decay).add_(counts / len(points), alpha=1 - decay)
        self.sums.mul_(decay).add_(sums / len(points), alpha=1 - decay)
        self.centres.copy_(self.sums / self.counts.clamp_min(1e-12)[:, None])
        self._revive(points)

    def _revive(self, points: Tensor) -> None:
        """Move dead centres to the embedded events (B, n') that are farthest from theirs."""
        fair = 1 / self.settings.charts
        for chart in (self.counts < DEAD * fair).nonzero().flatten().tolist():
            far = points[_distances(points, self.centres).amin(dim=-1).argmax()]
            self.centres[chart], self.counts[chart], self.sums[chart] = far, fair, far * fair
            self.revived.add_(1)

    def _place(self, centres: Tensor, shares: Tensor) -> None:
        """Set centres (K, n') and the share of events of each (K,)."""
        self.centres.copy_(centres)
        self.counts.copy_(shares)
        self.sums.copy_(centres * shares[:, None])


def _distances(points: Tensor, centres: Tensor) -> Tensor:
    """Distances of points to centres: (B, k), (K, k) -> (B, K)."""
    return torch.linalg.vector_norm(points[..., None, :] - centres, dim=-1)


def _sums(points: Tensor, nearest: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Sums and numbers of the points of each centre: (B, k), (B,) -> (K, k), (K,)."""
    chosen = F.one_hot(nearest, len(like)).to(points)
    return chosen.mT @ points, chosen.sum(dim=0)


def _k_means(points: Tensor, charts: int) -> tuple[Tensor, Tensor]:
    """Return centres (K, k) of points (N, k) and their numbers (K,): k-means++, then Lloyd."""
    generator = torch.Generator().manual_seed(0)
    centres = points[:1]
    while len(centres) < charts:
        square = _distances(points, centres).amin(dim=-1).square().cpu().double()
        centres = torch.cat([centres, points[torch.multinomial(square, 1, generator=generator)]])
    like = points.new_zeros(charts)
    for _ in range(_ROUNDS):
        sums, counts = _sums(points, _distances(points, centres).argmin(dim=-1), like)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres, _sums(points, _distances(points, centres).argmin(dim=-1), like)[1]
