"""The spline of zuko's neural spline flow, computed as those of the charts.

The same function of the same parameters as
:class:`zuko.transforms.MonotonicRQSTransform`. There softmax, sums and look-ups run along
a trailing axis of K bins and take most of the time of a density; here they run along
the batch, which is faster (``benchmarks/test_splines.py``).

References:
    | Neural Spline Flows (Durkan et al., 2019)
    | https://arxiv.org/abs/1906.04032
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints

from lfi_mflow.charts import RationalQuadraticSpline

__all__ = ["BinsFirstSpline"]

_LIMIT = -math.log(1e-3)  # of the logarithm of sizes and slopes, as in zuko


class _BoundedSpline(RationalQuadraticSpline):
    """A spline whose sizes and slopes cannot grow without bound."""

    least_bin = 0.0

    @staticmethod
    def _log_sizes(sizes: Tensor) -> Tensor:
        """Logarithms of the sizes of bins, up to a constant, of unconstrained ones: (*) -> (*)."""
        return sizes / torch.rsub(sizes.abs(), 1.0, alpha=-2.0 / _LIMIT)

    @staticmethod
    def _derivative(slopes: Tensor) -> Tensor:
        """Derivatives at knots, of unconstrained ones: (*) -> (*)."""
        return (slopes / (1.0 + slopes.abs() / _LIMIT)).exp()


class BinsFirstSpline(Transform):
    """Monotonic rational-quadratic splines on [-bound, bound], the identity outside.

    Fastest where the memory of the parameters has the bins first and the batch last.

    Arguments:
        parameters: Unconstrained widths and heights of the K bins of n splines, and derivatives at
            their inner knots: with shape (..., n, 3 K - 1), or in parts of it.
        bound: Half width of the interval.
        kwargs: Arguments of :class:`torch.distributions.Transform`.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = 1

    def __init__(self, *parameters: Tensor, bound: float = 5.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        parts = [part.movedim((-1, -2), (0, 1)) for part in parameters]
        self._parameters = parts[0] if len(parts) == 1 else torch.cat(parts)
        self._bound = bound

    def _call(self, x: Tensor) -> Tensor:
        """Map points: (..., n) -> (..., n)."""
        return self.call_and_ladj(x)[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Logarithm of dy/dx: (..., n) -> (..., n)."""
        return self.call_and_ladj(x)[1]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map points, with the logarithm of the derivative: (..., n) -> (..., n), (..., n)."""
        spline, x = self._batch_last(x)
        y, log_derivative = spline.with_log_derivative(x)
        return y.movedim(0, -1), log_derivative.movedim(0, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        """Map points back: (..., n) -> (..., n)."""
        spline, y = self._batch_last(y)
        return spline.inverse(y).movedim(0, -1)

    def _batch_last(self, x: Tensor) -> tuple[_BoundedSpline, Tensor]:
        """Return splines and their points with the batch last: (..., n) -> splines, (n, ...)."""
        _, splines, *batch = self._parameters.shape
        x = x.expand(torch.broadcast_shapes(x.shape, (*batch, splines)))
        new = (None,) * (x.ndim - 1 - len(batch))
        parameters = self._parameters[:, :, *new]
        bins = (len(parameters) + 1) // 3
        sizes, slopes = parameters.split([2 * bins, bins - 1])
        return _BoundedSpline(sizes, slopes, self._bound), x.movedim(-1, 0).contiguous()
