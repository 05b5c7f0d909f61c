r"""How the Higgs boson is produced: a simple law that does not depend on the couplings.

    p(pT, y) = pT / b^2 exp(-pT / b) N(y; 0, 1),   b = 20 GeV,

uniform in azimuth, and for a boson without spin uniform in its decay direction and in the angle
psi of the decay planes. The mean pT is 40 GeV, near that of gluon fusion at the LHC; what the decay
says about the couplings is independent of it.
"""

from __future__ import annotations

import math

import numpy as np

from lfi_mflow.simulation import Array

__all__ = ["draw_production", "log_production"]

# Scale b of the transverse momentum, GeV.
_PT_SCALE = 20.0


def draw_production(n: int, rng: np.random.Generator) -> Array:
    """Draw pT, y, phi, cos theta*, phi* and psi of n events, with shape (6, n)."""
    drawn = np.empty((6, n))
    drawn[0] = _PT_SCALE * rng.standard_gamma(2.0, n)
    drawn[1] = rng.standard_normal(n)
    drawn[3] = rng.uniform(-1.0, 1.0, n)
    for row in (2, 4, 5):
        drawn[row] = rng.uniform(-math.pi, math.pi, n)
    return drawn


def log_production(pt: Array, y: Array) -> Array:
    """Return the log-density of the six coordinates, with shape (N,).

    Arguments:
        pt: Transverse momentum in GeV, with shape (N,).
        y: Rapidity, with shape (N,).
    """
    log_pt = np.log(pt) - pt / _PT_SCALE - 2.0 * math.log(_PT_SCALE)
    log_y = -0.5 * y**2 - 0.5 * math.log(2.0 * math.pi)
    # Three azimuths and a cosine.
    return np.asarray(log_pt + log_y - 3.0 * math.log(2.0 * math.pi) - math.log(2.0))
