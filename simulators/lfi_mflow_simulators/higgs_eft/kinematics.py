r"""From the 14 coordinates z of an event to four-vectors, and back.

The four objects of an event are kept in the order a1, a2, j1, j2, as an array p
with shape (4, 4, N): object, component (E, px, py, pz) in GeV, event. Within each
pair the object of larger transverse momentum comes first.

A jet has mT^2 = pT^2 + m^2 and E = mT cosh y. The Higgs boson has the transverse
momentum k - pT1 - pT2 that is left by the jets and a small recoil k of the beam,
the mass m_aa and the rapidity y_H; its photons fly back to back in its rest frame,
whose axes are those of the laboratory.

References:
    Particle Data Group, Review of Particle Physics, chapter Kinematics.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent

__all__ = [
    "LATENTS",
    "azimuth_difference",
    "four_vectors",
    "hard_event",
    "order_pairs",
    "order_photons",
    "pseudorapidity",
    "rapidity",
    "read_latents",
    "transverse_momentum",
]

LATENTS = (
    *("pt_j1", "y_j1", "phi_j1", "log_m_j1", "pt_j2", "y_j2", "phi_j2", "log_m_j2"),
    *("y_h", "k_x", "k_y", "m_aa", "cos_theta", "phi_star"),
)
"""Names of the columns of z; log_m is ln(m/pT), the star the direction of photon a1."""


def four_vectors(z: Array) -> Array:
    """Embed coordinates: (14, N) -> (4, 4, N)."""
    p = np.empty((4, 4, z.shape[1]))
    for vector, jet in zip(p[2:], (z[0:4], z[4:8]), strict=True):
        _jet(*jet, out=vector)
    _photons(z, p)
    return p


def read_latents(p: Array) -> Array:
    """Return the coordinates of events on the manifold: (4, 4, N) -> (14, N)."""
    higgs = p[0] + p[1]
    m_aa = _mass(higgs)
    star = _to_rest(p[0], higgs, m_aa)
    pt = transverse_momentum(p[2:])
    return np.stack(
        [
            *_read_jet(p[2], pt[0]),
            *_read_jet(p[3], pt[1]),
            rapidity(higgs),
            higgs[1] + p[2, 1] + p[3, 1],
            higgs[2] + p[2, 2] + p[3, 2],
            m_aa,
            2.0 * star[2] / m_aa,
            np.arctan2(star[1], star[0]),
        ]
    )


def hard_event(p: Array) -> HardEvent:
    """Return what the matrix element needs: (4, 4, N) -> N events.

    Objects below their mass shell, as a model may make them, count as massless.
    """
    pt = transverse_momentum(p[2:])
    delta = azimuth_difference(p[2], p[3])
    return HardEvent(pt[0], pt[1], rapidity(p[2]), rapidity(p[3]), rapidity(p[0] + p[1]), delta)


def order_photons(z: Array, p: Array) -> None:
    """Let a1 be the photon of larger transverse momentum, in place: (14, N), (4, 4, N)."""
    later = _exchange(p[:2])
    z[12, later] *= -1.0
    z[13, later] -= np.copysign(np.pi, z[13, later])


def order_pairs(p: Array) -> None:
    """Put the photon and the jet of larger transverse momentum first, in place: (4, 4, N)."""
    _exchange(p[:2])
    _exchange(p[2:])


def transverse_momentum(p: Array) -> Array:
    """Transverse momentum in GeV: (..., 4, N) -> (..., N)."""
    return np.asarray(np.sqrt(p[..., 1, :] ** 2 + p[..., 2, :] ** 2))


def pseudorapidity(pt: Array, pz: Array) -> Array:
    """Return eta = arsinh(pz / pT)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.arcsinh(pz / pt))


def rapidity(p: Array) -> Array:
    """Rapidity of one object: (4, N) -> (N,); below its mass shell, the pseudorapidity."""
    energy = np.maximum(p[0], np.sqrt(p[1] ** 2 + p[2] ** 2 + p[3] ** 2))
    pz = np.abs(p[3])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.copysign(0.5 * np.log((energy + pz) / (energy - pz)), p[3]))


def azimuth_difference(first: Array, second: Array) -> Array:
    """Return phi1 - phi2 of two objects in [-pi, pi]: (4, N), (4, N) -> (N,)."""
    dot = first[1] * second[1] + first[2] * second[2]
    cross = first[2] * second[1] - first[1] * second[2]
    return np.asarray(np.arctan2(cross, dot))


def _exchange(pair: Array) -> NDArray[np.intp]:
    """Order two objects by transverse momentum, in place, and return which were exchanged."""
    pt = transverse_momentum(pair)
    later = np.flatnonzero(pt[1] > pt[0])
    pair[:, :, later] = pair[::-1, :, later]
    return later


def _jet(pt: Array, y: Array, phi: Array, log_m: Array, *, out: Array) -> None:
    """Write the four-vector of a jet to ``out``, with shape (4, N)."""
    mt = pt * np.sqrt(1.0 + np.exp(2.0 * log_m))
    np.multiply(mt, np.cosh(y), out=out[0])
    np.multiply(pt, np.cos(phi), out=out[1])
    np.multiply(pt, np.sin(phi), out=out[2])
    np.multiply(mt, np.sinh(y), out=out[3])


def _read_jet(p: Array, pt: Array) -> tuple[Array, ...]:
    """Return pT, y, phi and ln(m/pT) of a jet."""
    return pt, rapidity(p), np.arctan2(p[2], p[1]), np.log(_mass(p) / pt)


def _photons(z: Array, p: Array) -> None:
    """Write the photons of the Higgs boson to the first two objects of ``p``."""
    m_aa = z[11]
    higgs = _higgs(z)
    sine = np.sqrt(1.0 - z[12] ** 2)
    star = 0.5 * m_aa * np.stack([sine * np.cos(z[13]), sine * np.sin(z[13]), z[12]])
    # The boost of (m/2, +-p*) with the Higgs boson's velocity.
    along = np.sum(higgs[1:] * star, axis=0)
    p[0, 0] = 0.5 * higgs[0] + along / m_aa
    p[1, 0] = 0.5 * higgs[0] - along / m_aa
    shift = star + higgs[1:] * (along / (m_aa * (higgs[0] + m_aa)))
    p[0, 1:] = 0.5 * higgs[1:] + shift
    p[1, 1:] = 0.5 * higgs[1:] - shift


def _higgs(z: Array) -> Array:
    """Return the four-vector of the Higgs boson: (14, N) -> (4, N)."""
    px = z[9] - z[0] * np.cos(z[2]) - z[4] * np.cos(z[6])
    py = z[10] - z[0] * np.sin(z[2]) - z[4] * np.sin(z[6])
    mt = np.sqrt(z[11] ** 2 + px**2 + py**2)
    return np.stack([mt * np.cosh(z[8]), px, py, mt * np.sinh(z[8])])


def _to_rest(p: Array, parent: Array, mass: Array) -> Array:
    """Return the momentum of an object in the rest frame of its parent, with shape (3, N)."""
    along = np.sum(parent[1:] * p[1:], axis=0)
    return np.asarray(p[1:] + parent[1:] * (along / (mass * (parent[0] + mass)) - p[0] / mass))


def _mass(p: Array) -> Array:
    """Invariant mass in GeV, zero below the light cone: (4, N) -> (N,)."""
    return np.asarray(np.sqrt(np.maximum(p[0] ** 2 - p[1] ** 2 - p[2] ** 2 - p[3] ** 2, 0.0)))
