r"""Unweighted decays, each at couplings of its own, by rejection in two stages.

The masses come first, because the integral over the angles is known: their density is
P (a^2 + 2 b^2 + 2 c^2), a quadratic form of the couplings with the monomials a1^2, a1 a2, a2^2 and
a3^2, whose coefficients are positive. A table holds, for each of these four and each cell of the
unit cube of masses, an upper bound; bounds times monomials, without a1 a2 where it is negative, are
an envelope whose cells are drawn by bisection, with the share of each row of couplings.

The angles follow, uniform and accepted with f over its largest value at these masses.

References:
    L. Devroye, Non-Uniform Random Variate Generation, Springer 1986, chapter II.3.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.h4l.amplitude import (
    LARGEST_ANGLE_FACTOR,
    Decay,
    angular_form,
    helicity_form,
)
from lfi_mflow_simulators.h4l.couplings import MONOMIALS, components, expand
from lfi_mflow_simulators.h4l.masses import HIGGS_MASS, MassSpectrum

__all__ = ["DecaySampler", "Envelope"]

# The monomials that the masses depend on.
_POSITIVE = [MONOMIALS.index(pair) for pair in ((0, 0), (0, 1), (1, 1), (2, 2))]
# The bound of a cell is the largest of the values at 27 points of it, with some room.
_ROOM = 1.1
_CELLS = 32
_CELLS_W = 8
# A boson without mass has no amplitude: the table stays off the faces of the cube.
_SMALLEST = 1e-6


class DecaySampler:
    """Draws decays.

    Arguments:
        spectrum: The law of the masses.
    """

    def __init__(self, spectrum: MassSpectrum) -> None:
        self._spectrum = spectrum

    def draw(self, theta: Array, rng: np.random.Generator) -> Decay:
        """Draw a decay for each row of couplings, with shape (N, 3)."""
        masses = self._draw_masses(theta, rng)
        return Decay(*masses, *_draw_angles(theta, masses, rng))

    def _draw_masses(self, theta: Array, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """Draw mH, m1 and m2 for each row."""
        envelope = self._envelope
        masses = np.empty((3, len(theta)))
        todo = np.arange(len(theta))
        while len(todo) > 0:
            couplings = theta[todo]
            bound, cube = envelope.propose(couplings, rng)
            proposal = self._spectrum.masses(*cube)
            density = self._spectrum.factor(*proposal) * helicity_form(*proposal)(couplings)
            accepted = rng.random(len(todo)) * bound < density
            masses[:, todo[accepted]] = np.stack(proposal)[:, accepted]
            todo = todo[~accepted]
        m_h, m1, m2 = masses
        return m_h, m1, m2

    @cached_property
    def _envelope(self) -> Envelope:
        """The envelope, made when it is first needed."""
        return Envelope(self._spectrum)


class Envelope:
    """Upper bounds of the four positive components in the cells of the unit cube.

    Arguments:
        spectrum: The law of the masses.
    """

    def __init__(self, spectrum: MassSpectrum) -> None:
        self._edges = _edges(spectrum)
        points = np.meshgrid(*map(_refine, self._edges), indexing="ij")
        cube = (np.clip(axis.ravel(), _SMALLEST, 1.0 - _SMALLEST) for axis in points)
        masses = spectrum.masses(*cube)
        values = components(helicity_form(*masses))[:, _POSITIVE]
        values *= spectrum.factor(*masses)[:, None]
        bounds = _largest(values.reshape(*points[0].shape, 4))
        widths = [np.diff(edge) for edge in self._edges]
        volume = np.einsum("w,u,v->wuv", *widths).ravel()
        self._shape = bounds.shape[:3]
        self._bounds = _ROOM * bounds.reshape(-1, 4)
        mass = self._bounds * volume[:, None]
        self._totals = mass.sum(axis=0)
        # The cells of all four one behind the other: one bisection finds any of them.
        cumulative = np.cumsum(mass / self._totals, axis=0)
        cumulative[-1] = 1.0
        self._cumulative = (cumulative + np.arange(4)).T.ravel()

    def propose(self, theta: Array, rng: np.random.Generator) -> tuple[Array, tuple[Array, ...]]:
        """Draw points of the unit cube from the envelope, one per row of couplings.

        Returns:
            The envelope there, with shape (N,), and w, u and v.
        """
        monomials = np.maximum(expand(theta)[:, _POSITIVE], 0.0)
        share = np.cumsum(monomials * self._totals, axis=1)
        uniform = rng.random((5, len(theta)))
        component = (uniform[0, :, None] * share[:, -1:] >= share[:, :-1]).sum(axis=1)
        last = len(self._bounds) - 1
        found = np.searchsorted(self._cumulative, component + uniform[1], side="right")
        cell = np.minimum(found - component * (last + 1), last)
        index = np.unravel_index(cell, self._shape)
        cube = tuple(
            edge[i] + (edge[i + 1] - edge[i]) * r
            for edge, i, r in zip(self._edges, index, uniform[2:], strict=True)
        )
        return np.einsum("nk,nk->n", monomials, self._bounds[cell]), cube


def _edges(spectrum: MassSpectrum) -> tuple[Array, Array, Array]:
    """Return the edges of the cells in w, u and v.

    In u they are half of them equally far apart, half at equal steps of m1: the
    pole takes nearly all of u, but the density bends away from it.
    """
    w = np.array([0.0, 1.0]) if spectrum.width == 0.0 else np.linspace(0.0, 1.0, _CELLS_W + 1)
    even = np.linspace(0.0, 1.0, _CELLS + 1)
    u = np.union1d(even, spectrum.share(even[1:-1] * HIGGS_MASS, np.array(HIGGS_MASS)))
    return w, u, even


def _refine(edges: Array) -> Array:
    """Add the middles of the cells to their edges: (C + 1,) -> (2 C + 1,)."""
    return np.sort(np.concatenate([edges, 0.5 * (edges[1:] + edges[:-1])]))


def _largest(values: Array) -> Array:
    """Return the largest value of each cell, from edges and middles along the first three axes."""
    for axis in range(3):
        v = np.moveaxis(values, axis, 0)
        values = np.moveaxis(np.maximum(np.maximum(v[:-1:2], v[1::2]), v[2::2]), 0, axis)
    return values


def _draw_angles(
    theta: Array, masses: tuple[Array, Array, Array], rng: np.random.Generator
) -> Array:
    """Draw c1, c2 and Phi at given masses, with shape (3, N)."""
    largest = LARGEST_ANGLE_FACTOR * helicity_form(*masses)(theta)
    angles = np.empty((3, len(theta)))
    todo = np.arange(len(theta))
    while len(todo) > 0:
        uniform = rng.random((4, len(todo)))
        proposal = 2.0 * uniform[:3] - 1.0
        proposal[2] *= np.pi
        decay = Decay(*(mass[todo] for mass in masses), *proposal)
        accepted = uniform[3] * largest[todo] < angular_form(decay)(theta[todo])
        angles[:, todo[accepted]] = proposal[:, accepted]
        todo = todo[~accepted]
    return angles
