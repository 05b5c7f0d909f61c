"""Kinematic closure: the distance of events from the manifold.

The 26 residuals of an event are divided by their means for pure noise, clipped to
[0, 10] and averaged: zero on the manifold, one for standard-normal noise in the
standardised features.

References:
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913, section 4.D.
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.features import kinematic_residuals

__all__ = ["kinematic_closure", "noise_residuals"]

_CLIP = 10.0
_DRAWS, _SEED = 20_000, 20260103


def kinematic_closure(x: Array, mean: Array, sd: Array) -> Array:
    """Mean of the normalised residuals of events, with shape (N,).

    Arguments:
        x: Events in the units of the observables, with shape (N, 40).
        mean: Means that the features are standardised by, with shape (40,).
        sd: Standard deviations that they are standardised by, with shape (40,).
    """
    with np.errstate(all="ignore"):
        ratio = kinematic_residuals(x) / noise_residuals(mean, sd)
    # What cannot even be compared, as eta without a transverse momentum, is far away.
    return np.asarray(np.clip(np.nan_to_num(ratio, nan=_CLIP), 0.0, _CLIP).mean(axis=1))


def noise_residuals(mean: Array, sd: Array) -> Array:
    """Mean residuals of 20,000 draws of noise with the moments of the features: (26,)."""
    noise = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(mean)))
    return np.asarray(kinematic_residuals(mean + sd * noise).mean(axis=0))
