r"""Normalisations: nuisance parameters that change how many events are expected, and no shape.

A luminosity is known to a per cent or two, the rate of a background perhaps to ten. Each is
a factor :math:`\kappa` on rates with the auxiliary measurement :math:`1 \pm s`. The factors
are parameters of the experiment behind those of the model, which does not know them:
likelihoods and sources of events are given the first p columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.experiment import Constraint, EventSource, LikelihoodFactory
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.inference.rates import Rate
from lfi_mflow.simulation import Array

__all__ = ["Normalisations", "from_model_parameters", "of_model_parameters"]

_SPAN = 4.0  # range of a factor, in standard deviations


@dataclass(frozen=True)
class Normalisations:
    """Factors on rates.

    Arguments:
        dim: Number p of parameters before them.
        widths: Relative standard deviations by name; zero for a factor that is known and
            is no parameter.

    Raises:
        ConfigError: If an uncertainty is negative or not below one.
    """

    dim: int
    widths: Mapping[str, float]

    def __post_init__(self) -> None:
        """Check the uncertainties, and forget those that are zero."""
        for name, width in self.widths.items():
            if not 0.0 <= width < 1.0:
                raise ConfigError(
                    f"a relative uncertainty of {name} from 0 to below 1",
                    f"{width:g}",
                    "correct it: 0.02 stands for two per cent",
                )
        there = {name: width for name, width in self.widths.items() if width > 0.0}
        object.__setattr__(self, "widths", there)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the factors that are parameters."""
        return tuple(self.widths)

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """Their auxiliary measurements."""
        return tuple(Constraint(self._column(name), 1.0, self.widths[name]) for name in self.names)

    @property
    def ends(self) -> tuple[Array, Array]:
        """Their lower and upper ends, four standard deviations from one but not below zero."""
        widths = np.array(list(self.widths.values()))
        return np.maximum(1.0 - _SPAN * widths, 0.0), 1.0 + _SPAN * widths

    def scale(self, rate: Rate, *names: str) -> Rate:
        """Multiply a rate by factors: those of the names that are parameters."""
        columns = [self._column(name) for name in names if name in self.widths]
        if not columns:
            return rate

        def scaled(theta: Tensor) -> Tensor:
            return rate(theta) * theta[..., columns].cpu().double().prod(dim=-1)

        return scaled

    def _column(self, name: str) -> int:
        """Return the place of a factor among all parameters."""
        return self.dim + self.names.index(name)


def of_model_parameters(dim: int, likelihood: LikelihoodFactory) -> LikelihoodFactory:
    """Return a likelihood that takes further parameters behind its p, and leaves them aside."""

    def leading(x: Tensor) -> LogPosterior:
        density = likelihood(x)
        return lambda theta: density(theta[..., :dim])

    return leading


def from_model_parameters(dim: int, source: EventSource) -> EventSource:
    """Return a source of events that takes further parameters behind its p, and leaves them."""
    return lambda theta, seed: source(theta[:, :dim], seed)
