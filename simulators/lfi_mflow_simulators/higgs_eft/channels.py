r"""Phase space of the matrix element as a unit cube, and densities on it that adapt.

The six coordinates t of the cube map to

    pT1^2, pT2^2   with density (pT^2 + 70^2)^(-3/2) above the cut,
    delta          in [-pi, pi],
    y1 - yH and yH - y2  in [-L, L],  L = 5 + ln(sqrt(s)/m_H),
    boost          the rapidity of the whole, in +-ln(s/s^)/2.

A channel is a product of six histograms on the axes of the cube that were adapted
to one target: to the Standard Model, to the square of an operator, to an
interference. The proposal is the mean of the channels, so that it is large
wherever one of the targets is.

References:
    G. P. Lepage, A new algorithm for adaptive multidimensional integration,
    Journal of Computational Physics 27 (1978) 192 (VEGAS).
    R. Kleiss and R. Pittau, Weight optimization in multichannel Monte Carlo, 1994,
    hep-ph/9405257.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from lfi_mflow.simulation import Array
from lfi_mflow_simulators.higgs_eft.amplitude import (
    ENERGY,
    M_HIGGS,
    HardEvent,
    differential_cross_section,
    light_cone,
)
from lfi_mflow_simulators.higgs_eft.cuts import MAX_Y_JET, MIN_PT_JET, passes_jet_cuts
from lfi_mflow_simulators.higgs_eft.partons import parton_densities

__all__ = ["DIMENSION", "TARGETS", "Channels", "Target", "adapted_channels", "from_cube", "to_cube"]

DIMENSION = 6
"""Number of coordinates of the cube."""


@dataclass(frozen=True)
class Target:
    """What a channel is adapted to.

    Arguments:
        coefficients: Coefficients of the six components of the cross-section.
        harder: The jet that has the larger transverse momentum, 1 or 2; 0 for either.
    """

    coefficients: tuple[float, ...]
    harder: int = 0


_SQUARE_1 = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
TARGETS = (
    Target((1.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
    # The square of O_W has one hard jet and one soft: two lobes, which no product fits.
    Target(_SQUARE_1, harder=1),
    Target(_SQUARE_1, harder=2),
    Target((0.0, 0.0, 0.0, 0.0, 0.0, 1.0)),
    Target((1.0, 1.0, 0.0, 1.0, 0.0, 0.0)),
    Target((1.0, -1.0, 0.0, 1.0, 0.0, 0.0)),
)
"""What the six channels are adapted to."""

_BINS = 64
_ROUNDS, _DRAWS, _SEED = 6, 20_000, 20260101
_FLOOR = 0.02

_SOFT = 70.0**2
_TOP, _END = ((pt2 + _SOFT) ** -0.5 for pt2 in (MIN_PT_JET**2, 0.25 * ENERGY**2))
_L = MAX_Y_JET + math.log(ENERGY / M_HIGGS)


class Channels:
    """Products of histograms on the cube, and their mean.

    Arguments:
        tables: Densities of the bins, with shape (6, channels, bins); the mean over
            the bins is one.
    """

    def __init__(self, tables: Array) -> None:
        self._tables = tables
        self._edges = _cumulative(tables)
        self._where = np.tile(np.linspace(0.0, 1.0, tables.shape[2] + 1), tables.shape[1])

    def draw(self, n: int, rng: np.random.Generator) -> Array:
        """Draw points of the cube, each from a channel at random: (6, N)."""
        channel = rng.integers(0, self._tables.shape[1], n)
        u = rng.random((DIMENSION, n))
        u += channel
        return np.stack(
            [np.interp(row, edges, self._where) for row, edges in zip(u, self._edges, strict=True)]
        )

    def density(self, t: Array) -> Array:
        """Mean density of the channels: (6, N) -> (N,)."""
        bins = self._tables.shape[2]
        index = np.clip((t * bins).astype(np.intp), 0, bins - 1)
        product = self._tables[0][:, index[0]]
        for table, row in zip(self._tables[1:], index[1:], strict=True):
            product *= table[:, row]
        return np.asarray(product.mean(axis=0))

    def refined(self, t: Array, weight: Array) -> Channels:
        """Adapt one channel to what its draws found.

        Of all products of histograms, those have the least variance in which the
        probability of a bin goes with the root of the second moment of the weights.

        Arguments:
            t: Draws of this channel, with shape (6, N).
            weight: Target over density at each, with shape (N,).
        """
        bins = self._tables.shape[2]
        tables = np.empty_like(self._tables)
        for axis, row in enumerate(t):
            index = np.clip((row * bins).astype(np.intp), 0, bins - 1)
            moment = np.bincount(index, weight**2, bins) / len(weight)
            mass = np.sqrt(_smooth(moment * self._tables[axis, 0]))
            tables[axis, 0] = _FLOOR + (1.0 - _FLOOR) * mass / mass.mean()
        return Channels(tables)

    @classmethod
    def flat(cls) -> Channels:
        """Return the uniform density as one channel."""
        return cls(np.ones((DIMENSION, 1, _BINS)))

    @classmethod
    def joined(cls, channels: list[Channels]) -> Channels:
        """Return the mean of some channels."""
        return cls(np.concatenate([channel._tables for channel in channels], axis=1))


@functools.cache
def adapted_channels(densities: str) -> Channels:
    """Adapt the six channels to parton densities, from draws with a fixed seed.

    It takes a second and is done once in a process.

    Arguments:
        densities: Name of the parton densities.
    """
    rng = np.random.default_rng(_SEED)
    return Channels.joined([_adapt(target, densities, rng) for target in TARGETS])


def from_cube(t: Array) -> tuple[HardEvent, Array]:
    """Map points of the cube to events: (6, N) -> N events and the Jacobian.

    The Jacobian is that of dy1 dy2 dyH d2pT1 d2pT2 by the cube, the azimuth of the
    whole event integrated, with shape (N,); zero beyond the collision energy.
    """
    pt2 = (_TOP + (_END - _TOP) * t[:2]) ** -2.0 - _SOFT
    delta = np.pi * (2.0 * t[2] - 1.0)
    forward, backward = _L * (2.0 * t[3:5] - 1.0)
    pt1, pt2_ = np.sqrt(pt2)
    event = HardEvent(pt1, pt2_, forward, -backward, np.zeros_like(delta), delta)
    plus, minus = light_cone(event)
    reach = _reach(plus * minus)
    boost = reach * (t[5] - 0.5) - 0.5 * np.log(plus / minus)
    event = HardEvent(pt1, pt2_, forward + boost, boost - backward, boost, delta)
    return event, _jacobian(pt2, reach)


def to_cube(event: HardEvent) -> tuple[Array, Array]:
    """Invert :func:`from_cube`: N events -> the points (6, N) and the Jacobian (N,)."""
    pt2 = np.square([event.pt1, event.pt2])
    plus, minus = light_cone(event)
    reach = _reach(plus * minus)
    t = np.empty((DIMENSION, len(event.pt1)))
    t[:2] = ((pt2 + _SOFT) ** -0.5 - _TOP) / (_END - _TOP)
    t[2] = 0.5 + event.delta / (2.0 * np.pi)
    t[3] = 0.5 + (event.y1 - event.y_h) / (2.0 * _L)
    t[4] = 0.5 + (event.y_h - event.y2) / (2.0 * _L)
    t[5] = 0.5 + 0.5 * np.log(plus / minus) / np.where(reach > 0.0, reach, 1.0)
    return t, _jacobian(pt2, reach)


def _adapt(target: Target, densities: str, rng: np.random.Generator) -> Channels:
    """Adapt one channel to a target."""
    channel = Channels.flat()
    for _ in range(_ROUNDS):
        t = channel.draw(_DRAWS, rng)
        event, jacobian = from_cube(t)
        kept = (jacobian > 0.0) & passes_jet_cuts(event)
        components = differential_cross_section(event[kept], parton_densities(densities))[0]
        weight = np.zeros(_DRAWS)
        weight[kept] = target.coefficients @ components * (jacobian / channel.density(t))[kept]
        weight *= _harder(event, target.harder)
        channel = channel.refined(t, weight / weight.mean())
    return channel


def _harder(event: HardEvent, jet: int) -> Array | float:
    """Return one where a jet has the larger transverse momentum, and zero elsewhere."""
    if jet == 0:
        return 1.0
    return np.asarray((event.pt1 > event.pt2) == (jet == 1), dtype=float)


def _reach(s_hat: Array) -> Array:
    """Return the width ln(s/s^) of the range of the boost, zero beyond the energy."""
    return np.asarray(np.maximum(np.log(ENERGY**2 / s_hat), 0.0))


def _jacobian(pt2: Array, reach: Array) -> Array:
    """Return |d(y1, y2, yH, pT1, pT2) / dt|, with d2pT = d(pT^2) dphi / 2."""
    root = np.prod(pt2 + _SOFT, axis=0) ** 1.5 * (2.0 * (_TOP - _END)) ** 2
    return np.asarray(0.25 * root * (2.0 * np.pi) ** 2 * (2.0 * _L) ** 2 * reach)


def _smooth(values: Array) -> Array:
    """Average each bin with its neighbours."""
    padded = np.pad(values, 1, mode="edge")
    return np.asarray(0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:])


def _cumulative(tables: Array) -> Array:
    """Return the cumulative probabilities, of channel c from c to c + 1: (6, all edges)."""
    steps = np.zeros((*tables.shape[:2], tables.shape[2] + 1))
    np.cumsum(tables, axis=2, out=steps[:, :, 1:])
    steps /= steps[:, :, -1:]
    steps += np.arange(tables.shape[1])[:, None]
    return np.asarray(steps.reshape(len(tables), -1))
