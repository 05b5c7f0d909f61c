r"""The masses of the Higgs boson and of the two lepton pairs: their density and the rate.

With the angles integrated, the density of the masses of the lepton pairs is

    dGamma / (dm1 dm2) ~ P (a^2 + 2 b^2 + 2 c^2),
    P = lambda^(1/2) / mH  prod_i m_i^3 / [(m_i^2 - mZ^2)^2 + mZ^2 Gamma_Z^2],
    lambda = (1 - (m1 + m2)^2 / mH^2) (1 - (m1 - m2)^2 / mH^2)

[1]. Z1 is the heavier pair: m2 < m1 and m2 < mH - m1. The mass of the Higgs boson itself follows a
Breit-Wigner law, cut at ten widths on both sides, times the rate.

The unit cube of (w, u, v) stands for the masses: mH by the inverse of the Breit-Wigner law, m1 by
the inverse of the pole of the Z between 0 and mH, and m2 = v min(m1, mH - m1).

References:
    [1] S. Bolognesi et al., On the spin and parity of a single-produced resonance at the LHC,
    Physical Review D 86 (2012) 095031, arXiv:1208.4018.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.h4l.amplitude import (
    ANGLE_INTEGRAL,
    Z_MASS,
    Z_WIDTH,
    helicity_form,
)
from lfi_mflow_simulators.h4l.couplings import components

__all__ = ["HIGGS_MASS", "MassSpectrum", "mass_factor"]

HIGGS_MASS = 125.0
"""Mass of the Higgs boson in GeV."""

# The Breit-Wigner law is cut at ten widths, where its tangent is 20.
_WINDOW = 10.0
_EDGE = math.atan(2.0 * _WINDOW)
# Places m1 / mH where the density in u bends: pieces of the quadrature.
_BENDS = (0.0, 0.5, 0.64, 0.82, 1.0)


def mass_factor(m_h: Array, m1: Array, m2: Array) -> Array:
    """Return P, the part of the decay density without couplings, with shape (N,).

    Arguments:
        m_h: Mass of the four leptons in GeV, with shape (N,).
        m1: Mass of one lepton pair, with shape (N,).
        m2: Mass of the other, with shape (N,).
    """
    room = (1.0 - ((m1 + m2) / m_h) ** 2) * (1.0 - ((m1 - m2) / m_h) ** 2)
    # Rounding makes it negative where the bosons are at rest.
    poles = _pole(m1) * _pole(m2)
    return np.asarray(np.sqrt(np.maximum(room, 0.0)) / m_h * (m1 * m2) ** 3 / poles)


@dataclass(frozen=True)
class MassSpectrum:
    """The law of the three masses.

    Arguments:
        width: Width of the Higgs boson in GeV; with 0 all of them have 125 GeV.
    """

    width: float

    def masses(self, w: Array, u: Array, v: Array) -> tuple[Array, Array, Array]:
        """Return mH, m1 and m2 in GeV at points of the unit cube."""
        m_h = HIGGS_MASS + 0.5 * self.width * np.tan((2.0 * w - 1.0) * _EDGE)
        low = _pole_angle(0.0)
        angle = low + u * (_pole_angle(m_h) - low)
        # Rounding takes the tangent beyond the ends.
        square = np.clip(Z_MASS**2 + Z_MASS * Z_WIDTH * np.tan(angle), 0.0, m_h**2)
        m1 = np.sqrt(square)
        return m_h, m1, v * np.minimum(m1, m_h - m1)

    def factor(self, m_h: Array, m1: Array, m2: Array) -> Array:
        """Return P per volume of the unit cube, where the pole of m1 is no more."""
        span = _pole_angle(m_h) - _pole_angle(0.0)
        slope = span * _pole(m1) / (2.0 * Z_MASS * Z_WIDTH * m1)
        return mass_factor(m_h, m1, m2) * slope * np.minimum(m1, m_h - m1)

    def log_higgs_mass(self, m_h: Array) -> Array:
        """Return the log-density of the Breit-Wigner law, per GeV, with shape (N,)."""
        half, delta = 0.5 * self.width, m_h - HIGGS_MASS
        inside = np.abs(delta) <= _WINDOW * self.width
        law = math.log(half / (2.0 * _EDGE)) - np.log(delta**2 + half**2)
        return np.where(inside, law, -np.inf)

    @staticmethod
    def share(m1: Array, m_h: Array) -> Array:
        """Return the coordinate u of a mass m1, the inverse of :meth:`masses`."""
        low = _pole_angle(0.0)
        return np.asarray((_pole_angle(m1) - low) / (_pole_angle(m_h) - low))

    @cached_property
    def rate(self) -> Array:
        """Integrals of the six components over all decays, with shape (6,).

        By Gauss-Legendre quadrature in the unit cube, to ten digits.
        """
        w, weight_w = (np.array([0.5]), np.ones(1)) if self.width == 0.0 else _nodes(48)
        total = np.zeros(6)
        q, weight_q = _nodes(32)
        v, weight_v = 1.0 - (1.0 - q) ** 2, 2.0 * (1.0 - q) * weight_q
        for start, end in itertools.pairwise(_BENDS):
            r, weight_r = _nodes(32)
            m_h = self.masses(w, np.zeros(1), np.ones(1))[0]
            low, high = self.share(start * m_h, m_h), self.share(end * m_h, m_h)
            u = low[:, None] + (high - low)[:, None] * r
            masses = self.masses(w[:, None, None], u[:, :, None], v)
            weight = (weight_w * (high - low))[:, None, None] * weight_r[:, None] * weight_v
            weight = weight * self.factor(*masses)
            total += np.einsum("wuv,wuvk->k", weight, components(helicity_form(*masses)))
        return ANGLE_INTEGRAL * total


def _nodes(n: int) -> tuple[Array, Array]:
    """Return nodes and weights of the Gauss-Legendre quadrature on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _pole(m: Array) -> Array:
    """Return the denominator of the propagator of a Z of mass m, in GeV^4."""
    return np.asarray((m**2 - Z_MASS**2) ** 2 + (Z_MASS * Z_WIDTH) ** 2)


def _pole_angle(m: Array | float) -> Array:
    """Return the integral of the propagator up to the mass m, an angle."""
    return np.asarray(np.arctan((np.square(m) - Z_MASS**2) / (Z_MASS * Z_WIDTH)))
