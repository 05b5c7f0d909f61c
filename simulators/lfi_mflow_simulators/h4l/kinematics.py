r"""From the coordinates of an event to the momenta of its leptons, and back.

Coordinates: pT, rapidity y and azimuth of the Higgs boson; cos theta* and phi* of Z1 in its frame;
psi, which turns the decay planes around Z1; m1, m2, c1, c2 and Phi of the decay; and the mass mH.
In the frame of the Higgs boson Z1 flies along +z with its negative lepton at azimuth 0, before the
rotations by psi, theta* and phi*; the frame itself moves without rotation.

Splitting phase space decay by decay ([1]: d^4P, dm_i^2, and p* / (4 M) dOmega for each of the three
decays into two) gives the Jacobian of this map, whatever the angles:

    prod_i d^3p_i / (2 E_i) = (pT dpT dy dphi) (mH dmH) (2 m1 dm1) (2 m2 dm2)
                              pZ / (4 mH) dcos(theta*) dphi*  1/8 dc1 dpsi  1/8 dc2 dPhi.

Momenta are arrays of shape (4, 3, N): the negative and positive lepton of Z1, then those of Z2.

References:
    [1] R. L. Workman et al. (Particle Data Group), Review of Particle Physics, 2022,
    section Kinematics.
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.h4l.amplitude import Decay

__all__ = ["COORDINATES", "coordinates", "higgs_mass_gradient", "lepton_momenta", "log_jacobian"]

COORDINATES = (
    *("pt", "y", "phi", "cos_star", "phi_star", "psi"),
    *("m1", "m2", "c1", "c2", "phi_planes", "m_h"),
)
"""The twelve coordinates in the order of the rows of arrays with shape (12, N)."""


def lepton_momenta(z: Array) -> Array:
    """Return the momenta of the leptons in GeV: (12, N) -> (4, 3, N)."""
    pt, y, phi, *orientation = z[:6]
    decay = Decay(z[11], *z[6:11])
    momenta, energies = _rest_frame(decay)
    momenta = _rotate(momenta, *orientation)
    transverse_mass = np.sqrt(pt**2 + decay.m_h**2)
    higgs = np.stack([pt * np.cos(phi), pt * np.sin(phi), transverse_mass * np.sinh(y)])
    return _boost(momenta, energies, higgs / decay.m_h)


def coordinates(momenta: Array) -> Array:
    """Return the twelve coordinates of events: (4, 3, N) -> (12, N)."""
    energies = np.sqrt((momenta**2).sum(axis=1))
    px, py, pz = higgs = momenta.sum(axis=0)
    energy = energies.sum(axis=0)
    m_h = _mass(energy, higgs)
    rest = _boost(momenta, energies, -higgs / m_h)
    z1 = rest[0] + rest[1]
    p_z = np.sqrt((z1**2).sum(axis=0))
    n = z1 / p_z
    phi_star = np.arctan2(n[1], n[0])
    # Turning back puts Z1 on the third axis, as it was before psi.
    x, y, _ = _turn_back(rest, n[2], phi_star).transpose(1, 0, 2)
    psi, psi2 = np.arctan2(y[0], x[0]), np.arctan2(y[2], x[2])
    e = np.sqrt((rest**2).sum(axis=1))
    m1, m2 = _mass(e[0] + e[1], z1), _mass(e[2] + e[3], z1)
    production = (np.hypot(px, py), np.arctanh(pz / energy), np.arctan2(py, px))
    angles = ((e[0] - e[1]) / p_z, (e[2] - e[3]) / p_z, _principal(psi2 - psi))
    return np.stack([*production, n[2], phi_star, psi, m1, m2, *angles, m_h])


def log_jacobian(z: Array, momenta: Array) -> Array:
    """Return log |d momenta / d coordinates|, with shape (N,)."""
    pt, m1, m2, m_h = z[0], z[6], z[7], z[11]
    log_energies = 0.5 * np.log((momenta**2).sum(axis=1)).sum(axis=0)
    return np.asarray(log_energies + np.log(0.25 * pt * m1 * m2 * _decay_momentum(m_h, m1, m2)))


def higgs_mass_gradient(momenta: Array) -> Array:
    """Return the gradient of mH with respect to the momenta: (4, 3, N) -> (4, 3, N)."""
    energies = np.sqrt((momenta**2).sum(axis=1))
    energy, higgs = energies.sum(axis=0), momenta.sum(axis=0)
    slope = energy * momenta / energies[:, None] - higgs
    return np.asarray(slope / _mass(energy, higgs))


def _rest_frame(decay: Decay) -> tuple[Array, Array]:
    """Return momenta (4, 3, N) and energies (4, N) in the frame of the Higgs boson."""
    m_h, m1, m2, c1, c2, phi = decay
    p_z = _decay_momentum(m_h, m1, m2)
    momenta, energies = np.empty((4, 3, len(m_h))), np.empty((4, len(m_h)))
    for first, m, c, azimuth, side in ((0, m1, c1, np.zeros(1), 1.0), (2, m2, c2, phi, -1.0)):
        energy = np.sqrt(p_z**2 + m**2)
        across = 0.5 * m * np.sqrt((1.0 - c) * (1.0 + c))
        momenta[first, 0], momenta[first, 1] = across * np.cos(azimuth), across * np.sin(azimuth)
        momenta[first + 1, :2] = -momenta[first, :2]
        for row, sign in ((first, 1.0), (first + 1, -1.0)):
            momenta[row, 2] = side * 0.5 * (p_z + sign * energy * c)
            energies[row] = 0.5 * (energy + sign * p_z * c)
    return momenta, energies


def _rotate(momenta: Array, cos_star: Array, phi_star: Array, psi: Array) -> Array:
    """Turn by psi around the third axis, theta* around the second and phi* around the third."""
    x, y, z = momenta.transpose(1, 0, 2)
    sin_star = np.sqrt((1.0 - cos_star) * (1.0 + cos_star))
    x, y = _turn(x, y, psi)
    x, z = x * cos_star + z * sin_star, z * cos_star - x * sin_star
    x, y = _turn(x, y, phi_star)
    return np.stack([x, y, z], axis=1)


def _turn_back(momenta: Array, cos_star: Array, phi_star: Array) -> Array:
    """Undo the rotations by phi* and theta*."""
    x, y, z = momenta.transpose(1, 0, 2)
    sin_star = np.sqrt((1.0 - cos_star) * (1.0 + cos_star))
    x, y = _turn(x, y, -phi_star)
    x, z = x * cos_star - z * sin_star, z * cos_star + x * sin_star
    return np.stack([x, y, z], axis=1)


def _turn(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    """Turn two components by an angle."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine - y * sine, x * sine + y * cosine


