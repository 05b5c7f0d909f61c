r"""Monotonic rational-quadratic splines with the bins on the leading axis.

A spline maps :math:`[-R, R]` onto itself through K bins whose widths, heights
and knot derivatives are free, and is the identity outside. Within bin k, with
:math:`\xi = (x - x_k) / (x_{k+1} - x_k)`, mean slope
:math:`s = (y_{k+1} - y_k) / (x_{k+1} - x_k)` and knot derivatives
:math:`\delta_k`,

.. math:: y = y_k + (y_{k+1} - y_k) \frac{s \xi^2 + \delta_k \xi (1 - \xi)}
          {s + (\delta_{k+1} + \delta_k - 2 s) \xi (1 - \xi)}

The bins lie on the first axis of every tensor, the batch on the last: softmax,
sums and comparisons then run along contiguous batches, which is faster on a CPU than
bins on the last axis. What only two knots of a spline need, those of the
bin of its point, is computed after they have been looked up. Everything is a pure function of
tensors, so that forward- and reverse-mode derivatives and ``vmap`` pass through.

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

__all__ = ["RationalQuadraticSpline"]

MIN_BIN = 1e-3
"""Smallest width and height of a bin, as a fraction of the interval."""
MIN_DERIVATIVE = 1e-3
"""Smallest derivative at a knot."""

# softplus(_SLOPE_ONE) + MIN_DERIVATIVE = 1: zero parameters mean slope one
_SLOPE_ONE = math.log(math.expm1(1 - MIN_DERIVATIVE))


class _Bin(NamedTuple):
    """The bin of each point: left knot, size, mean slope and knot derivatives."""

    x: Tensor
    y: Tensor
    width: Tensor
    height: Tensor
    slope: Tensor
    left: Tensor
    right: Tensor


class RationalQuadraticSpline:
    """A batch of splines, conditioned once and then used in both directions.

    Shapes of points and splines broadcast. Another kind of spline says otherwise what its
    parameters mean: ``least_bin``, ``_log_sizes`` and ``_derivative``.

    Arguments:
        sizes: Unconstrained widths and heights of the bins, with shape (2 K, *).
        slopes: Unconstrained derivatives at the inner knots, with shape (K - 1, *). All zeros
            mean the identity.
        bound: The half width R of the interval.
    """

    least_bin: ClassVar[float] = MIN_BIN

    def __init__(self, sizes: Tensor, slopes: Tensor, bound: float) -> None:
        bins = len(slopes) + 1
        fractions = self._log_sizes(sizes.unflatten(0, (2, bins))).softmax(dim=1)
        # One product adds up the bins before each knot, what each has at least, and minus R,
        # which is that of all fractions.
        before = fractions.new_full((bins + 1, bins), 1 - self.least_bin * bins).tril(-1)
        least = torch.arange(bins + 1, dtype=before.dtype, device=before.device) * self.least_bin
        knots = bound * (2 * (before + least[:, None]) - 1) @ fractions.unsqueeze(-1).flatten(2)
        self.bound = bound
        self._knots = knots.reshape(2, bins + 1, *fractions.shape[2:])
        self._slopes = slopes

    @staticmethod
    def _log_sizes(sizes: Tensor) -> Tensor:
        """Logarithms of the sizes of bins, up to a constant, of unconstrained ones: (*) -> (*)."""
        return sizes

    @staticmethod
    def _derivative(slopes: Tensor) -> Tensor:
        """Derivatives at knots, of unconstrained ones: (*) -> (*)."""
        return MIN_DERIVATIVE + F.softplus(slopes + _SLOPE_ONE)

    def __call__(self, x: Tensor) -> Tensor:
        """Map points: (*) -> (*)."""
        return self._bend(x)[0]

    def inverse(self, y: Tensor) -> Tensor:
        """Map points back: (*) -> (*).

        The root of the quadratic equation is taken in the form that does not
        cancel (Durkan et al., 2019, equation 29).
        """
        inside = y.clamp(-self.bound, self.bound)
        k = self._bin(inside, axis=1)
        rise = inside - k.y
        bend = rise * (k.left + k.right - 2 * k.slope)
        a = k.height * (k.slope - k.left) + bend
        b = k.height * k.left - bend
        c = -k.slope * rise
        # above zero: where it rounds to less, its root would have an infinite slope
        root = (b.square() - 4 * a * c).clamp_min(torch.finfo(b.dtype).tiny).sqrt()
        return torch.where(inside == y, k.x + k.width * 2 * c / (-b - root), y)

    def log_derivative(self, x: Tensor) -> Tensor:
        """Logarithm of dy/dx: (*) -> (*)."""
        return self.with_log_derivative(x)[1]

    def with_log_derivative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map points, with the logarithm of dy/dx: (*) -> (*), (*)."""
        y, inside, k, xi, cross, denominator = self._bend(x)
        rise = k.right * xi.square() + 2 * k.slope * cross + k.left * (1 - xi).square()
        log_derivative = ((k.slope / denominator).square() * rise).log()
        return y, torch.where(inside == x, log_derivative, 0.0)

    def _bend(self, x: Tensor) -> tuple[Tensor, Tensor, _Bin, Tensor, Tensor, Tensor]:
        """Map points, and return what their derivative takes as well."""
        inside = x.clamp(-self.bound, self.bound)
        k = self._bin(inside, axis=0)
        xi = (inside - k.x) / k.width
        cross = xi * (1 - xi)
        denominator = k.slope + (k.left + k.right - 2 * k.slope) * cross
        y = k.y + k.height * (k.slope * xi.square() + k.left * cross) / denominator
        return torch.where(inside == x, y, x), inside, k, xi, cross, denominator

    def _bin(self, value: Tensor, axis: int) -> _Bin:
        """Look up the bin of each value among the knots of x (axis 0) or y (axis 1)."""
        knots, slopes = self._knots, self._slopes
        if value.shape != slopes.shape[1:]:
            shape = torch.broadcast_shapes(value.shape, slopes.shape[1:])
            new = [1] * (len(shape) + 1 - slopes.ndim)
            knots = knots.unflatten(1, (-1, *new)).expand(2, -1, *shape)
            slopes = slopes.unflatten(0, (-1, *new)).expand(-1, *shape)
        # torch casts before it adds up: int64 of every comparison would be eight times as much
        left = (value >= knots[axis, 1:-1]).sum(dim=0, dtype=torch.int16).long()
        both = torch.stack([left, left + 1])
        (x0, x1), (y0, y1) = knots.gather(1, both.expand(2, *both.shape))
        inner = (both - 1).clamp(0, len(slopes) - 1)
        d0, d1 = self._derivative(slopes.gather(0, inner).where(inner == both - 1, 0.0))
        width, height = x1 - x0, y1 - y0
        return _Bin(x0, y0, width, height, height / width, d0, d1)
