r"""Parton densities x u(x) and x d(x) of the proton, at a fixed scale.

Only the luminosity of u and d quarks enters: a W+ comes from a u, a W- from a d.

References:
    ``les-houches``: G. P. Salam, A. Vogt et al. in The QCD/SM working group:
    summary report, Les Houches 2001, hep-ph/0204316, section 1.3 (the toy input
    of the benchmark tables).
    ``lhc``: the same form, made softer: the behaviour of modern densities at
    Q = m_W to about ten per cent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfi_mflow.errors import UnknownNameError
from lfi_mflow.simulation import Array

__all__ = ["DENSITIES", "PartonDensities", "luminosity", "parton_densities"]

_Shape = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class PartonDensities:
    """Sums of terms A x^b (1 - x)^c.

    Arguments:
        up: Terms (A, b, c) of x u(x), valence and sea.
        down: Terms (A, b, c) of x d(x), valence and sea.
    """

    up: _Shape
    down: _Shape

    def xu(self, x: Array) -> Array:
        """Return x u(x): (N,) -> (N,), for 0 < x < 1."""
        return _evaluate(self.up, x)

    def xd(self, x: Array) -> Array:
        """Return x d(x): (N,) -> (N,), for 0 < x < 1."""
        return _evaluate(self.down, x)


DENSITIES = {
    # x ubar = (1 - x) x dbar raises the last power of the sea by one.
    "les-houches": PartonDensities(
        up=((5.1072, 0.8, 3.0), (0.1939875, -0.1, 7.0)),
        down=((3.06432, 0.8, 4.0), (0.1939875, -0.1, 6.0)),
    ),
    "lhc": PartonDensities(
        up=((3.911, 0.65, 3.8), (0.11, -0.3, 8.0)),
        down=((2.246, 0.65, 4.9), (0.12, -0.3, 8.0)),
    ),
}
"""The parton densities by name."""


def parton_densities(name: str) -> PartonDensities:
    """Return the parton densities of a name.

    Raises:
        UnknownNameError: If there are none of that name.
    """
    if name not in DENSITIES:
        raise UnknownNameError("set of parton densities", str(name), DENSITIES)
    return DENSITIES[name]


def luminosity(densities: PartonDensities, x_a: Array, x_b: Array) -> Array:
    """Return L = xu(x_a) xd(x_b) + xd(x_a) xu(x_b), with shape (N,)."""
    u_a, d_a = densities.xu(x_a), densities.xd(x_a)
    return u_a * densities.xd(x_b) + d_a * densities.xu(x_b)


def _evaluate(terms: _Shape, x: Array) -> Array:
    """Sum the terms by their logarithms: one exponential each."""
    log_x, log_rest = np.log(x), np.log1p(-x)
    return np.asarray(sum(a * np.exp(b * log_x + c * log_rest) for a, b, c in terms))