def _boost(momenta: Array, energies: Array, velocity: Array) -> Array:
    """Boost momenta (4, 3, N) by the four-velocity whose space part has shape (3, N)."""
    gamma = np.sqrt(1.0 + (velocity**2).sum(axis=0))
    along = (momenta * velocity).sum(axis=1)
    return np.asarray(momenta + (along / (1.0 + gamma) + energies)[:, None] * velocity)


def _decay_momentum(m_h: Array, m1: Array, m2: Array) -> Array:
    """Return the momentum pZ of the bosons in the frame of the Higgs boson, with shape (N,)."""
    total, difference = m1 + m2, m1 - m2
    room = (m_h - total) * (m_h + total) * (m_h - difference) * (m_h + difference)
    return np.asarray(np.sqrt(np.maximum(room, 0.0)) / (2.0 * m_h))


def _mass(energy: Array, momentum: Array) -> Array:
    """Return the mass of four-momenta: (N,) and (3, N) -> (N,)."""
    return np.asarray(np.sqrt(np.maximum(energy**2 - (momentum**2).sum(axis=0), 0.0)))


def _principal(angle: Array) -> Array:
    """Return the angle between -pi and pi."""
    return np.asarray(np.remainder(angle + np.pi, 2.0 * np.pi) - np.pi)
