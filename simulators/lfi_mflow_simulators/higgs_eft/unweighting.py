r"""Unweighted events: proposals accepted with a probability proportional to their weight.

The bound on the weight at a theta is the largest of the pilot sample of 200,000
proposals at that theta. About 10^-4 of the cross-section lies above the bound and is
lost, in the far tails of transverse momentum; the efficiency is 2 to 15 %.

References:
    J. von Neumann, Various techniques used in connection with random digits, 1951.
"""

from __future__ import annotations

import functools

import numpy as np

from lfi_mflow.simulation import Array, monomials
from lfi_mflow_simulators.higgs_eft.sampler import Proposals, draw_proposals, pilot

__all__ = ["draw_unweighted", "envelope"]

_ROUND = 16_384
# Where on the plane of theta, at a scale of 1, the largest weights are looked for.
_ANGLES = np.linspace(0.0, 2.0 * np.pi, 49)[:-1]
_RADII = np.concatenate([[0.0], np.geomspace(0.05, 200.0, 32)])


def draw_unweighted(
    values: Array, densities: str, cuts: str, rng: np.random.Generator
) -> Proposals:
    """Draw one event for each row of theta by acceptance and rejection.

    Arguments:
        values: Monomials of theta at a scale of 1, with shape (N, 6).
        densities: Name of the parton densities.
        cuts: Name of the cuts.
        rng: Source of randomness.
    """
    bound = (values @ envelope(densities, cuts).T).max(axis=1)
    todo, order = np.arange(len(values)), [np.empty(0, dtype=np.intp)]
    batches = [draw_proposals(0, densities, cuts, rng)]
    while len(todo) > 0:
        proposals = draw_proposals(_ROUND, densities, cuts, rng)
        rows = todo[np.arange(_ROUND) % len(todo)]
        weight = np.einsum("kn,nk->n", proposals.parts.sum(axis=0), values[rows])
        accepted = np.flatnonzero(rng.random(_ROUND) * bound[rows] < weight)
        # A row takes the first proposal that it accepts.
        done, first = np.unique(rows[accepted], return_index=True)
        batches.append(proposals[accepted[first]])
        order.append(done)
        todo = np.setdiff1d(todo, done, assume_unique=True)
    return Proposals.concatenate(batches)[np.argsort(np.concatenate(order))]


@functools.cache
def envelope(densities: str, cuts: str) -> Array:
    """Components of the pilot events that have the largest weight at some theta: (M, 6)."""
    components = pilot(densities, cuts).components
    radius, angle = (grid.ravel() for grid in np.meshgrid(_RADII, _ANGLES))
    theta = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    largest = {int(np.argmax(components @ values)) for values in monomials(theta)}
    return np.asarray(components[sorted(largest)])
