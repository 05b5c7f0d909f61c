"""Neural networks inside charts."""

from __future__ import annotations

import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

__all__ = ["ResidualNetwork"]


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
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(F.silu(x))
