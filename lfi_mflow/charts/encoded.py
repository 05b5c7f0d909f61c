"""Charts with a free encoder: a network that is not the inverse of anything.

Nothing makes such an encoder a left inverse of the decoder but training: after
it, encode(decode(u)) = u holds as well as the reconstruction error says. What is
gained is freedom off the manifold: the encoder of a coupling chart projects along
the fibres of its bijection, a free one can learn to project along any.

All charts here start as the plane of the first n axes, which after the
standardisation is that of PCA.
"""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from lfi_mflow.charts.chart import Chart
from lfi_mflow.charts.coupling import BijectiveDecoder, CouplingSettings
from lfi_mflow.charts.networks import NetworkSettings, ResidualNetwork
from lfi_mflow.errors import ModelMismatchError

__all__ = ["AutoencoderChart", "EncodedChart", "GeneratorChart"]


class EncodedChart(BijectiveDecoder):
    r"""The chart of the M_e-flow: :math:`g(u) = f(u, 0)`, and an encoder of its own.

    .. math:: e(x) = (x_1, ..., x_n) + \phi(x)

    with a residual network :math:`\phi` that starts as zero.

    References:
        | Flows for simultaneous manifold learning and density estimation
        | (Brehmer and Cranmer, 2020), https://arxiv.org/abs/2003.13913

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        settings: The architecture of the bijection f.
        encoder: The architecture of the encoder.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    def __init__(
        self, data_dim: int, latent_dim: int, settings: CouplingSettings, encoder: NetworkSettings
    ) -> None:
        super().__init__(data_dim, latent_dim, settings)
        self.encoder = ResidualNetwork(data_dim, latent_dim, encoder.hidden, encoder.blocks)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""
        return x[..., : self.latent_dim] + self.encoder(x)


class AutoencoderChart(Chart):
    r"""The chart of the probabilistic autoencoder: two residual networks.

    .. math:: e(x) = (x_1, ..., x_n) + \phi(x), \qquad g(u) = (u, 0) + \psi(u)

    References:
        | Probabilistic Auto-Encoder (Böhm and Seljak, 2020)
        | https://arxiv.org/abs/2006.05479

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        encoder: The architecture of the encoder.
        decoder: The architecture of the decoder.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    def __init__(
        self, data_dim: int, latent_dim: int, encoder: NetworkSettings, decoder: NetworkSettings
    ) -> None:
        super().__init__(data_dim, latent_dim)
        self.encoder = ResidualNetwork(data_dim, latent_dim, encoder.hidden, encoder.blocks)
        self.decoder = ResidualNetwork(latent_dim, data_dim, decoder.hidden, decoder.blocks)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Coordinates on the manifold: (B, d) -> (B, n)."""
        return x[..., : self.latent_dim] + self.encoder(x)

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        return F.pad(u, (0, self.data_dim - self.latent_dim)) + self.decoder(u)


class GeneratorChart(Chart):
    r"""A decoder without an encoder, :math:`g(u) = (u, 0) + \psi(u)`: the generator of a GAN.

    References:
        | Generative Adversarial Networks (Goodfellow et al., 2014)
        | https://arxiv.org/abs/1406.2661

    Arguments:
        data_dim: Dimension d of the data.
        latent_dim: Dimension n of the manifold.
        decoder: The architecture of the decoder.

    Raises:
        ConfigError: If n is not between 1 and d - 1.
    """

    def __init__(self, data_dim: int, latent_dim: int, decoder: NetworkSettings) -> None:
        super().__init__(data_dim, latent_dim)
        self.decoder = ResidualNetwork(latent_dim, data_dim, decoder.hidden, decoder.blocks)

    def encode(self, x: Tensor, theta: Tensor | None = None) -> Tensor:
        """Fail: there is no way back.

        Raises:
            ModelMismatchError: Always.
        """
        raise ModelMismatchError(
            "a chart with an encoder", "a generator, which has none", "choose another model"
        )

    def decode(self, u: Tensor, theta: Tensor | None = None) -> Tensor:
        """Points of the manifold: (B, n) -> (B, d)."""
        return F.pad(u, (0, self.data_dim - self.latent_dim)) + self.decoder(u)
