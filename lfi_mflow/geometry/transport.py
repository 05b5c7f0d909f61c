r"""Optimal transport between two weighted clouds of points.

Entropic transport with the cost :math:`C(x, y) = |x - y|^2 / 2` and
:math:`\varepsilon = \mathrm{blur}^2` has the dual potentials

.. math::
    f_i = -\varepsilon \log \sum_j b_j e^{(g_j - C_{ij}) / \varepsilon}, \qquad
    g_j = -\varepsilon \log \sum_i a_i e^{(f_i - C_{ij}) / \varepsilon}

and the value :math:`\mathrm{OT}(a, b) = \sum_i a_i f_i + \sum_j b_j g_j`. Its
minimum over b is not at a: entropy shrinks the cloud. The divergence

.. math:: S(a, b) = \mathrm{OT}(a, b) - \tfrac12 \mathrm{OT}(a, a) - \tfrac12 \mathrm{OT}(b, b)

removes that bias: it is convex, non-negative, and zero only for equal measures.
It goes to half the squared Wasserstein distance for small blur, and to half the
squared distance of the means for large blur.

References:
    J. Feydy et al., Interpolating between optimal transport and MMD using
    Sinkhorn divergences, 2019, arXiv:1810.08278.

    B. Schmitzer, Stabilized sparse scaling algorithms for entropy regularized
    transport problems, 2016, arXiv:1610.06519: scaling between absorptions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lfi_mflow.errors import ConfigError, DataError

__all__ = ["SinkhornDivergence", "sinkhorn_divergence"]

_SCALINGS = 10
"""Scalings of rows and columns at each length of the annealing."""

_OWN_SCALINGS = 5
"""The same for a cloud against itself, which converges faster."""

_LAST_STEPS = 3
"""How often the target length is repeated."""

_LOWEST = -60.0
"""Exponents below it count as this one: exp of it is nothing, but not zero."""


@dataclass(frozen=True)
class SinkhornDivergence:
    """A Sinkhorn divergence, and how much each point adds to it.

    Attributes:
        value: The divergence sum_i a_i x_terms_i + sum_j b_j y_terms_j, a scalar.
        x_terms: Debiased potentials of the points x, with shape (N,): the
            derivative of the divergence by a, up to a constant; their mean is
            half the value.
        y_terms: Debiased potentials of the points y, with shape (M,).
    """

    value: Tensor
    x_terms: Tensor
    y_terms: Tensor


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    log_a: Tensor | None = None,
    log_b: Tensor | None = None,
    *,
    blur: float,
    scaling: float = 0.5,
) -> SinkhornDivergence:
    """Debiased Sinkhorn divergence of two weighted clouds, for the cost |x - y|^2 / 2.

    The gradient of ``value`` by the points and the log-weights is that of the
    converged divergence (envelope theorem), and needs no memory of the steps.
    It can be taken once: second derivatives raise. The gradient of a single
    term is that by its own point alone. Memory is that of a few matrices of
    max(N, M)^2 numbers; time is that of log(diameter / blur) / log(1 / scaling)
    steps over N M + N^2 + M^2 numbers.

    Arguments:
        x: Points, with shape (N, D).
        y: Points, with shape (M, D).
        log_a: Logarithms of the weights of x, with shape (N,), normalised here;
            None for equal weights. Minus infinity leaves a point out.
        log_b: Logarithms of the weights of y, with shape (M,), likewise.
        blur: Length below which the clouds are not told apart, in the units of x.
        scaling: Ratio of the length from step to step of the annealing, between
            0 and 1. Nearer to 1 is slower and better converged.

    Raises:
        ConfigError: If blur or scaling is outside its range.
        DataError: If the shapes do not fit each other or a cloud is empty.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]])
        >>> round(sinkhorn_divergence(x, x + 2.0, blur=0.05).value.item(), 4)
        2.0
    """
    _check_settings(blur, scaling)
    log_a, log_b = _log_weights("x", x, log_a), _log_weights("y", y, log_b)
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"points y with shape (M, {x.shape[1]})", f"{tuple(y.shape)}", "give both alike"
        )
    with torch.no_grad():
        x_terms, x_pulls, y_terms, y_pulls = _debiased(
            x, y, log_a, log_b, _annealing(x, y, blur, scaling)
        )
        # a constant can move from f to g: half of the value for each
        excess = (log_a.exp() @ x_terms - log_b.exp() @ y_terms) / 2.0
    x_terms = _Envelope.apply(x, x_terms - excess, x_pulls)  # type: ignore[no-untyped-call]
    y_terms = _Envelope.apply(y, y_terms + excess, y_pulls)  # type: ignore[no-untyped-call]
    value = log_a.exp() @ x_terms + log_b.exp() @ y_terms
    return SinkhornDivergence(value, x_terms, y_terms)


class _Envelope(torch.autograd.Function):
    """Potentials whose gradient by their own points is known."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, terms: Tensor, pulls: Tensor) -> Tensor:
        """Return the terms, with shape (N,); ``points`` and ``pulls`` have shape (N, D)."""
        ctx.save_for_backward(pulls)
        return terms.view_as(terms)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient by the points, with shape (N, D)."""
        (pulls,) = ctx.saved_tensors
        return gradient[:, None] * pulls, None, None


def _debiased(
    x: Tensor, y: Tensor, log_a: Tensor, log_b: Tensor, lengths: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Debiased potentials, and their gradients by x and by y.

    The gradient of f at x_i is x_i minus the mean of the y that x_i is sent to,
    so that in the difference of two potentials x_i itself drops out.
    """
    f_ab, g_ab, y_of_x, x_of_y = _potentials(x, y, log_a, log_b, lengths)
    f_aa, x_of_x = _own_potential(x, log_a, lengths)
    g_bb, y_of_y = _own_potential(y, log_b, lengths)
    return f_ab - f_aa, x_of_x - y_of_x, g_ab - g_bb, y_of_y - x_of_y


