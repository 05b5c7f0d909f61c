r"""Proposals: events from a density q(z) that does not depend on theta.

Of the 14 coordinates z, seven follow the adapted channels. The other seven have
densities that no coefficient changes: ln(m/pT) ~ N(ln 0.12, 0.35) of each jet, the
recoil k ~ N(0, 15 GeV)^2, m_aa ~ N(125, 1.5) GeV, and the decay is uniform over
directions. They are drawn as they are and so drop out of every weight.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent, differential_cross_section
from lfi_mflow_simulators.higgs_eft.channels import adapted_channels, from_cube, to_cube
from lfi_mflow_simulators.higgs_eft.cuts import find_cut, passes_jet_cuts
from lfi_mflow_simulators.higgs_eft.features import features
from lfi_mflow_simulators.higgs_eft.kinematics import four_vectors, order_photons
from lfi_mflow_simulators.higgs_eft.partons import parton_densities

__all__ = ["Pilot", "Proposals", "draw_proposals", "pilot", "propose"]

_LOG_MASS, _LOG_MASS_SD = math.log(0.12), 0.35
_RECOIL_SD = 15.0
_M_AA, _M_AA_SD = 125.0, 1.5

_PILOT, _PILOT_BLOCK, _SEED = 200_000, 10_000, 20260102


@dataclass(frozen=True)
class Proposals:
    """N proposed events that pass the cuts.

    Arguments:
        z: Coordinates, with shape (14, N).
        p: Four-vectors, with shape (4, 4, N).
        parts: Components of d sigma / q for both assignments in pb, with shape
            (2, 6, N), at a scale of theta of 1: the sum over assignments and
            events, divided by the attempts before the cuts, is sigma.
    """

    z: Array
    p: Array
    parts: Array

    def __len__(self) -> int:
        """Return the number of events."""
        return self.z.shape[1]

    def __getitem__(self, rows: slice | NDArray[np.integer]) -> Proposals:
        """Return some of the events."""
        return Proposals(self.z[:, rows], self.p[..., rows], self.parts[..., rows])

    @staticmethod
    def concatenate(batches: Sequence[Proposals]) -> Proposals:
        """Join batches."""
        columns = ("z", "p", "parts")
        return Proposals(
            *(
                np.concatenate([getattr(batch, name) for batch in batches], axis=-1)
                for name in columns
            )
        )


@dataclass(frozen=True)
class Pilot:
    """What is known of the proposals from a sample with a fixed seed.

    Arguments:
        efficiency: Part of the attempts that pass the cuts.
        components: Components of the events, summed over the assignments, with shape
            (N, 6); efficiency times their mean is sigma.
        mean: Means of the features in the Standard Model, with shape (40,).
        sd: Standard deviations of the features in the Standard Model, with shape (40,).
    """

    efficiency: float
    components: Array
    mean: Array
    sd: Array


def propose(attempts: int, densities: str, cuts: str, rng: np.random.Generator) -> Proposals:
    """Draw events and keep those that pass the cuts.

    Arguments:
        attempts: How many to draw.
        densities: Name of the parton densities.
        cuts: Name of the cuts.
        rng: Source of randomness.
    """
    channels = adapted_channels(densities)
    event, jacobian = from_cube(channels.draw(attempts, rng))
    event = event[np.flatnonzero((jacobian > 0.0) & passes_jet_cuts(event))]
    event = _leading_first(event)
    z = _coordinates(event, rng)
    p = four_vectors(z)
    order_photons(z, p)
    kept = np.flatnonzero(find_cut(cuts)(p))
    event, z, p = event[kept], z[:, kept], p[:, :, kept]
    parts = differential_cross_section(event, parton_densities(densities))
    # Either jet may have been drawn as jet 1: the densities of both ways add.
    density = np.zeros(len(kept))
    for assigned in (event, event.swapped()):
        t, jacobian = to_cube(assigned)
        density += channels.density(t) / jacobian
    parts /= density
    return Proposals(z, p, parts)


def draw_proposals(n: int, densities: str, cuts: str, rng: np.random.Generator) -> Proposals:
    """Draw n events that pass the cuts; the arguments are those of :func:`propose`."""
    batches = [propose(0, densities, cuts, rng)]
    missing = n
    while missing > 0:
        attempts = missing / pilot(densities, cuts).efficiency + 3.0 * math.sqrt(missing) + 8.0
        batches.append(propose(int(attempts), densities, cuts, rng)[:missing])
        missing -= len(batches[-1])
    return Proposals.concatenate(batches)


@functools.cache
def pilot(densities: str, cuts: str) -> Pilot:
    """Draw the pilot sample; it takes a second and is done once in a process."""
    rng = np.random.default_rng(_SEED)
    proposals = Proposals.concatenate(
        [propose(_PILOT_BLOCK, densities, cuts, rng) for _ in range(_PILOT // _PILOT_BLOCK)]
    )
    components = proposals.parts.sum(axis=0).T
    efficiency = len(components) / _PILOT
    x, weight = features(proposals.p), components[:, 0]
    mean = np.average(x, axis=1, weights=weight)
    sd = np.sqrt(np.average((x - mean[:, None]) ** 2, axis=1, weights=weight))
    return Pilot(efficiency, components, mean, sd)


def _leading_first(event: HardEvent) -> HardEvent:
    """Exchange the jets where the second has the larger transverse momentum."""
    first, swapped = event.pt1 >= event.pt2, event.swapped()
    names = ("pt1", "pt2", "y1", "y2", "y_h", "delta")
    pairs = ((getattr(event, name), getattr(swapped, name)) for name in names)
    return HardEvent(*(np.where(first, own, other) for own, other in pairs))


def _coordinates(event: HardEvent, rng: np.random.Generator) -> Array:
    """Complete events of the matrix element to coordinates, with shape (14, N)."""
    n = len(event.pt1)
    z = np.empty((14, n))
    z[0], z[1], z[4], z[5], z[8] = event.pt1, event.y1, event.pt2, event.y2, event.y_h
    z[2] = np.pi * (2.0 * rng.random(n) - 1.0)
    z[6] = _wrapped(z[2] - event.delta)
    z[3], z[7] = _LOG_MASS + _LOG_MASS_SD * rng.standard_normal((2, n))
    z[9:11] = _RECOIL_SD * rng.standard_normal((2, n))
    z[11] = _M_AA + _M_AA_SD * rng.standard_normal(n)
    z[12] = 2.0 * rng.random(n) - 1.0
    z[13] = np.pi * (2.0 * rng.random(n) - 1.0)
    return z


def _wrapped(angle: Array) -> Array:
    """Bring an angle between -2 pi and 2 pi to [-pi, pi]."""
    return angle - 2.0 * np.pi * np.round(angle / (2.0 * np.pi))
