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
import torch.nn.functional as F  # noqa: N812 - its usual name
import zuko
from torch import Tensor
from zuko.nn import MaskedLinear
from zuko.transforms import AutoregressiveTransform
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

    def invert(self, y: Tensor, c: Tensor | None) -> Tensor:
        """Find x: (..., n), (..., p) -> (..., n)."""
        y, c = broadcast(y, y[..., :0] if c is None else c, ignore=1)
        *layers, last = self._layers
        # The units that are known first come first.
        hidden = [
            ((layer.mask * layer.weight)[rows][:, columns], layer.bias[rows])
            for layer, (columns, rows) in zip(layers, pairwise(self._sorting), strict=True)
        ]
        weight, bias = (last.mask * last.weight)[:, self._sorting[-1]], last.bias
        # and so do the coordinates, each with the rows of its spline
        weight, bias = (v.unflatten(0, (-1, self.total))[self._turns] for v in (weight, bias))
        y = y[..., self._turns]
        values, found = [c, *(c[..., :0] for _ in hidden)], []
        for step, (first, end) in enumerate(pairwise(self._edges)):
            for index, (w, b) in enumerate(hidden):
                before, after = values[index], values[index + 1]
                new = slice(after.shape[-1], self._known[index + 1][step])
                said = F.linear(before, w[new, : before.shape[-1]], b[new])
                values[index + 1] = torch.cat([after, self.hyper[1](said)], dim=-1)
            known = weight[first:end, :, : values[-1].shape[-1]].flatten(0, 1)
            phi = F.linear(values[-1], known, bias[first:end].flatten())
            phi = unpack(phi.unflatten(-1, (end - first, self.total)), self.shapes)
            x = self.univariate(*phi).inv(y[..., first:end])
            values[0] = torch.cat([values[0], x], dim=-1)
            found.append(x)
        return torch.cat(found, dim=-1)[..., self._turns.argsort()]


class _OnePass(AutoregressiveTransform):  # type: ignore[misc]  # no types
    """A transform at a context, which inverts as its layer does."""

    def __init__(self, layer: MaskedAutoregressiveTransform, c: Tensor | None) -> None:
        super().__init__(partial(layer.meta, c), layer.passes)
        self._solve = partial(layer.invert, c=c)

    def _inverse(self, y: Tensor) -> Tensor:
        """Map back: (..., n) -> (..., n)."""
        return self._solve(y)