def _potentials(
    x: Tensor, y: Tensor, log_a: Tensor, log_b: Tensor, lengths: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Potentials f, g between two clouds, and the mean partner of each x and each y.

    Each length starts with a step that cannot overflow; many more then only
    scale the rows and columns of one matrix, which costs next to nothing.
    """
    cost = _cost(x, y)
    a, b = log_a.exp(), log_b.exp()
    f, g = cost.new_zeros(len(x)), cost.new_zeros(len(y))
    for length in lengths:
        eps = length**2
        kernel, largest = _row_weights(cost, g / eps, eps)
        v = torch.ones_like(g)
        for _ in range(_SCALINGS):
            u = (kernel @ (b * v)).reciprocal()
            v = (kernel.mT @ (a * u)).reciprocal()
        f, g = eps * (u.log() - largest), g + eps * v.log()
    _, x_of_y = _soft_min(cost.mT, log_a + f / eps, eps, x)
    f, y_of_x = _soft_min(cost, log_b + g / eps, eps, y)
    return f, g, y_of_x, x_of_y


def _own_potential(x: Tensor, log_a: Tensor, lengths: list[float]) -> tuple[Tensor, Tensor]:
    """Potential of a cloud against itself, and the mean partner of each point.

    Half-way steps keep both sides equal, and converge fast.
    """
    cost = _cost(x, x)
    a = log_a.exp()
    f = cost.new_zeros(len(x))
    for length in lengths:
        eps = length**2
        exponents = torch.add(f / eps, cost, alpha=-1.0 / eps)
        exponents += (f / eps)[:, None]
        kernel = exponents.clamp_(_LOWEST, -_LOWEST).exp_()
        u = torch.ones_like(f)
        for _ in range(_OWN_SCALINGS):
            u = (u / (kernel @ (a * u))).sqrt()
        f = f + eps * u.log()
    last, x_of_x = _soft_min(cost, log_a + f / eps, eps, x)
    return 0.5 * (f + last), x_of_x


def _soft_min(cost: Tensor, exponent: Tensor, eps: float, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return -eps log sum_j exp(exponent_j - C_ij / eps), and the mean of y with these weights.

    The shapes are (N, M), (M,), (M, D) -> (N,), (N, D).
    """
    weights, largest = _row_weights(cost, exponent, eps)
    total = weights.sum(dim=1)
    return -eps * (largest + total.log()), weights @ y / total[:, None]


def _row_weights(cost: Tensor, exponent: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Return exp(exponent_j - C_ij / eps - m_i), with shape (N, M), and the maxima m_i."""
    exponents = torch.add(exponent, cost, alpha=-1.0 / eps)
    largest = exponents.amax(dim=1)
    exponents -= largest[:, None]
    # exp is several times slower where it underflows
    return exponents.clamp_(min=_LOWEST).exp_(), largest


def _cost(x: Tensor, y: Tensor) -> Tensor:
    """Half the squared distances: (N, D), (M, D) -> (N, M)."""
    # differences, not a matrix product: near points would drown in its rounding
    return 0.5 * torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def _annealing(x: Tensor, y: Tensor, blur: float, scaling: float) -> list[float]:
    """Lengths from the diameter of both clouds down to the blur."""
    points = torch.cat([x, y])
    diameter = (points.amax(dim=0) - points.amin(dim=0)).norm().item()
    steps = 0
    if math.isfinite(diameter) and diameter > blur:
        steps = math.ceil(math.log(diameter / blur) / -math.log(scaling))
    return [diameter * scaling**step for step in range(steps)] + [blur] * _LAST_STEPS


def _check_settings(blur: float, scaling: float) -> None:
    """Raise unless the lengths can go down to the blur."""
    if not 0.0 < blur < math.inf:
        raise ConfigError("a blur > 0", f"{blur:g}", "choose a length in the units of the data")
    if not 0.0 < scaling < 1.0:
        raise ConfigError("a scaling between 0 and 1", f"{scaling:g}", "choose 0.5 to 0.9")


def _log_weights(name: str, points: Tensor, log_weights: Tensor | None) -> Tensor:
    """Return normalised log-weights, with shape (N,), of points with shape (N, D)."""
    if points.ndim != 2 or len(points) == 0:
        raise DataError(
            f"points {name} with shape (N, D), N >= 1", f"{tuple(points.shape)}", "give a cloud"
        )
    if log_weights is None:
        return points.new_full((len(points),), -math.log(len(points)))
    if log_weights.shape != points.shape[:1]:
        raise DataError(
            f"one log-weight for each of {len(points)} points {name}",
            f"shape {tuple(log_weights.shape)}",
            "give a vector of that length",
        )
    return log_weights.log_softmax(dim=0)
