r"""How many events are expected: Lumi sigma(theta) eps.

The number of observed events is a measurement of its own. Its likelihood needs the
cross-section, which a simulator knows if it has a rate
(:class:`lfi_mflow.simulation.HasRate`); where the events come from files, it can be
given by the components of a polynomial in the parameters, as morphing has them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.simulation import Array, HasRate, monomials

__all__ = ["ExpectedEvents", "Rate", "polynomial_cross_section", "rate_of"]

Rate = Callable[[Tensor], Tensor]
"""The expected number of events as a function of parameters: (..., p) -> (...)."""

_STEP = 1e-4


class ExpectedEvents:
    """Lumi sigma(theta) eps, differentiable in theta.

    The gradient is by central differences, which are exact for the quadratic
    cross-sections of effective field theories.

    Arguments:
        cross_section: Cross-section in pb: (N, p) -> (N,).
        luminosity: Integrated luminosity in 1/pb.
        efficiency: What the selection keeps of the events that the cross-section counts.

    Raises:
        InputError: If luminosity or efficiency is not positive.
    """

    def __init__(
        self,
        cross_section: Callable[[Array], Array],
        *,
        luminosity: float,
        efficiency: float = 1.0,
    ) -> None:
        for name, value in (("luminosity", luminosity), ("efficiency", efficiency)):
            if not 0.0 < value < math.inf:
                raise InputError(f"a positive {name}", f"{value:g}", f"correct the {name}")
        self._cross_section = cross_section
        self._scale = float(luminosity) * float(efficiency)

    def __call__(self, theta: Tensor) -> Tensor:
        """Return the expected number of events in float64: (..., p) -> (...)."""
        return _Differenced.apply(  # type: ignore[no-untyped-call]
            theta.to("cpu", torch.float64), self._values
        )

    def _values(self, theta: Tensor) -> Tensor:
        """Evaluate at points without a gradient: (..., p) -> (...)."""
        # The number of points is written out: -1 is ambiguous where there are no parameters.
        points = theta.detach().reshape(math.prod(theta.shape[:-1]), theta.shape[-1]).numpy()
        values = np.asarray(self._cross_section(points), dtype=np.float64) * self._scale
        return torch.from_numpy(values).reshape(theta.shape[:-1])


class _Differenced(torch.autograd.Function):
    """A function of theta whose gradient is by central differences."""

    @staticmethod
    def forward(ctx: object, theta: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Evaluate the function."""
        ctx.theta, ctx.function = theta, function  # type: ignore[attr-defined]
        return function(theta)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply by the differences."""
        theta, function = ctx.theta, ctx.function  # type: ignore[attr-defined]
        slopes = torch.empty_like(theta)
        for column in range(theta.shape[-1]):
            shift = torch.zeros_like(theta)
            shift[..., column] = _STEP * theta[..., column].abs().clamp_min(1.0)
            difference = function(theta + shift) - function(theta - shift)
            slopes[..., column] = difference / (2.0 * shift[..., column])
        return gradients[0].unsqueeze(-1) * slopes, None


def rate_of(simulator: object, *, luminosity: float, efficiency: float = 1.0) -> ExpectedEvents:
    """Return the rate of a simulator that knows its cross-section.

    Raises:
        InputError: If it does not, or luminosity or efficiency is not positive.
    """
    if not isinstance(simulator, HasRate):
        raise InputError(
            "a cross-section to go with the luminosity",
            f"none of {getattr(simulator, 'name', simulator)}",
            "give cross_section in --config, or add --shape-only to leave the number of events out",
        )
    return ExpectedEvents(simulator.cross_section, luminosity=luminosity, efficiency=efficiency)


def polynomial_cross_section(components: Sequence[float], dim: int) -> Callable[[Array], Array]:
    """Return a cross-section sum_k sigma_k m_k(theta) from its components.

    Arguments:
        components: sigma_k in pb, of the monomials 1, theta_i, theta_i theta_j with
            i <= j; or one number, for a cross-section that does not depend on theta.
        dim: Number p of parameters.

    Raises:
        ConfigError: If their number fits no polynomial of the parameters.
    """
    quadratic = (dim + 1) * (dim + 2) // 2
    if len(components) not in (1, quadratic):
        raise ConfigError(
            f"1 or {quadratic} components of a cross-section of {dim} parameter(s)",
            f"{len(components)}",
            "give those of 1, theta_i and theta_i theta_j with i <= j, in pb",
        )
    values = np.asarray(components, dtype=float)

    def cross_section(theta: Array) -> Array:
        if len(values) == 1:
            return np.full(len(theta), values[0])
        return np.asarray(monomials(theta) @ values)

    return cross_section
