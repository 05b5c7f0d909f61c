r"""Systems of equations and logarithms of :math:`J^T J` by products with vectors.

With :math:`A = J^T J` of an injective map, conjugate gradients solve
:math:`A x = b`, and Lanczos steps give :math:`v^T \log(A) v`, whose mean over
random v is :math:`2 V`. Neither forms a Jacobian: one step is one push forward
and one pull back of a vector.

References:
    | Rectangular Flows for Manifold Learning (Caterini et al., 2021)
    | https://arxiv.org/abs/2106.01413
    | Fast Estimation of tr(f(A)) via Stochastic Lanczos Quadrature (Ubaru et al., 2017)
    | https://doi.org/10.1137/16M1104974
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.geometry.products import orthogonal_probes, pull_back, push_forward

__all__ = [
    "LanczosVolume",
    "Solution",
    "conjugate_gradient",
    "gram_product",
    "log_volume_by_lanczos",
]

MatrixProduct = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Arguments:
        x: The solutions, with the shape of the right-hand sides.
        iterations: Steps that were taken.
        residual: :math:`|A x - b| / |b|` of each, without the last axis.
    """

    x: Tensor
    iterations: int
    residual: Tensor


@dataclass(frozen=True)
class LanczosVolume:
    """A log-volume by random vectors.

    Arguments:
        value: The estimates of V, with shape (B,).
        uncertainty: Their standard errors, with shape (B,); NaN with a single vector, and
            too large where the vectors are as many as there are dimensions.
    """

    value: Tensor
    uncertainty: Tensor


def gram_product(decode: Callable[[Tensor], Tensor], u: Tensor) -> MatrixProduct:
    """Return the function v -> J^T J v at u, for vectors with shape (K, B, n)."""

    def product(vectors: Tensor) -> Tensor:
        return pull_back(decode, u, push_forward(decode, u, vectors)[1])[1]

    return product


@torch.no_grad()
def conjugate_gradient(
    product: MatrixProduct, b: Tensor, iterations: int, tolerance: float
) -> Solution:
    """Solve A x = b for many positive definite matrices at once, with a bounded effort.

    It ends when all residuals are small enough, or with the last iteration: the
    solution says after how many, and how good it is.

    Arguments:
        product: The function v -> A v, for vectors with shape (..., n).
        b: Right-hand sides, with shape (..., n).
        iterations: Largest number of steps.
        tolerance: Residual, relative to b, that is small enough.
    """
    tiny = torch.finfo(b.dtype).tiny
    x, residual, direction = torch.zeros_like(b), b, b
    square = residual.square().sum(dim=-1, keepdim=True)
    enough = tolerance**2 * square
    taken = 0
    while taken < iterations and bool((square > enough).any()):
        along = product(direction)
        curvature = (direction * along).sum(dim=-1, keepdim=True)
        # what has converged stands still: 0/0 otherwise
        step = torch.where(square > enough, square / curvature.clamp_min(tiny), 0.0)
        x = x + step * direction
        residual = residual - step * along
        before, square = square, residual.square().sum(dim=-1, keepdim=True)
        direction = residual + square / before.clamp_min(tiny) * direction
        taken += 1
    norm = torch.linalg.vector_norm(b, dim=-1).clamp_min(tiny)
    return Solution(x, taken, square.squeeze(-1).sqrt() / norm)


@torch.no_grad()
def log_volume_by_lanczos(
    decode: Callable[[Tensor], Tensor],
    u: Tensor,
    *,
    probes: int = 8,
    steps: int = 16,
    generator: torch.Generator | None = None,
) -> LanczosVolume:
    r"""Log-volume V by stochastic Lanczos quadrature: (B, n) -> (B,).

    With the tridiagonal matrix T of m Lanczos steps from v, its eigenvalues
    :math:`\lambda_j` and first components :math:`\tau_j` of its eigenvectors,

    .. math:: v^T \log(J^T J) v \approx |v|^2 \sum_j \tau_j^2 \log \lambda_j.

    It takes K m passes forward and back instead of n forward, and pays for n far above
    K m. The random vectors are orthogonal: with K = n and m = n it is exact.

    Arguments:
        decode: The map g, row by row: (B, n) -> (B, d).
        u: Where to evaluate, with shape (B, n).
        probes: Number K of random vectors, at most n.
        steps: Number m of Lanczos steps, at most n are taken; the better the conditioning of
            the map, the fewer are needed.
        generator: Where the random vectors come from.

    Raises:
        ConfigError: If there are more than n vectors, or less than one step.
    """
    if steps < 1:
        raise ConfigError("steps >= 1", str(steps), "raise it")
    start = orthogonal_probes(u, probes, generator)
    n = u.shape[-1]
    diagonal, off = _tridiagonal(gram_product(decode, u), start / n**0.5, min(steps, n))
    matrix = torch.diag_embed(diagonal)
    if off.shape[-1]:
        matrix = matrix + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    values, vectors = torch.linalg.eigh(matrix)
    least = torch.finfo(u.dtype).tiny
    terms = vectors[..., 0, :].square() * values.clamp_min(least).log()
    volumes = 0.5 * n * terms.sum(dim=-1)
    spread = volumes.std(dim=0) if probes > 1 else volumes[0] * torch.nan
    return LanczosVolume(volumes.mean(dim=0), spread / probes**0.5)


def _tridiagonal(product: MatrixProduct, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Lanczos steps from unit vectors (..., n): diagonal (..., m), off-diagonal (..., m - 1).

    Every new vector is made orthogonal to all before it, twice: the three-term
    recurrence alone loses orthogonality with the first converged eigenvalue. Where no
    direction is left, the matrix goes on with ones that nothing connects to the rest.
    """
    basis, diagonal, off = [start], [], []
    for step in range(steps):
        along = product(basis[-1])
        diagonal.append((basis[-1] * along).sum(dim=-1))
        if step == steps - 1:
            break
        known = torch.stack(basis, dim=-1)
        rest = along
        for _ in range(2):
            rest = rest - (known @ (known.mT @ rest[..., None])).squeeze(-1)
        norm = torch.linalg.vector_norm(rest, dim=-1)
        scale = torch.linalg.vector_norm(along, dim=-1)
        left = norm > 1e2 * torch.finfo(norm.dtype).eps * scale
        off.append(torch.where(left, norm, 0.0))
        basis.append(torch.where(left[..., None], rest / norm[..., None].clamp_min(1e-30), 0.0))
    ones = torch.stack(diagonal, dim=-1)
    connected = torch.stack([vector.square().sum(dim=-1) > 0.5 for vector in basis], dim=-1)
    ones = torch.where(connected, ones, 1.0)
    return ones, torch.stack(off, dim=-1) if off else ones[..., :0]
