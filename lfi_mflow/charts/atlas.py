r"""An atlas: K charts that cover together what no single one can.

A chart takes n latents to the data space by

.. math:: g_k(u) = c_k + s_k Q_k \, f(u, 0; v_k)

with one bijection f for all charts, which knows of k no more than the embedded centre
:math:`v_k`, and the *frame* of the chart: mean, spread and principal axes of the events
around that centre. Each chart then starts as the tangent plane there, in units of its own
size, and all that has to be learnt is how the manifold bends away from it.

The axes of neighbours may differ by a large rotation: where the events of a chart reach as
far in every direction, they are arbitrary. What f has to make of the centre then jumps from
chart to chart. With *features*, learnt numbers of each chart that stand beside its centre,
f does not have to infer this from where a chart is; the published model has none.

The union of the images is the manifold. A point of it may lie on several charts. Which
ones is decided by the charts themselves and not by the quantiser: with the projection
:math:`x' = g_{k^*}(f_{k^*}(x))` of an event by the chart that reproduces it best, the event
*belongs to* the chart k if that reproduces x' to within a tolerance,

.. math:: \| x' - g_k(f_k(x')) \| < \tau

in standardised units. A chart that passes elsewhere does not contribute to the density at x',
and one that passes there does, wherever its centre is: nothing is cut off, so that no
probability is lost.

References:
    | VQ-Flows: Vector Quantized Local Normalizing Flows (Sidheekh et al., 2022)
    | https://arxiv.org/abs/2203.11556
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.charts.atlas_settings import AtlasSettings, conditional_layers
from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.conformal import special_conformal, special_conformal_log_factor
from lfi_mflow.charts.linear import Standardisation
from lfi_mflow.charts.networks import ResidualNetwork
from lfi_mflow.charts.quantiser import QuantiserSettings, VectorQuantiser
from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry import log_volume_by_minor, log_volume_by_tangents

__all__ = ["AtlasChart", "Cover"]

_PAIRS = 2**15
"""Pairs of event and chart that are evaluated at once."""


class Cover(NamedTuple):
    """What each chart of an atlas says of events.

    Arguments:
        u: Coordinates of the events in every chart, with shape (B, K, n).
        distance: Standardised distance to the projection by every chart, with shape (B, K).
    """

    u: Tensor
    distance: Tensor


class AtlasChart(Chart):
    """K charts that depend on their number only through an embedded centre.

    Its coordinates are the number of a chart and the n coordinates in it.

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture of the charts.
        quantiser: The architecture of what places them.

    Attributes:
        n_charts: The number K of charts.
        features: What is learnt of each chart beside its centre, with shape (K, features);
            None without.

    Raises:
        ConfigError: If n is not between 1 and d - 1, or the embedding has more dimensions
            than the data.
    """

    numbered = True
    shift: Tensor
    rotation: Tensor
    scale: Tensor

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        settings: AtlasSettings,
        quantiser: QuantiserSettings,
    ) -> None:
        super().__init__(data_dim, latent_dim)
        self.n_charts = quantiser.charts
        self.settings = settings
        self.quantiser = VectorQuantiser(data_dim, quantiser)
        # not there where it is not used: older model files have none
        self.features: nn.Parameter | None = None
        if settings.features:
            self.features = nn.Parameter(torch.zeros(self.n_charts, settings.features))
        known = self.quantiser.dim + settings.features
        self.layers = conditional_layers(data_dim, latent_dim, settings, known)
        self.bend: ResidualNetwork | None = None
        if settings.raising == "conformal":
            self.bend = ResidualNetwork(known, data_dim, settings.hidden, 1)
        self.register_buffer("shift", torch.zeros(self.n_charts, data_dim))
        self.register_buffer("rotation", torch.eye(data_dim).repeat(self.n_charts, 1, 1))
        self.register_buffer("scale", torch.ones(self.n_charts))

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Number of the chart that reproduces events best, and coordinates: (B, d) -> (B, 1+n)."""
        cover = self.cover(x)
        return self.coordinates(cover, cover.distance.argmin(dim=-1))

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, 1 + n) -> (B, d)."""
        return self.decode_in(u[..., 1:], u[..., 0].round().long().clamp(0, self.n_charts - 1))

    @staticmethod
    def coordinates(cover: Cover, chart: Tensor) -> Tensor:
        """Number of a chart (B,) for each event, and coordinates in it: (B, 1 + n)."""
        u = cover.u.take_along_dim(chart[:, None, None], dim=1).squeeze(1)
        return torch.cat([chart[:, None].to(u), u], dim=-1)

    def encode_in(self, x: Tensor, chart: Tensor) -> Tensor:
        """Coordinates in given charts: (B, d), (B,) -> (B, n)."""
        local, v = self._local(x, chart), self._known(chart)
        if self.bend is None:
            return self.layers.inverse(local, v)[..., : self.latent_dim]
        flat = special_conformal(local, -self.bend(v))[..., : self.latent_dim]
        return self.layers.inverse(flat, v)

    def decode_in(self, u: Tensor, chart: Tensor) -> Tensor:
        """Points of given charts: (B, n), (B,) -> (B, d)."""
        v = self._known(chart)
        missing = (0, self.data_dim - self.latent_dim)
        if self.bend is None:
            local = self.layers(F.pad(u, missing), v)
        else:
            local = special_conformal(F.pad(self.layers(u, v), missing), self.bend(v))
        turned = (self.rotation[chart] @ local[..., None]).squeeze(-1)
        return self.shift[chart] + self.scale[chart, None] * turned

    def cover(self, x: Tensor) -> Cover:
        """Let every chart project events: (B, d) -> (B, K, n), (B, K)."""
        rows = max(1, _PAIRS // self.n_charts)
        parts = [self._cover(block) for block in x.split(rows)]
        return Cover(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def log_volume_in(self, u: Tensor, chart: Tensor, standardisation: Standardisation) -> Tensor:
        """Log-volume V of given charts with a standardisation after them: (B, n), (B,) -> (B,).

        In closed form for conformal charts if the standardisation keeps angles; otherwise
        by the cheaper of the two exact methods.
        """
        common = standardisation.log_common_scale()
        if self.bend is not None and common is not None:
            return self._conformal_log_volume(u, chart) + self.latent_dim * common

        def decode(rows: Tensor, charts: Tensor) -> Tensor:
            return standardisation(self.decode_in(rows, charts))

        def inverse(rows: Tensor, charts: Tensor) -> tuple[Tensor, Tensor]:
            z, outer = standardisation.inverse_and_log_det(rows)
            v = self._known(charts)
            latents, inner = self.layers.inverse_and_log_det(self._local(z, charts), v)
            return latents, outer + inner - self.data_dim * self.scale[charts].log()

        if self.bend is not None or self.data_dim - self.latent_dim > self.latent_dim:
            return log_volume_by_tangents(decode, u, chart)
        return log_volume_by_minor(inverse, decode(u, chart), self.latent_dim, chart)

    @torch.no_grad()
    def place(self, x: Tensor) -> None:
        """Give every chart the frame of the events that it is to cover: (N, d).

        Raises:
            ConfigError: If one has too few of them for its n axes.
        """
        members = self.quantiser.members(x)
        for chart in range(self.n_charts):
            own = x[members[:, chart]].cpu().double()
            if len(own) <= self.latent_dim:
                raise ConfigError(
                    f"more than n = {self.latent_dim} events in each of {self.n_charts} charts",
                    f"{len(own)} in chart {chart}",
                    "lower charts, or simulate more",
                )
            mean = own.mean(dim=0)
            spectrum, axes = torch.linalg.eigh((own - mean).T @ (own - mean) / len(own))
            scale = spectrum[-self.latent_dim :].mean().clamp_min(1e-12).sqrt()
            self.shift[chart], self.scale[chart] = mean, scale
            self.rotation[chart] = _oriented(axes.flip(-1), own - mean, self.latent_dim)

    def _known(self, chart: Tensor) -> Tensor:
        """What the layers know of charts, centres and features: (B,) -> (B, n' + features)."""
        v = self.quantiser.centres[chart]
        return v if self.features is None else torch.cat([v, self.features[chart]], dim=-1)

    def _local(self, x: Tensor, chart: Tensor) -> Tensor:
        """Events in the frames of given charts: (B, d), (B,) -> (B, d)."""
        centred = (x - self.shift[chart]) / self.scale[chart, None]
        return (centred[..., None, :] @ self.rotation[chart]).squeeze(-2)

    def _cover(self, x: Tensor) -> Cover:
        """Let every chart project some events: (B, d) -> (B, K, n), (B, K)."""
        charts = torch.arange(self.n_charts, device=x.device).repeat(len(x))
        rows = x.repeat_interleave(self.n_charts, dim=0)
        u = self.encode_in(rows, charts)
        distance = torch.linalg.vector_norm(rows - self.decode_in(u, charts), dim=-1)
        shape = (len(x), self.n_charts)
        return Cover(u.reshape(*shape, -1), distance.reshape(shape))

    def _conformal_log_volume(self, u: Tensor, chart: Tensor) -> Tensor:
        """Log-volume of conformal charts in closed form: (B, n), (B,) -> (B,)."""
        v = self._known(chart)
        flat = self.layers(u, v)
        log_det = -self.layers.inverse_and_log_det(flat, v)[1]
        if self.bend is None:
            raise ConfigError("conformal charts", "others", "use derivatives")
        padded = F.pad(flat, (0, self.data_dim - self.latent_dim))
        log_factor = special_conformal_log_factor(padded, self.bend(v)) + self.scale[chart].log()
        return log_det + self.latent_dim * log_factor


def _oriented(axes: Tensor, centred: Tensor, n: int) -> Tensor:
    """Choose the signs of principal axes by what the events look like from them: (d, d).

    The first n point where the events reach farther, the others to where the manifold
    bends. Neighbours then look alike, and what a chart has to know of its centre is smooth.

    Arguments:
        axes: Principal axes in columns, with shape (d, d).
        centred: Events relative to their mean, with shape (N, d).
        n: Dimension of the manifold.
    """
    local = centred @ axes
    radius = local[:, :n].square().sum(dim=-1, keepdim=True)
    bend = (local * (radius - radius.mean())).sum(dim=0)
    return axes * torch.where(bend < 0, -1.0, 1.0)
