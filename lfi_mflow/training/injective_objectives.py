r"""Likelihoods on manifolds whose volume term is trained and not computed.

The log-density of an event on a learned manifold has a volume term V, and V costs as many
passes as the manifold has dimensions. Training needs only its gradient, a trace,
of which random vectors give an unbiased estimate at the price of one or two passes.
What is differentiated to get it, the *surrogate*, has that gradient, but its value
is no likelihood: it is never reported as one. Validation events are judged by the
exact penalised likelihood, by which the epoch whose weights are kept is chosen, too.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.flows import Flow
from lfi_mflow.geometry import (
    Solution,
    conjugate_gradient,
    gram_product,
    orthogonal_probes,
    push_forward,
    recorded_pull_back,
    recorded_push_forward,
)
from lfi_mflow.training.events import Batch
from lfi_mflow.training.manifold_objectives import PenalisedLikelihood
from lfi_mflow.training.objective import chart_of, check_positive, one_chart_of

__all__ = ["FreeForm", "NormalisedAutoencoder", "RectangularFlow"]


@dataclass(frozen=True)
class _Surrogate(PenalisedLikelihood, ABC):
    """The penalised likelihood, with an estimate of the gradient of its volume term.

    Arguments:
        beta: Weight of the squared distance.
        probes: Number K of random vectors, at most n.
    """

    probes: int = 1
    measures = "surrogate"

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.probes < 1:
            raise ConfigError("probes >= 1", str(self.probes), "raise it")

    def prepare(self, flow: Flow, x: Tensor, theta: Tensor) -> Tensor:
        """The events: (B, d) -> (B, d).

        Raises:
            ConfigError: If the density of the flow is none of one chart, or the chart has
                fewer dimensions than there are random vectors.
        """
        if flow.reference != "hausdorff":
            raise ConfigError(
                "a model whose density is one on its manifold",
                f"one whose density refers to {flow.reference!r}",
                "choose another model or objective",
            )
        one_chart_of(flow)
        if self.probes > flow.latent_dim:
            raise ConfigError(
                f"probes <= n = {flow.latent_dim}", str(self.probes), "lower their number"
            )
        return x

    def validate(self, flow: Flow, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The exact penalised likelihood and its two parts, each with shape (B,)."""
        negative_log_likelihood, distance = self.terms(flow, batch, generator)
        return {
            "loss": negative_log_likelihood + self.beta * distance,
            "negative_log_likelihood": negative_log_likelihood,
            "squared_distance": distance,
        }


class _Products(NamedTuple):
    """What encoder and decoder do to events and probes v.

    Arguments:
        z: Standardised events with noise, with shape (B, d).
        u: Their latents, with shape (B, n).
        decoded: Their projections, with shape (B, d).
        probes: The random vectors v, with shape (K, B, n).
        pulled: The products v^T e'(z), with shape (K, B, d).
        pushed: The products g'(u) v, with shape (K, B, d).
    """

    z: Tensor
    u: Tensor
    decoded: Tensor
    probes: Tensor
    pulled: Tensor
    pushed: Tensor


