r"""The spline of zuko's neural spline flow with the bins on the leading axis.

The same function of the same parameters as
:class:`zuko.transforms.MonotonicRQSTransform`. There softmax, sums and look-ups run along
a trailing axis of K bins and take most of the time of a density; here they run along
the batch, which takes about half of it.

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["BinsFirstSpline"]

_LIMIT = -math.log(1e-3)  # of the logarithm of sizes and slopes, as in zuko


class BinsFirstSpline(Transform):
    """Monotonic rational-quadratic splines on [-bound, bound], the identity outside.

    Arguments:
        widths: Unconstrained widths of the K bins, with shape (*, K).
        heights: Unconstrained heights, with shape (*, K).
        derivatives: Unconstrained derivatives at the inner knots, with shape (*, K - 1).
        bound: Half width of the interval.
        kwargs: Arguments of :class:`torch.distributions.Transform`.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = 1

    def __init__(
        self,
        widths: Tensor,
        heights: Tensor,
        derivatives: Tensor,
        bound: float = 5.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        sizes = torch.stack([widths.movedim(-1, 0), heights.movedim(-1, 0)])
        sizes = (sizes / (1.0 + sizes.abs() * (2.0 / _LIMIT))).softmax(dim=1)
        slopes = derivatives.movedim(-1, 0).contiguous()
        slopes = (slopes / (1.0 + slopes.abs() / _LIMIT)).exp()
        around = (0, 0) * (slopes.ndim - 1)
        self.bound = bound
        knots = F.pad(2.0 * bound * sizes.cumsum(dim=1), (*around, 1, 0)) - bound
        self._x, self._y = knots
        self._slopes = F.pad(slopes, (*around, 1, 1), value=1.0)

    def _call(self, x: Tensor) -> Tensor:
        """Map points: (*) -> (*)."""
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of dy/dx: (*) -> (*)."""
        return self.call_and_ladj(x)[1]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map points, with the logarithm of the derivative: (*) -> (*), (*)."""
        inside = x.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self._bin(self._x, inside)
        s = (y1 - y0) / (x1 - x0)
        z = (inside - x0) / (x1 - x0)
        cross = z * (1.0 - z)
        below = s + (d0 + d1 - 2.0 * s) * cross
        y = y0 + (y1 - y0) * (s * z.square() + d0 * cross) / below
        rise = d1 * z.square() + 2.0 * s * cross + d0 * (1.0 - z).square()
        log_slope = 2.0 * (s / below).log() + rise.log()
        beyond = inside != x
        return torch.where(beyond, x, y), torch.where(beyond, 0.0, log_slope)

    def _inverse(self, y: Tensor) -> Tensor:
        """Map points back: (*) -> (*), by the root that does not cancel."""
        inside = y.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self._bin(self._y, inside)
        s = (y1 - y0) / (x1 - x0)
        bend = (inside - y0) * (d0 + d1 - 2.0 * s)
        a = (y1 - y0) * (s - d0) + bend
        b = (y1 - y0) * d0 - bend
        c = -s * (inside - y0)
        # above zero: where it rounds to less, its root would have an infinite slope
        root = (b.square() - 4.0 * a * c).clamp_min(torch.finfo(b.dtype).tiny).sqrt()
        z = 2.0 * c / (-b - root)
        return torch.where(inside != y, y, x0 + z * (x1 - x0))

    def _bin(self, knots: Tensor, value: Tensor) -> list[Tensor]:
        """Left and right x, y and slope of the bin of each value."""
        aligned = [_align(part, value) for part in (self._x, self._y, self._slopes)]
        left = (_align(knots, value)[1:-1] <= value).sum(dim=0)
        both = torch.stack([left, left + 1])
        ends = [part.expand(-1, *left.shape).gather(0, both) for part in aligned]
        return [end for pair in ends for end in pair]


def _align(knots: Tensor, value: Tensor) -> Tensor:
    """Give knots (K + 1, ...) as many dimensions after the first as the values have."""
    missing = value.ndim + 1 - knots.ndim
    return knots.reshape(len(knots), *[1] * missing, *knots.shape[1:])
