"""The original M-flow code's model, of the layers of nflows.

nflows is the package that the layers of the code of Brehmer and Cranmer 2020 became, so that
what theirs costs can be measured beside ours wherever both run. What is done in each phase is
what their code does: the model encodes, applies the latent density, inverts it and
decodes, in training the manifold as well as in training the density; the Jacobian of the
decoder is the product of those of its layers, that of a coupling by one backward pass for each
coordinate that it moves of each event of the batch, and can itself be differentiated. What
their loop does around it (loaders, copies of the best model) is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from nflows.nn.nets import ResidualNet
from nflows.transforms import (
    CompositeTransform,
    LULinear,
    PiecewiseRationalQuadraticCouplingTransform,
    RandomPermutation,
    Transform,
)
from nflows.utils import create_alternating_binary_mask
from original import Problem
from torch import Tensor, nn

__all__ = ["OriginalFlow", "original_step"]


class OriginalFlow(nn.Module):
    """The M-flow of a problem, as its authors built it.

    Arguments:
        problem: The sizes and the architecture.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        dimensions, chart = problem.dimensions, problem.settings["chart"]
        latent = problem.settings["latent"]
        self.data_dim, self.latent_dim = dimensions.data, dimensions.latent
        self.theta_dim = dimensions.theta
        # Linear layers between the couplings where the published run had them.
        linear = problem.settings["chart"]["layers"] > 5
        bins, bound = chart["bins"], chart["bound"]
        self.outer = _couplings(self.data_dim, chart["layers"], bins, bound, None, linear)
        self.inner = _couplings(
            self.latent_dim, latent["transforms"], bins, bound, dimensions.theta, linear
        )

    def forward(self, x: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruct events, and the log-density of their latents: (B, d), (B, p)."""
        latents = self.outer(x)[0][:, : self.latent_dim]
        u, log_det = self.inner(latents, theta)
        return self.decode(u, theta), log_det - u.square().sum(dim=1) / 2

    def decode(self, u: Tensor, theta: Tensor) -> Tensor:
        """Events of the base variables: (B, n), (B, p) -> (B, d)."""
        return self.outer.inverse(self._pad(self.inner.inverse(u, theta)[0]))[0]

    def log_prob(self, x: Tensor, theta: Tensor) -> Tensor:
        """Log-density on the manifold: (B, d), (B, p) -> (B,)."""
        latents = self.outer(x)[0][:, : self.latent_dim]
        u, log_det = self.inner(latents, theta)
        point = self._pad(self.inner.inverse(u, theta)[0]).detach().requires_grad_()
        jacobian = None
        for layers in reversed(self.outer._transforms):
            for layer in reversed(layers._transforms):
                y = layer.inverse(point)[0]
                own = _jacobian_of_inverse(layer, point, y)
                jacobian = own if jacobian is None else own @ jacobian
                point = y
        tangents = jacobian[:, :, : self.latent_dim]
        volume = 0.5 * torch.slogdet(tangents.transpose(1, 2) @ tangents)[1]
        return log_det - u.square().sum(dim=1) / 2 - volume

    def _pad(self, h: Tensor) -> Tensor:
        """Coordinates of R^d of points on the manifold: (B, n) -> (B, d)."""
        return nn.functional.pad(h, (0, self.data_dim - self.latent_dim))


def _jacobian_of_inverse(layer: Transform, x: Tensor, y: Tensor) -> Tensor:
    """Derivatives of what the inverse of a layer makes of x: (B, d), (B, d) -> (B, d, d)."""
    batch, dim = x.shape
    unit = torch.eye(dim)
    if not isinstance(layer, PiecewiseRationalQuadraticCouplingTransform):  # an affine map
        return (layer.inverse(unit)[0] - layer.inverse(torch.zeros(1, dim))[0]).T
    moved = layer.transform_features
    rows = [torch.autograd.grad(value, x, create_graph=True)[0] for value in y[:, moved].flatten()]
    jacobian = unit.repeat(batch, 1, 1)
    every = torch.stack(rows).view(batch, len(moved), batch, dim)
    jacobian[:, moved] = torch.einsum("bibj->bij", every)
    return jacobian


def _couplings(
    dim: int, layers: int, bins: int, bound: float, theta_dim: int | None, linear: bool
) -> CompositeTransform:
    """A stack of spline couplings between permutations, and linear layers if there are any."""

    def conditioner(fixed: int, out: int) -> nn.Module:
        return ResidualNet(fixed, out, hidden_features=100, context_features=theta_dim)

    def mix() -> list[Transform]:
        return [RandomPermutation(dim), *([LULinear(dim)] if linear else [])]

    def coupling(index: int) -> Transform:
        return PiecewiseRationalQuadraticCouplingTransform(
            create_alternating_binary_mask(dim, even=index % 2 == 0),
            conditioner,
            num_bins=bins,
            tails="linear",
            tail_bound=bound,
        )

    stack = [CompositeTransform([*mix(), coupling(index)]) for index in range(layers)]
    return CompositeTransform([*stack, CompositeTransform(mix())])


def original_step(flow: OriginalFlow, phase: str, events: int) -> Callable[[], None]:
    """A function that takes one step of a phase on so many events, as the original does."""
    x = torch.randn(events, flow.data_dim)
    theta = torch.rand(events, flow.theta_dim)
    trained = flow if phase == "manifold" else flow.inner
    optimiser = torch.optim.AdamW(trained.parameters(), lr=1e-4)

    def step() -> None:
        reconstruction, log_prob = flow(x, theta)
        loss = (reconstruction - x).square().mean() if phase == "manifold" else -log_prob.mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()

    return step