@dataclass(frozen=True)
class _FreeForm(_Surrogate, ABC):
    """What the two objectives of free networks have in common.

    Arguments:
        beta: Weight of the squared distance.
        probes: Number K of random vectors, at most n.
        noise: Standard deviation of what is added to standardised events.

    Attributes:
        pushes: Whether the products with the decoder's Jacobian are differentiated.
    """

    noise: float = 0.01
    pushes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.noise != 0:
            check_positive("noise", self.noise)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Distance, density of the latents and surrogate of the volume, with shape (B,)."""
        products = self._products(flow, batch, generator)
        distance = (products.z - products.decoded).square().sum(dim=-1)
        log_prob = flow.latent.log_prob(products.u, batch.theta)
        return self.beta * distance - log_prob + self._volume(products)

    @abstractmethod
    def _volume(self, products: _Products) -> Tensor:
        """Something with the gradient of V, with shape (B,)."""

    def _products(self, flow: Flow, batch: Batch, generator: torch.Generator) -> _Products:
        """Encode and decode noisy events, and the probes with them."""
        chart, theta = chart_of(flow), batch.theta
        z = flow.standardisation.inverse(batch.prepared)
        noise = torch.randn(z.shape, generator=generator, dtype=z.dtype)
        z = z + self.noise * noise.to(z.device, non_blocking=True)
        probes = orthogonal_probes(z[:, : flow.latent_dim], self.probes, generator)
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            u = chart.encode(z, theta)
            pulled = recorded_pull_back(u, z, probes)
            decoded = chart.decode(u, theta)
            pushed = recorded_push_forward(decoded, u, probes, create_graph=self.pushes)
        return _Products(z, u, decoded, probes, pulled, pushed)


@dataclass(frozen=True)
class FreeForm(_FreeForm):
    r"""Maximum likelihood of a manifold by two free networks.

    .. math:: \beta \|x - g(e(x))\|^2 - \log p_h(e(x) | \theta)
              - \tfrac{1}{K} \sum_k v_k^T e'(x) \, \mathrm{SG}[g'(e(x)) v_k]

    with random orthogonal v_k of length sqrt(n), and SG what is not differentiated.
    Where :math:`e' = g'^+`, the last term has the gradient of V in expectation, and for
    K = n exactly. It costs one forward-mode pass of the decoder and one reverse-mode
    pass of the encoder per vector. x is standardised and carries noise, which shows
    the encoder how to project.

    Warning:
        e' is evaluated at the event and not at its projection: likelihood at the projection
        can be raised by bending the manifold, without end (Sorrenson et al. 2024).

    References:
        | Lifting Architectural Constraints of Injective Flows (Sorrenson et al., 2024)
        | https://arxiv.org/abs/2306.01843

    Arguments:
        beta: Weight of the squared distance; where the manifold is to be that of the
            principal axes, at least :math:`1 / (2 \sigma^2)` with the spread
            :math:`\sigma` along the last of them.
        probes: Number K of random vectors, at most n.
        noise: Standard deviation of what is added to standardised events.
    """

    def _volume(self, products: _Products) -> Tensor:
        """The trace of e' SG[g'], its sign changed, with shape (B,)."""
        return -(products.pulled * products.pushed).sum(dim=-1).mean(dim=0)


@dataclass(frozen=True)
class NormalisedAutoencoder(_FreeForm):
    r"""The refinement of :class:`FreeForm` that takes the surrogate of encoder or decoder.

    Both :math:`-v^T e' \, \mathrm{SG}[g' v]` and :math:`+\mathrm{SG}[v^T e'] \, g' v` have
    the gradient of V where :math:`e' g' = 1`. Elsewhere the first makes e' larger, and
    the second g' smaller. So that both pull towards :math:`e' g' = 1`, the first is taken
    for vectors with :math:`v^T (e' g' - 1) v < 0`, and the second for the others. It needs
    networks that are differentiable twice, as those here are.

    Arguments:
        beta: Weight of the squared distance.
        probes: Number K of random vectors, at most n.
        noise: Standard deviation of what is added to standardised events.
    """

    pushes = True

    def _volume(self, products: _Products) -> Tensor:
        """The surrogate that suits each vector, with shape (B,)."""
        pulled, pushed = products.pulled, products.pushed
        encoder = -(pulled * pushed.detach()).sum(dim=-1)
        decoder = (pulled.detach() * pushed).sum(dim=-1)
        length = products.probes.square().sum(dim=-1)
        return torch.where(-encoder.detach() < length, encoder, decoder).mean(dim=0)


@dataclass(frozen=True)
class RectangularFlow(_Surrogate):
    r"""The likelihood of a rectangular flow, by conjugate gradients and random vectors.

    .. math:: \nabla V = \tfrac{1}{2} \operatorname{tr}\bigl[(J^T J)^{-1} \nabla (J^T J)\bigr]
              \approx \tfrac{1}{2K} \sum_k \nabla
              \bigl(\mathrm{SG}[(J^T J)^{-1} v_k]^T J^T J v_k\bigr)

    Conjugate gradients solve for :math:`(J^T J)^{-1} v` in a bounded number of iterations;
    what they took and what they left is recorded with the validation losses. The
    exact gradient is that of :class:`PenalisedLikelihood`: it needs n passes, and so
    pays for n below some tens.

    References:
        | Rectangular Flows for Manifold Learning (Caterini et al., 2021)
        | https://arxiv.org/abs/2106.01413

    Arguments:
        beta: Weight of the squared distance.
        probes: Number K of random vectors, at most n.
        iterations: Largest number of iterations of conjugate gradients.
        tolerance: Residual, relative to the right-hand side, at which they end earlier.
    """

    iterations: int = 20
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        """Check the values."""
        super().__post_init__()
        if self.iterations < 1:
            raise ConfigError("iterations >= 1", str(self.iterations), "raise it")
        check_positive("tolerance", self.tolerance)

    def loss(self, flow: Flow, batch: Batch, generator: torch.Generator) -> Tensor:
        """Distance, density of the latents and surrogate of the volume, with shape (B,)."""
        theta = batch.theta
        u = flow.encode(batch.prepared, theta)
        probes, solution = self._solve(flow, u.detach(), theta, generator)
        both = torch.cat([solution.x, probes])
        decoded, pushed = push_forward(lambda rows: flow.decode(rows, theta), u, both)
        volume = 0.5 * (pushed[: self.probes] * pushed[self.probes :]).sum(dim=-1).mean(dim=0)
        residual = flow.standardisation.inverse(batch.prepared)
        residual = residual - flow.standardisation.inverse(decoded)
        log_prob = flow.latent.log_prob(u, theta)
        return self.beta * residual.square().sum(dim=-1) - log_prob + volume

    def validate(self, flow: Flow, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """The exact penalised likelihood, its parts, and how conjugate gradients did: (B,) each."""
        exact = super().validate(flow, batch, generator)
        u = flow.encode(batch.prepared, batch.theta)
        _, solution = self._solve(flow, u, batch.theta, generator)
        iterations = torch.full_like(exact["loss"], solution.iterations)
        return exact | {"cg_iterations": iterations, "cg_residual": solution.residual.mean(dim=0)}

    def _solve(
        self, flow: Flow, u: Tensor, theta: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Solution]:
        """Random vectors v and (J^T J)^-1 v at latents (B, n), both with shape (K, B, n)."""
        probes = orthogonal_probes(u, self.probes, generator)
        product = gram_product(lambda rows: flow.decode(rows, theta), u)
        return probes, conjugate_gradient(product, probes, self.iterations, self.tolerance)
