"""Linear bijections: the learned one between couplings, and the standardisation."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor, nn

from lfi_mflow.charts.bijection import Bijection
from lfi_mflow.errors import DataError

__all__ = ["PIXEL", "Standardisation", "TriangularLinear"]

MAX_LOG_SCALE = 3.0
"""Bound of the logarithms of the diagonal of a learned linear map."""
COMMON_SCALE_RANGE = 10.0
"""Features of one unit share a scale while their spreads differ by less than this factor."""
PIXEL = "pixel"
"""Features of this unit are those of one image, and share a scale whatever their spreads are."""


class TriangularLinear(Bijection):
    r"""A learned linear map :math:`x = L U z + b` with a positive diagonal of U.

    It starts as the identity, and it cannot become singular: :math:`|\det| =
    \exp \sum_i s_i` with the diagonal of U equal to :math:`\exp s_i`, and
    :math:`|s_i| < 3`, which keeps a few bad steps from growing exponentially.
    Dimensions are mixed by the couplings around it, so it needs no permutation.

    Arguments:
        dim: The dimension d.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(dim, dim))
        self.upper = nn.Parameter(torch.zeros(dim, dim))
        self.log_diagonal = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def _log_scale(self) -> Tensor:
        """Return the bounded logarithms of the diagonal of U."""
        return MAX_LOG_SCALE * (self.log_diagonal / MAX_LOG_SCALE).tanh()

    def _factors(self) -> tuple[Tensor, Tensor]:
        """Return the triangular factors L and U."""
        unit = torch.eye(len(self.bias), dtype=self.bias.dtype, device=self.bias.device)
        diagonal = unit * self._log_scale().exp()
        return self.lower.tril(-1) + unit, self.upper.triu(1) + diagonal

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map latents to data: (B, d) -> (B, d)."""
        lower, upper = self._factors()
        return torch.addmm(self.bias[:, None], lower @ upper, z.T).T

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d)."""
        lower, upper = self._factors()
        matrix = (lower @ upper).T
        return z @ matrix + self.bias, tangents @ matrix

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map data to latents: (B, d) -> (B, d)."""
        lower, upper = self._factors()
        half = torch.linalg.solve_triangular(lower, (x - self.bias).T, upper=False)
        return torch.linalg.solve_triangular(upper, half, upper=True).T

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        return self.inverse(x), -self._log_scale().sum().expand(x.shape[:-1])


class Standardisation(Bijection):
    r"""Scaling and principal axes: :math:`x = \mu + s \odot (Q z)`.

    Features that share a unit share a scale, so that the shape of a manifold in
    their common space is kept; where their spreads are very different, only if they are
    pixels. The columns of the rotation Q are the principal axes of the scaled data by
    falling variance: padding n latents with zeros is then the best linear manifold, the
    point from which a chart starts to learn.

    It is fitted, not trained, and belongs to the model: densities are in the
    units of the observables.

    Arguments:
        dim: The dimension d.
        turns: Whether Q holds the principal axes; otherwise it is the identity.
    """

    mean: Tensor
    scale: Tensor
    axes: Tensor
    spectrum: Tensor

    def __init__(self, dim: int, *, turns: bool = True) -> None:
        super().__init__()
        self.turns = turns
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("axes", torch.eye(dim))
        self.register_buffer("spectrum", torch.ones(dim))

    @torch.no_grad()
    def fit(self, mean: Tensor, covariance: Tensor, units: Sequence[Hashable]) -> None:
        """Set the standardisation from the moments of the data.

        Arguments:
            mean: Means of the features, with shape (d,).
            covariance: Covariance of the features in float64, with shape (d, d).
            units: A label for each feature; features of one label share a scale.

        Raises:
            DataError: If a feature never changes.
        """
        spread = covariance.diagonal().sqrt()
        constant = (spread <= 1e-12 * mean.abs().clamp_min(1e-300)).nonzero().flatten().tolist()
        if constant:
            raise DataError(
                "observables that vary",
                f"a constant value in column {constant[0]}",
                "leave that observable out",
            )
        scale = _shared_scale(spread, units)
        scaled = covariance / torch.outer(scale, scale)
        self.mean.copy_(mean)
        self.scale.copy_(scale)
        if self.turns:
            spectrum, axes = torch.linalg.eigh(scaled)
            self.axes.copy_(axes.flip(-1))
            self.spectrum.copy_(spectrum.flip(-1).clamp_min(0))
        else:
            self.spectrum.copy_(scaled.diagonal())

    def forward(self, z: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map standardised coordinates to the observables: (B, d) -> (B, d)."""
        return self.mean + self.scale * (z @ self.axes.T)

    def push(
        self, z: Tensor, tangents: Tensor, theta: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Map latents, and k tangents at each: (B, d), (B, k, d) -> (B, d), (B, k, d)."""
        return self(z), self.scale * (tangents @ self.axes.T)

    def inverse(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Map observables to standardised coordinates: (B, d) -> (B, d)."""
        return ((x - self.mean) / self.scale) @ self.axes

    def inverse_and_log_det(self, x: Tensor, theta: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map data to latents with log|det dz/dx|: (B, d) -> (B, d), (B,)."""
        return self.inverse(x), -self.scale.log().sum().expand(x.shape[:-1])

    def log_area(self, normal: Tensor) -> Tensor:
        r"""Log-factor of the area of hypersurfaces, by their normals N: (B, d) -> (B,).

        .. math:: \log |\det M| + \log (|M^{-T} N| / |N|), \qquad M = \mathrm{diag}(s) Q

        (Nanson's formula).

        Arguments:
            normal: Normals in standardised coordinates, of any length, with shape (B, d).
        """
        turned = (normal @ self.axes.T) / self.scale
        length = torch.linalg.vector_norm(turned, dim=-1) / torch.linalg.vector_norm(normal, dim=-1)
        return self.scale.log().sum() + length.log()

    def log_common_scale(self) -> Tensor | None:
        """Logarithm of the one scale that all features share, with shape (); None if they do not.

        Then the standardisation is a similarity, which keeps angles.
        """
        if bool((self.scale == self.scale[0]).all()):
            return self.scale[0].log()
        return None


def _shared_scale(spread: Tensor, units: Sequence[Hashable]) -> Tensor:
    """Give features of one unit their common root-mean-square spread."""
    scale = spread.clone()
    for unit in set(units):
        members = torch.tensor([label == unit for label in units])
        group = spread[members]
        # else the blank border of an image would become as loud as what is in it
        if unit == PIXEL or group.max() < COMMON_SCALE_RANGE * group.min():
            scale[members] = group.square().mean().sqrt()
    return scale
