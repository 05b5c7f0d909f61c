r"""The matrix element of u d -> H d u by WW fusion with two Wilson coefficients.

The amplitude is linear in the coefficients theta of the operators O_W and O_W~,

    M(theta) = M_SM (1 + theta1 A1 + theta2 A2),

for the one helicity that W bosons couple to, so that an event has six components,
one for each monomial 1, theta1, theta2, theta1^2, theta1 theta2, theta2^2. With
massless quarks that radiate W bosons of virtuality q1^2 and q2^2,

    A1 = -(C/2) [2 (rho + tau) + q1^2 + q2^2],      A2 = i C (rho - tau),
    rho = -(s^/2) / (R e^(-i delta) - 1),           R = exp(y1 - y2),
    tau = -(1/2) pT1 pT2 (e^(-i delta) - 1/R),      delta = phi1 - phi2,

    d sigma / (dy1 dy2 dyH d2pT1 d2pT2)
        = K L (s12/s^) |1 + theta1 A1 + theta2 A2|^2 / [(q1^2 - MW^2)^2 (q2^2 - MW^2)^2].

Jet 1 comes from the parton that moves along +z here. Which jet that is cannot be
seen, so an event has two such *assignments*; their cross-sections add.

References:
    V. Hankele, G. Klamke, D. Zeppenfeld and T. Figy, Anomalous Higgs boson
    couplings in vector boson fusion at the CERN LHC, 2006, hep-ph/0609075 (the
    tensors of the HWW vertex).
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and density
    estimation, 2020, arXiv:2003.13913, section 4.D (process and parameters).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.partons import PartonDensities, luminosity

__all__ = [
    "COUPLING",
    "ENERGY",
    "M_HIGGS",
    "M_W",
    "HardEvent",
    "differential_cross_section",
    "light_cone",
    "wilson_amplitudes",
]

ENERGY = 13_000.0
"""Collision energy sqrt(s) in GeV."""
M_HIGGS = 125.0
"""Higgs mass of the matrix element in GeV."""
M_W = 79.82436
"""W mass in GeV."""
COUPLING = 16.52e-6
"""C in GeV^-2 per unit of theta, at a scale of theta of 1."""

_FERMI = 1.16637e-5  # GeV^-2
_PB_GEV2 = 0.3894e9
_G2 = 8.0 * M_W**2 * _FERMI / math.sqrt(2.0)
_K = _G2**3 * M_W**2 / (32.0 * (2.0 * math.pi) ** 5) * _PB_GEV2


@dataclass(frozen=True)
class HardEvent:
    """What the matrix element depends on, each with shape (N,).

    Arguments:
        pt1: Transverse momentum of jet 1 in GeV.
        pt2: Transverse momentum of jet 2 in GeV.
        y1: Rapidity of jet 1.
        y2: Rapidity of jet 2.
        y_h: Rapidity of the Higgs boson.
        delta: Angle phi1 - phi2 between the jets.
    """

    pt1: Array
    pt2: Array
    y1: Array
    y2: Array
    y_h: Array
    delta: Array

    def swapped(self) -> HardEvent:
        """Return the other assignment: jets 1 and 2 exchanged."""
        return HardEvent(self.pt2, self.pt1, self.y2, self.y1, self.y_h, -self.delta)

    def __getitem__(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> HardEvent:
        """Return some of the events."""
        columns = (self.pt1, self.pt2, self.y1, self.y2, self.y_h, self.delta)
        return HardEvent(*(column[rows] for column in columns))


def light_cone(event: HardEvent) -> tuple[Array, Array]:
    """Return W+ and W- in GeV: x_a = W+/sqrt(s), x_b = W-/sqrt(s), s^ = W+ W-.

    W+- = pT1 e^(+-y1) + pT2 e^(+-y2) + mT e^(+-yH), with the transverse mass of a
    Higgs boson that recoils against the jets.
    """
    pt2_h = event.pt1**2 + event.pt2**2 + 2.0 * event.pt1 * event.pt2 * np.cos(event.delta)
    mt = np.sqrt(M_HIGGS**2 + pt2_h)
    e1, e2, e_h = np.exp(event.y1), np.exp(event.y2), np.exp(event.y_h)
    plus = event.pt1 * e1 + event.pt2 * e2 + mt * e_h
    minus = event.pt1 / e1 + event.pt2 / e2 + mt / e_h
    return plus, minus


def wilson_amplitudes(
    event: HardEvent, plus: Array, minus: Array
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Return A1 and A2 of one assignment, per unit of theta at a scale of 1.

    Arguments:
        event: N events.
        plus: W+ in GeV, with shape (N,).
        minus: W- in GeV, with shape (N,).
    """
    q1, q2 = _virtualities(event, plus, minus)
    ratio = np.exp(event.y1 - event.y2)
    phase = np.exp(-1j * event.delta)
    rho = -0.5 * plus * minus / (ratio * phase - 1.0)
    tau = -0.5 * event.pt1 * event.pt2 * (phase - 1.0 / ratio)
    a1 = -0.5 * COUPLING * (2.0 * (rho + tau) + q1 + q2)
    return a1, 1j * COUPLING * (rho - tau)


def differential_cross_section(event: HardEvent, densities: PartonDensities) -> Array:
    """Return the components of d sigma/(dy1 dy2 dyH d2pT1 d2pT2), with shape (2, 6, N).

    The first axis is the assignment: as given, swapped. In pb/GeV^4, for the
    monomials of theta at a scale of 1; zero where the energy does not suffice.
    """
    plus, minus = light_cone(event)
    reached = (plus < ENERGY) & (minus < ENERGY)
    x_a, x_b = (np.where(reached, w, 0.5 * ENERGY) / ENERGY for w in (plus, minus))
    s12 = event.pt1 * event.pt2 * (2.0 * np.cosh(event.y1 - event.y2) - 2.0 * np.cos(event.delta))
    common = _K * luminosity(densities, x_a, x_b) * s12 / (plus * minus) * reached
    parts = np.empty((2, 6, len(event.pt1)))
    for part, assigned in zip(parts, (event, event.swapped()), strict=True):
        q1, q2 = _virtualities(assigned, plus, minus)
        standard = common / np.square((q1 - M_W**2) * (q2 - M_W**2))
        np.multiply(standard, _squares(*wilson_amplitudes(assigned, plus, minus)), out=part)
    return parts


def _virtualities(event: HardEvent, plus: Array, minus: Array) -> tuple[Array, Array]:
    """Return q1^2 = -W+ pT1 e^(-y1) and q2^2 = -W- pT2 e^(y2) in GeV^2."""
    return -plus * event.pt1 * np.exp(-event.y1), -minus * event.pt2 * np.exp(event.y2)


def _squares(a1: NDArray[np.complex128], a2: NDArray[np.complex128]) -> Array:
    """Return |1 + theta1 A1 + theta2 A2|^2 by its monomials, with shape (6, N)."""
    r1, i1, r2, i2 = a1.real, a1.imag, a2.real, a2.imag
    return np.stack(
        [
            np.ones_like(r1),
            2.0 * r1,
            2.0 * r2,
            r1**2 + i1**2,
            2.0 * (r1 * r2 + i1 * i2),
            r2**2 + i2**2,
        ]
    )
