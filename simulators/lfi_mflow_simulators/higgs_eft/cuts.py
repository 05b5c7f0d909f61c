"""Which events count.

``analysis`` is what a detector sees: the acceptance of photons and jets. ``jets``
are the cuts that the cross-section needs to be finite and no more, as a generator
has them; the published cross-sections are for these.

References:
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913, section 4.D.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import UnknownNameError
from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.amplitude import HardEvent
from lfi_mflow_simulators.higgs_eft.kinematics import (
    azimuth_difference,
    pseudorapidity,
    transverse_momentum,
)

__all__ = ["CUTS", "MAX_Y_JET", "MIN_PT_JET", "Cut", "find_cut", "passes_jet_cuts"]

MIN_PT_JET = 20.0
"""Least transverse momentum of a jet in GeV."""
MAX_Y_JET = 5.0
"""Largest (pseudo)rapidity of a jet."""
_MIN_R_JETS = 0.4
_MIN_PT_PHOTON = 10.0
_MAX_ETA_PHOTON = 2.5
_MIN_R_PHOTONS = 0.5

Flags = NDArray[np.bool_]
Cut = Callable[[Array], Flags]


def passes_jet_cuts(event: HardEvent) -> Flags:
    """Whether pT > 20 GeV, |y| < 5 for both jets and Delta R > 0.4 between them: (N,)."""
    return np.asarray(
        (np.minimum(event.pt1, event.pt2) > MIN_PT_JET)
        & (np.maximum(np.abs(event.y1), np.abs(event.y2)) < MAX_Y_JET)
        & ((event.y1 - event.y2) ** 2 + event.delta**2 > _MIN_R_JETS**2)
    )


def _passes_analysis_cuts(p: Array) -> Flags:
    """Cut on pT, eta and distances of four-vectors: (4, 4, N) -> (N,).

    pT(j) > 20 GeV, pT(a2) > 10 GeV, |eta_j| < 5, |eta_a| < 2.5, Delta R_aa > 0.5,
    Delta R_jj > 0.4.
    """
    pt = transverse_momentum(p)
    eta = pseudorapidity(pt, p[:, 3])
    kept = (pt[1] > _MIN_PT_PHOTON) & (pt[3] > MIN_PT_JET)
    kept &= np.abs(eta[:2]).max(axis=0) < _MAX_ETA_PHOTON
    kept &= np.abs(eta[2:]).max(axis=0) < MAX_Y_JET
    for first, least in ((0, _MIN_R_PHOTONS), (2, _MIN_R_JETS)):
        delta = azimuth_difference(p[first], p[first + 1])
        kept &= (eta[first] - eta[first + 1]) ** 2 + delta**2 > least**2
    return np.asarray(kept)


def _passes_all(p: Array) -> Flags:
    """Keep all events; those that are drawn pass the cuts on jets already."""
    return np.ones(p.shape[2], dtype=bool)


CUTS: dict[str, Cut] = {"analysis": _passes_analysis_cuts, "jets": _passes_all}
"""The cuts by name, on four-vectors of events that pass the cuts on jets."""


def find_cut(name: str) -> Cut:
    """Return the cuts of a name.

    Raises:
        UnknownNameError: If there are none of that name.
    """
    if name not in CUTS:
        raise UnknownNameError("set of cuts", str(name), CUTS)
    return CUTS[name]
