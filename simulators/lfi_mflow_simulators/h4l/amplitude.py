r"""The decay H -> Z Z* -> 4 leptons: amplitude and density of the decay angles.

The coupling of a spin-0 particle to two Z bosons with momenta q1, q2 is, up to a constant,

    A = a1 mZ^2 e1.e2 + a2 f1_{mu nu} f2^{mu nu} + a3 f1_{mu nu} f2~^{mu nu}.

With kappa = (a1 mZ^2, 2 a2, 2 a3), s = q1.q2 = (mH^2 - m1^2 - m2^2) / 2, gamma = s / (m1 m2) and
r = m1 m2 sqrt(gamma^2 - 1) the helicity amplitudes are [1]

    A00 = kappa1 gamma + kappa2 m1 m2,     A++ = conj(A--) = -(kappa1 + kappa2 s + i kappa3 r).

The angular distribution of [1] is then a form in three real numbers: with
a = A00, b + i c = -A++, and (b, c) turned by the angle Phi between the two decay planes,

    b' = b cos Phi + c sin Phi,     c' = c cos Phi - b sin Phi,
    f = 4 s1^2 s2^2 a^2 - 8 s1 s2 (Af^2 + c1 c2) a b' + 2 (Q + s1^2 s2^2) b'^2
        + 2 (Q - s1^2 s2^2) c'^2,          Q = (1 + c1^2) (1 + c2^2) + 4 Af^2 c1 c2,

where c_i, s_i are cosine and sine of the angle of the negative lepton in the frame of Z_i, against
the direction of flight of Z_i in the frame of the Higgs, and Phi is the azimuth of the negative
lepton of Z2 against that of Z1, around the direction of Z1. The integral of f over the three angles
is 128 pi / 9 (a^2 + 2 b^2 + 2 c^2).

All momenta and masses are in GeV.

References:
    [1] S. Bolognesi et al., On the spin and parity of a single-produced resonance at the LHC,
    Physical Review D 86 (2012) 095031, arXiv:1208.4018.
    [2] R. L. Workman et al. (Particle Data Group), Review of Particle Physics, 2022: mZ and the
    width of the Z.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lfi_mflow.simulation import Array

__all__ = [
    "ANGLE_INTEGRAL",
    "LARGEST_ANGLE_FACTOR",
    "Z_MASS",
    "Z_WIDTH",
    "Decay",
    "angular_form",
    "helicity_form",
]

Z_MASS = 91.1876
"""Mass of the Z in GeV, [2]."""

Z_WIDTH = 2.4952
"""Width of the Z in GeV, [2]."""

ANGLE_INTEGRAL = 128.0 * math.pi / 9.0
"""Integral of the angular density over c1, c2 and Phi, per a^2 + 2 b^2 + 2 c^2."""

# Asymmetry 2 gV gA / (gV^2 + gA^2) of the charged leptons.
_AF = 0.149

LARGEST_ANGLE_FACTOR = 4.0 * (1.0 + _AF**2)
"""Largest f / (a^2 + 2 b^2 + 2 c^2), for transverse bosons at c1 = c2 = 1 or -1."""


class Decay(NamedTuple):
    """The variables of decays that the couplings can be told from, each with shape (N,).

    Arguments:
        m_h: Mass of the four leptons, GeV.
        m1: Mass of the heavier lepton pair, GeV.
        m2: Mass of the lighter lepton pair, GeV.
        c1: Cosine of the decay angle of Z1.
        c2: Cosine of the decay angle of Z2.
        phi: Angle between the decay planes.
    """

    m_h: Array
    m1: Array
    m2: Array
    c1: Array
    c2: Array
    phi: Array


def helicity_form(m_h: Array, m1: Array, m2: Array) -> Callable[[Array], Array]:
    """Return a^2 + 2 b^2 + 2 c^2, the sum over helicities, as a function of the couplings.

    Arguments:
        m_h: Mass of the four leptons in GeV, with shape (N,).
        m1: Mass of one lepton pair, with shape (N,).
        m2: Mass of the other, with shape (N,).

    Returns:
        The function: couplings, with shape (N, 3) or (1, 3), to values, with shape (N,), in GeV^4.
    """
    invariants = _invariants(m_h, m1, m2)

    def density(theta: Array) -> Array:
        a, b, c = _helicity_amplitudes(theta, *invariants)
        return np.asarray(a**2 + 2.0 * (b**2 + c**2))

    return density


def angular_form(decay: Decay) -> Callable[[Array], Array]:
    """Return f, the density of the angles, as a function of the couplings.

    What does not depend on the couplings is calculated once.

    Arguments:
        decay: The decays.

    Returns:
        The function: couplings, with shape (N, 3) or (1, 3), to f, with shape (N,), in GeV^4.
    """
    invariants = _invariants(decay.m_h, decay.m1, decay.m2)
    cosine, sine = np.cos(decay.phi), np.sin(decay.phi)
    square1, square2 = decay.c1**2, decay.c2**2
    ss = (1.0 - square1) * (1.0 - square2)
    cc = decay.c1 * decay.c2
    q = (1.0 + square1) * (1.0 + square2) + 4.0 * _AF**2 * cc
    mixed = -8.0 * np.sqrt(ss) * (_AF**2 + cc)
    longitudinal, along, across = 4.0 * ss, 2.0 * (q + ss), 2.0 * (q - ss)

    def density(theta: Array) -> Array:
        a, b, c = _helicity_amplitudes(theta, *invariants)
        b, c = b * cosine + c * sine, c * cosine - b * sine
        return np.asarray((longitudinal * a + mixed * b) * a + along * b**2 + across * c**2)

    return density


def _invariants(m_h: Array, m1: Array, m2: Array) -> tuple[Array, Array, Array]:
    """Return s, m1 m2 and r, each with shape (N,), in GeV^2."""
    s = 0.5 * (m_h**2 - m1**2 - m2**2)
    product = m1 * m2
    # Rounding makes the difference negative where both bosons are at rest.
    return s, product, np.sqrt(np.maximum((s - product) * (s + product), 0.0))


def _helicity_amplitudes(
    theta: Array, s: Array, product: Array, r: Array
) -> tuple[Array, Array, Array]:
    """Return a, b and c, each with shape (N,), in GeV^2."""
    kappa1, kappa2, kappa3 = Z_MASS**2 * theta[:, 0], 2.0 * theta[:, 1], 2.0 * theta[:, 2]
    return kappa1 * s / product + kappa2 * product, kappa1 + kappa2 * s, kappa3 * r
