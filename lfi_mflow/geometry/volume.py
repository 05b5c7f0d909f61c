r"""The volume element of an injective map g: R^n -> R^d.

.. math:: V(u) = \tfrac{1}{2} \log \det J^T J, \qquad J = \partial g / \partial u

Three exact methods, each of which checks the others:

- :func:`log_volume_by_tangents` pushes the n unit tangents through any decoder
  at once (forward mode);
- :func:`log_volume_by_push` has a bijection push them itself, which knows the structure of
  its derivative;
- :func:`log_volume_by_minor` needs a bijection f with g(u) = f(u, 0). With E
  the Jacobian of its inverse at x = g(u), and K the last d - n rows of E,
  :math:`V = -\log |\det E| + \tfrac{1}{2} \log \det K K^T`: the complementary
  minor of the inverse matrix (Jacobi). It costs d - n reverse passes.

All return minus the term that turns a density in u into a density with respect
to the n-dimensional volume (Hausdorff) measure: log p(x) = log p(u) - V(u).

:func:`log_volume_bound` is larger than both: by the inequality of the arithmetic
and the geometric mean of the eigenvalues of J^T J,

.. math:: V(u) \le \tfrac{n}{2} \log(\|J\|_F^2 / n),

with equality where the map is conformal.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.func import jvp, vjp, vmap

__all__ = [
    "half_log_det_gram",
    "log_volume_bound",
    "log_volume_by_minor",
    "log_volume_by_push",
    "log_volume_by_tangents",
]

MAX_ELEMENTS = 2**22
"""Elements of a Jacobian that are computed at once; hidden layers take about 100 times that."""


def log_volume_by_tangents(
    decode: Callable[..., Tensor], u: Tensor, theta: Tensor | None = None
) -> Tensor:
    """Log-volume V by n forward-mode tangents: (B, n) -> (B,).

    Arguments:
        decode: The map g, row by row: (B, n) -> (B, d), or with theta (B, n), (B, p) -> (B, d).
        u: Where to evaluate, with shape (B, n).
        theta: Parameters that the map depends on, with shape (B, p), or None.
    """
    n = u.shape[-1]

    def volume(rows: Tensor, *condition: Tensor) -> Tensor:
        return half_log_det_gram(_jacobian(decode, rows, *condition))

    return _by_chunks(volume, u, theta, per_row=n**2)


def log_volume_by_push(
    push: Callable[..., tuple[Tensor, Tensor]],
    u: Tensor,
    dim: int,
    theta: Tensor | None = None,
) -> Tensor:
    """Log-volume V of g(u) = f(u, 0) by a bijection f that pushes tangents: (B, n) -> (B,).

    Arguments:
        push: Maps latents with tangents: (B, d), (B, n, d) -> (B, d), (B, n, d).
        u: Where to evaluate, with shape (B, n).
        dim: The dimension d.
        theta: Parameters that the map depends on, with shape (B, p), or None.
    """
    n = u.shape[-1]
    unit = torch.eye(n, dim, dtype=u.dtype, device=u.device)

    def volume(rows: Tensor, *condition: Tensor) -> Tensor:
        z, tangents = F.pad(rows, (0, dim - n)), unit.expand(len(rows), n, dim)
        return half_log_det_gram(push(z, tangents, *condition)[1].mT)

    return _by_chunks(volume, u, theta, per_row=n**2)


def log_volume_bound(
    decode: Callable[..., Tensor], u: Tensor, theta: Tensor | None = None
) -> Tensor:
    """Upper bound of the log-volume by the Frobenius norm of the Jacobian: (B, n) -> (B,).

    Arguments:
        decode: The map g, row by row: (B, n) -> (B, d), or with theta (B, n), (B, p) -> (B, d).
        u: Where to evaluate, with shape (B, n).
        theta: Parameters that the map depends on, with shape (B, p), or None.
    """
    n = u.shape[-1]

    def volume(rows: Tensor, *condition: Tensor) -> Tensor:
        squares = _jacobian(decode, rows, *condition).square().sum(dim=(-2, -1))
        return 0.5 * n * (squares / n).log()

    return _by_chunks(volume, u, theta, per_row=n**2)


def _jacobian(decode: Callable[..., Tensor], u: Tensor, *condition: Tensor) -> Tensor:
    """Jacobian of the map by n tangents at once: (B, n) -> (B, d, n)."""
    load_forward_mode()
    unit = torch.eye(u.shape[-1], dtype=u.dtype, device=u.device)

    def push(tangent: Tensor) -> Tensor:
        along = (tangent.expand_as(u),)
        return jvp(lambda rows: decode(rows, *condition), (u,), along)[1]

    return vmap(push, out_dims=-1)(unit)


def log_volume_by_minor(
    inverse_and_log_det: Callable[..., tuple[Tensor, Tensor]],
    x: Tensor,
    latent_dim: int,
    theta: Tensor | None = None,
) -> Tensor:
    """Log-volume V by the complementary minor of a bijection's inverse: (B, d) -> (B,).

    Arguments:
        inverse_and_log_det: The inverse of f with log|det|, row by row: (B, d) -> (B, d), (B,).
        x: Points *on the manifold*, with shape (B, d).
        latent_dim: The dimension n.
        theta: Parameters that the map depends on, with shape (B, p), or None.
    """
    dim = x.shape[-1]

    def volume(rows: Tensor, *condition: Tensor) -> Tensor:
        outputs, pull = vjp(lambda points: inverse_and_log_det(points, *condition), rows)[:2]
        latents, log_det = outputs
        unit = torch.eye(dim, dtype=rows.dtype, device=rows.device)[latent_dim:]

        def pull_back(cotangent: Tensor) -> Tensor:
            gradient: Tensor = pull((cotangent.expand_as(latents), torch.zeros_like(log_det)))[0]
            return gradient

        return half_log_det_gram(vmap(pull_back, out_dims=-1)(unit)) - log_det

    return _by_chunks(volume, x, theta, per_row=dim * (dim - latent_dim))


def half_log_det_gram(matrix: Tensor) -> Tensor:
    r"""Half the logarithm of :math:`\det A^T A`: (..., rows, columns) -> (...).

    Cholesky of the Gram matrix, whose failure shows (a determinant would hide
    it); where a Gram matrix is too ill-conditioned, QR of the matrices themselves.
    """
    if matrix.shape[-1] == 1:
        return torch.linalg.vector_norm(matrix[..., 0], dim=-1).log()
    gram = matrix.mT @ matrix
    factor, failed = torch.linalg.cholesky_ex(gram)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    smallest, largest = diagonal.amin(dim=-1), diagonal.amax(dim=-1)
    doubtful = (failed != 0) | (smallest < 1e2 * torch.finfo(gram.dtype).eps ** 0.5 * largest)
    if not doubtful.any():
        return diagonal.log().sum(dim=-1)
    # all of them by QR: the gradient of a failed Cholesky would reach a mixture as NaN
    triangle = torch.linalg.qr(matrix).R
    return triangle.diagonal(dim1=-2, dim2=-1).abs().log().sum(dim=-1)


@functools.cache
def load_forward_mode() -> None:
    """Use forward mode once: torch then compiles what it needs with its own deprecated tool."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


def _by_chunks(
    volume: Callable[..., Tensor], points: Tensor, theta: Tensor | None, per_row: int
) -> Tensor:
    """Evaluate in chunks that bound the memory of the Jacobian."""
    rows = max(1, MAX_ELEMENTS // (100 * per_row))
    aligned = (points,) if theta is None else (points, theta)
    if len(points) <= rows:
        return volume(*aligned)
    chunks = zip(*(tensor.split(rows) for tensor in aligned), strict=True)
    return torch.cat([volume(*chunk) for chunk in chunks])
