r"""Curves in space that no single chart covers, with their exact densities.

A curve gamma(t) of one or two components, t from -pi to pi, has events at

    t ~ von Mises(phi, 1),   p(x | phi) = p(t | phi) / (C |gamma'(t)|)

on one of its C components, each as likely as the other, a density with respect to arc length.
The parameter phi moves where events are frequent; the manifold stays.

References:
    S. Sidheekh et al., VQ-Flows: Vector Quantized Local Normalizing Flows, 2022,
    arXiv:2203.11556 (the kinds of curves).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.special import i0e

from lfi_mflow.errors import UnknownNameError
from lfi_mflow.simulation import Array, Events, Observable, Parameter

__all__ = ["CURVES", "Curve"]

_CONCENTRATION = 1.0
_NOISE = 0.1
_GRID = 4000
_SPACING = 2 * math.pi / (_GRID - 1)
_STEP = 1e-30  # of complex differentiation: nothing cancels
_PARAMETERS = (Parameter("phi", -math.pi, math.pi, unit="rad", latex=r"\varphi"),)
_OBSERVABLES = tuple(Observable(name) for name in "xyz")

Line = Callable[[Any], tuple[Any, ...]]
"""The three coordinates of a curve at t, which may be complex."""


def _circle(x: float, y: float, z: float) -> Line:
    """A unit circle around a point of the x-axis; (y, z), of length one, turns its plane."""
    return lambda t: (x + np.cos(t), y * np.sin(t), z * np.sin(t))


CURVES: Mapping[str, tuple[Line, ...]] = {
    "knot": (
        lambda t: (
            (2 + np.cos(3 * t)) * np.cos(2 * t),
            (2 + np.cos(3 * t)) * np.sin(2 * t),
            np.sin(3 * t),
        ),
    ),
    "helix": (lambda t: (np.cos(2 * t), np.sin(2 * t), 0.5 * t),),
    # in planes of their own: together in one, an observable would be constant
    "disjoint-circles": (_circle(-1.5, 0.8, 0.6), _circle(1.5, 0.8, -0.6)),
    "interlocked-circles": (_circle(-0.5, 1, 0), _circle(0.5, 0, 1)),
    "bent-lissajous": (lambda t: (np.sin(2 * t), np.cos(t), np.cos(2 * t)),),
    "twisted-eight": (lambda t: (np.sin(t), np.sin(t) * np.cos(t), 0.5 * np.cos(t)),),
}
"""The components of the curves; the helix alone has ends."""


class Curve:
    """Simulator of events on a curve in space, with its exact likelihood.

    Arguments:
        shape: The curve, a key of ``CURVES``.

    Raises:
        UnknownNameError: If there is no such curve.
    """

    name = "curve"
    parameters = _PARAMETERS
    observables = _OBSERVABLES
    manifold_dim: int | None = 1

    def __init__(self, shape: str = "knot") -> None:
        if shape not in CURVES:
            raise UnknownNameError("curve", shape, CURVES)
        self._lines = CURVES[shape]
        t = np.linspace(-math.pi, math.pi, _GRID)
        points = [_points(line, t) for line in self._lines]
        self._tree, self._t = KDTree(np.concatenate(points)), np.tile(t, len(points))

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 1)."""
        theta = np.asarray(theta, dtype=float)
        t = rng.vonmises(theta[:, 0], _CONCENTRATION)
        component = rng.integers(len(self._lines), size=len(t))
        return Events(theta=theta, x=self._at(t, component))

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Exact log-density per length of the curve, with shape (N,).

        Events off the curve count as the point of it nearest to them.

        Arguments:
            x: Events, with shape (N, 3).
            theta: Parameters, with shape (N, 1); one row serves all events.
        """
        t, component = self._nearest(np.asarray(x, dtype=float))
        speed = np.linalg.norm(self._tangent(t, component), axis=1)
        density = _log_von_mises(t - np.asarray(theta, dtype=float)[:, 0], _CONCENTRATION)
        return np.asarray(density - np.log(speed * len(self._lines)))

    def distance(self, x: Array) -> Array:
        """Distance to the curve: (N, 3) -> (N,)."""
        x = np.asarray(x, dtype=float)
        return np.asarray(np.linalg.norm(x - self._at(*self._nearest(x)), axis=1))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise of standard deviation 0.1 to every observable, the shape kept."""
        return np.asarray(x + _NOISE * rng.standard_normal(np.shape(x)))

    def _nearest(self, x: Array) -> tuple[Array, NDArray[np.intp]]:
        """Nearest points of the curve, as t and component: (N, 3) -> (N,), (N,)."""
        index = self._tree.query(x)[1]
        start, component = self._t[index], index // _GRID
        low, high = (np.clip(start + step, -math.pi, math.pi) for step in (-_SPACING, _SPACING))
        t = start
        for _ in range(4):  # Gauss-Newton, which converges to rounding near the curve
            tangent = self._tangent(t, component)
            along = ((x - self._at(t, component)) * tangent).sum(axis=1)
            t = np.clip(t + along / np.square(tangent).sum(axis=1), low, high)
        return t, component

    def _at(self, t: Array, component: NDArray[np.intp]) -> Array:
        """Points of the curve: (N,), (N,) -> (N, 3)."""
        both = np.stack([_points(line, t) for line in self._lines])
        return np.asarray(both[component, np.arange(len(t))])

    def _tangent(self, t: Array, component: NDArray[np.intp]) -> Array:
        """Derivatives by t: (N,), (N,) -> (N, 3)."""
        both = np.stack([_derivatives(line, t) for line in self._lines])
        return np.asarray(both[component, np.arange(len(t))])


def _points(line: Line, t: Array) -> Array:
    """Points of one component: (N,) -> (N, 3)."""
    return np.stack([np.real(value) for value in line(t.astype(complex))], axis=1)


def _derivatives(line: Line, t: Array) -> Array:
    """Derivatives of one component by t: (N,) -> (N, 3)."""
    return np.stack([np.imag(value) / _STEP for value in line(t + 1j * _STEP)], axis=1)


def _log_von_mises(angle: Array, concentration: float) -> Array:
    """Log-density of an angle from the centre: (N,) -> (N,)."""
    # i0e is I times exp(-kappa)
    constant = math.log(2 * math.pi * i0e(concentration))
    return np.asarray(concentration * (np.cos(angle) - 1) - constant)
