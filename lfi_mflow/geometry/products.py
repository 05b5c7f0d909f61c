r"""Products with the Jacobians of maps, for a few vectors at a time and without the Jacobians.

A trace needs no matrix: with random vectors :math:`v_k` of which
:math:`\mathrm{E}[v v^T] = 1`,

.. math:: \operatorname{tr} A = \mathrm{E}\Bigl[\tfrac{1}{K} \sum_k v_k^T A v_k\Bigr],

and columns that are orthogonal to each other make it exact for K = n.

References:
    | A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
    | splines (Hutchinson, 1990), https://doi.org/10.1080/03610919008812866
    | Lifting Architectural Constraints of Injective Flows (Sorrenson et al., 2024)
    | https://arxiv.org/abs/2306.01843
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vjp, vmap

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry.volume import load_forward_mode

__all__ = [
    "orthogonal_probes",
    "pull_back",
    "push_forward",
    "recorded_pull_back",
    "recorded_push_forward",
]


def orthogonal_probes(u: Tensor, probes: int, generator: torch.Generator | None = None) -> Tensor:
    r"""Random vectors for traces, orthogonal to each other in each row: (B, n) -> (K, B, n).

    Each has length :math:`\sqrt{n}` and a uniform direction.

    Arguments:
        u: What has the number of rows, the dimension, the precision and the device.
        probes: Their number K.
        generator: Where the random numbers come from.

    Raises:
        ConfigError: If there are more than n of them, or none.
    """
    rows, n = u.shape
    if not 1 <= probes <= n:
        raise ConfigError(f"1 <= probes <= n = {n}", str(probes), "correct the number of probes")
    home = u.device if generator is None else generator.device
    noise = torch.randn(rows, n, probes, generator=generator, dtype=u.dtype, device=home)
    noise = noise.to(u.device, non_blocking=True)
    if probes == 1:
        frame = noise / torch.linalg.vector_norm(noise, dim=1, keepdim=True)
    else:
        frame = torch.linalg.qr(noise).Q
    return n**0.5 * frame.permute(2, 0, 1)


def push_forward(
    function: Callable[[Tensor], Tensor], u: Tensor, tangents: Tensor
) -> tuple[Tensor, Tensor]:
    """Value of a map, and the images J v of tangents: (B, n), (K, B, n) -> (B, d), (K, B, d).

    Arguments:
        function: The map, row by row.
        u: Where, with shape (B, n).
        tangents: The vectors v, with shape (K, B, n).
    """
    load_forward_mode()

    def push(tangent: Tensor) -> tuple[Tensor, Tensor]:
        value, along = jvp(function, (u,), (tangent,))[:2]
        return value, along

    if len(tangents) == 1:
        value, along = push(tangents[0])
        return value, along[None]
    # a value that is the same for all tangents has no axis for them
    return vmap(push, out_dims=(None, 0))(tangents)  # type: ignore[arg-type]


def pull_back(
    function: Callable[[Tensor], Tensor], x: Tensor, cotangents: Tensor
) -> tuple[Tensor, Tensor]:
    """Value of a map, and the products J^T w: (B, d), (K, B, n) -> (B, n), (K, B, d).

    Arguments:
        function: The map, row by row.
        x: Where, with shape (B, d).
        cotangents: The vectors w, with shape (K, B, n).
    """
    value, pull = vjp(function, x)[:2]
    if len(cotangents) == 1:
        return value, pull(cotangents[0])[0][None]
    return value, vmap(lambda cotangent: pull(cotangent)[0])(cotangents)


def recorded_pull_back(value: Tensor, x: Tensor, cotangents: Tensor) -> Tensor:
    """The products J^T w of a value that was recorded, ready for backward: (K, B, d).

    Arguments:
        value: What was computed from x, row by row, with shape (B, n).
        x: What requires a gradient, with shape (B, d).
        cotangents: The vectors w, with shape (K, B, n).
    """
    return _gradient(value, x, cotangents, create_graph=True)


def recorded_push_forward(
    value: Tensor, u: Tensor, tangents: Tensor, *, create_graph: bool
) -> Tensor:
    """The products J v of a value that was recorded: (K, B, d).

    They are the gradients of w^T J with respect to w, along v: two passes back through
    what is recorded cost less than one forward with a record of its own.

    Arguments:
        value: What was computed from u, row by row, with shape (B, d).
        u: What requires a gradient, with shape (B, n).
        tangents: The vectors v, with shape (K, B, n).
        create_graph: Whether the products are to be ready for backward themselves.
    """
    w = torch.zeros_like(value).requires_grad_()
    (row,) = torch.autograd.grad(value, u, w, create_graph=True)
    return _gradient(row, w, tangents, create_graph=create_graph)


def _gradient(value: Tensor, at: Tensor, vectors: Tensor, *, create_graph: bool) -> Tensor:
    """Vector-Jacobian products for vectors with one more leading axis than the value."""
    if len(vectors) == 1:
        (gradient,) = torch.autograd.grad(value, at, vectors[0], create_graph=create_graph)
        return gradient[None]
    batched = torch.autograd.grad(
        value, at, vectors, create_graph=create_graph, is_grads_batched=True
    )
    return batched[0]
