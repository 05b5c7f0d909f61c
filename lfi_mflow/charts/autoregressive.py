r"""Autoregressive transforms whose inverse costs one call of their network.

The map :math:`y_i = f(x_i; \phi_i(x_{<i}, \theta))` calls the network once. Its inverse has to find
the coordinates one after the other, and the usual way is to call the whole network n
times, each time for one more coordinate. But a hidden unit that sees no further than
:math:`x_{<i}` is final as soon as these are known. Here each unit is computed once, in the
step in which its inputs are complete, and each spline is inverted once: n small steps that add
up to one call. Coordinates of one place are found in one step: where there are two places, it is
a coupling layer, and they are two steps.

References:
    | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
    | https://arxiv.org/abs/1705.07057
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import torch
import zuko
from torch import Size, Tensor
from torch.distributions import Transform
from zuko.nn import MaskedLinear
from zuko.transforms import AutoregressiveTransform, DependentTransform
from zuko.utils import broadcast, unpack

__all__ = ["MaskedAutoregressiveTransform"]


class MaskedAutoregressiveTransform(zuko.flows.MaskedAutoregressiveTransform):  # type: ignore[misc]  # no types
    """zuko's transform, with an inverse that goes through the network once.

    Of one coordinate it is the element-wise transform that zuko makes of it.

    Arguments:
        features: The number n of coordinates.
        context: The number p of parameters.
        order: The place of each coordinate, with shape (n,): y_i depends on those before.
        kwargs: The univariate transform and the network, see
            :class:`zuko.flows.MaskedAutoregressiveTransform`.
    """

    def __init__(self, features: int, context: int = 0, *, order: Tensor, **kwargs: Any) -> None:
        super().__init__(features, context, order=order, **kwargs)
        # How many coordinates must be known for a unit, for the inputs and hidden layers.
        needs = [torch.cat([order + 1, order.new_zeros(context)])]
        for layer in self._layers[:-1]:
            needs.append((layer.mask * needs[-1]).amax(dim=1))
        self._sorting = [torch.argsort(need, stable=True) for need in needs]
        self._turns = torch.argsort(order, stable=True)
        self._edges = [0, *order.bincount().cumsum(0).tolist()]
        self._known = [need.bincount(minlength=features).cumsum(0).tolist() for need in needs]

    @property
    def _layers(self) -> list[MaskedLinear]:
        """The linear layers of the network."""
        return [layer for layer in self.hyper if isinstance(layer, MaskedLinear)]

    def forward(self, c: Tensor | None = None) -> AutoregressiveTransform:
        """Return the transform at a context with shape (..., p)."""
        return _OnePass(self, c)

    def meta(self, c: Tensor | None, x: Tensor) -> DependentTransform:
        """Return the transform of coordinates x at a context: (..., p), (..., n) -> transform."""
        if c is not None:
            x = torch.cat(broadcast(x, c, ignore=1), dim=-1)
        *hidden, last = self.hyper
        for layer in hidden:
            x = layer(x)
        shape = x.shape[:-1]
        weight, bias = self._by_parameter(last)
        transforms = self._univariate(weight, bias, x.reshape(-1, x.shape[-1]).T, shape)
        return DependentTransform(transforms, 1)

    def invert(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Find x: (..., n), (..., p) -> (..., n)."""
        y, c = broadcast(y, y[..., :0] if c is None else c, ignore=1)
        shape = y.shape
        y, c = (v.reshape(shape[:-1].numel(), v.shape[-1]).T for v in (y, c))
        *layers, last = self._layers
        # The units that are known first come first, and so do the coordinates.
        hidden = [
            ((layer.mask * layer.weight)[rows][:, columns], layer.bias[rows, None])
            for layer, (columns, rows) in zip(layers, pairwise(self._sorting), strict=True)
        ]
        weight, bias = self._by_parameter(last)
        weight, bias = weight[:, self._turns][..., self._sorting[-1]], bias[:, self._turns]
        y = y[self._turns]
        inputs, found = _Rows(c, len(c) + len(y)), []
        units = [_Rows(c[:0], len(b)) for _, b in hidden]
        for step, (first, end) in enumerate(pairwise(self._edges)):
            before = inputs.known
            for (w, b), rows, ends in zip(hidden, units, self._known[1:], strict=True):
                new = slice(len(rows.known), ends[step])
                said = torch.addmm(b[new], w[new, : len(before)], before)
                rows.append(self.hyper[1](said))
                before = rows.known
            part = y[first:end].T
            known = weight[:, first:end, : len(before)]
            x = self._univariate(known, bias[:, first:end], before, part.shape[:-1]).inv(part).T
            inputs.append(x)
            found.append(x)
        return torch.cat(found)[self._turns.argsort()].T.reshape(shape)

    def _by_parameter(self, last: MaskedLinear) -> tuple[Tensor, Tensor]:
        """Weights (total, n, h) and biases (total, n) of the last layer."""
        return tuple(
            rows.unflatten(0, (-1, self.total)).transpose(0, 1)
            for rows in (last.mask * last.weight, last.bias)
        )

    def _univariate(self, weight: Tensor, bias: Tensor, hidden: Tensor, shape: Size) -> Transform:
        """Return the transforms of m coordinates, of what the last hidden layer says.

        The rows of the last layer are brought into the order of the parameters, with the
        batch last, which costs less than to bring what it says of every event.

        Arguments:
            weight: Weights of the last layer, with shape (total, m, h).
            bias: Its biases, with shape (total, m).
            hidden: Its inputs, with shape (h, N).
            shape: The N as they were.
        """
        phi = torch.addmm(bias.reshape(-1, 1), weight.flatten(0, 1), hidden)
        phi = phi.reshape(*bias.shape, *shape).movedim((0, 1), (-1, -2))
        return self.univariate(*unpack(phi, self.shapes))


class _Rows:
    """Rows of a matrix that become known one after the other.

    They are put where they belong at once; but where a gradient will need what was known
    before, all are copied each time.

    Arguments:
        known: The first rows, with shape (k, N); there may be none.
        total: Number of rows in the end.
    """

    def __init__(self, known: Tensor, total: int) -> None:
        self.known = known
        self._total = total
        self._store: Tensor | None = None

    def append(self, rows: Tensor) -> None:
        """Add rows (k', N) to those that are known."""
        if torch.is_grad_enabled():
            self.known = torch.cat([self.known, rows])
            return
        start, end = len(self.known), len(self.known) + len(rows)
        if self._store is None:
            self._store = rows.new_empty(self._total, rows.shape[1])
            self._store[:start] = self.known
        self._store[start:end] = rows
        self.known = self._store[:end]


class _OnePass(AutoregressiveTransform):  # type: ignore[misc]  # no types
    """A transform at a context, which inverts as its layer does."""

    def __init__(self, layer: MaskedAutoregressiveTransform, c: Tensor | None) -> None:
        super().__init__(partial(layer.meta, c), layer.passes)
        self._solve = partial(layer.invert, c=c)

    def _inverse(self, y: Tensor) -> Tensor:
        """Map back: (..., n) -> (..., n)."""
        return self._solve(y)
