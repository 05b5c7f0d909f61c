"""Neural networks inside charts."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

from lfi_mflow.errors import ConfigError

__all__ = ["NetworkSettings", "ResidualNetwork"]


@dataclass(frozen=True)
class NetworkSettings:
    """The size of a residual network.

    Arguments:
        hidden: Width of the hidden layers.
        blocks: Number of residual blocks of two layers each.
    """

    hidden: int = 64
    blocks: int = 2

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("hidden", "blocks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} >= 1", str(getattr(self, name)), "raise it")

    def least_elements(self, in_features: int, out_features: int) -> int:
        """Return a lower bound of the number of weights; biases are left out."""
        return self.hidden * (in_features + out_features + 2 * self.blocks * self.hidden)


class ResidualNetwork(nn.Module):
    """A residual network with smooth activations that starts as the zero function.

    SiLU keeps the map twice differentiable, which forward-mode volumes and
    gradients of volumes need; zero output makes a coupling start as the identity.

    Arguments:
        in_features: Number of inputs.
        out_features: Number of outputs.
        hidden: Width of the hidden layers.
        blocks: Number of residual blocks of two layers each.
    """

    def __init__(self, in_features: int, out_features: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.first = nn.Linear(in_features, hidden)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
            )
            for _ in range(blocks)
        )
        self.last = nn.Linear(hidden, out_features)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate: (B, in_features) -> (B, out_features)."""
        return self.last(self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        """Inputs of the last layer: (B, in_features) -> (B, hidden)."""
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return F.silu(x)

    def push_hidden(self, x: Tensor, tangents: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs of the last layer, with k tangents: (B, i), (B, k, i) -> (B, h), (B, k, h)."""
        x, tangents = self.first(x), tangents @ self.first.weight.T
        for block in self.blocks:
            inner, outer = (layer for layer in block if isinstance(layer, nn.Linear))  # type: ignore[attr-defined]
            active, slope = _silu(x)
            middle, along = inner(active), (slope.unsqueeze(1) * tangents) @ inner.weight.T
            active, slope = _silu(middle)
            x = x + outer(active)
            tangents = tangents + (slope.unsqueeze(1) * along) @ outer.weight.T
        active, slope = _silu(x)
        return active, slope.unsqueeze(1) * tangents


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """SiLU and its derivative."""
    gate = x.sigmoid()
    active = x * gate
    return active, gate + active * (1.0 - gate)
