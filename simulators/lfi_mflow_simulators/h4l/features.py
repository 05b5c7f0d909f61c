r"""The features of an event: redundant functions of the momenta of its leptons.

Each object has some of these features, functions of its four-momentum (E, px, py, pz):

    pT = (px^2 + py^2)^(1/2),   m = (E^2 - p^2)^(1/2),   eta = arsinh(pz / pT).

Energies, momenta and masses are in GeV. Each of the functions stands beside its gradient, from
which the volume of the map from momenta to features follows.

References:
    Particle Data Group, Review of Particle Physics, chapter Kinematics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lfi_mflow.simulation import Array, Observable

__all__ = ["LEPTONS", "LIGHT", "FeatureMap", "PhysicsObject", "four_momentum", "h4l_objects"]

LEPTONS = ("l1m", "l1p", "l2m", "l2p")
"""Negative and positive lepton of Z1, negative and positive lepton of Z2."""

LIGHT = ("E", "px", "py", "pz", "pt", "eta")
"""Features of a particle without mass."""

_SYMBOLS = {"E": "E", "px": "p_x", "py": "p_y", "pz": "p_z", "pt": "p_T", "m": "m", "eta": r"\eta"}
_HEAVY = ("E", "px", "py", "pz", "pt", "m")
_NOISE = {"GeV": 5.0, "": 0.1}


@dataclass(frozen=True)
class PhysicsObject:
    """A particle or a sum of particles, and the features that it has.

    Arguments:
        name: Identifier, the end of the names of its features.
        latex: Symbol.
        parts: Indices of the particles whose momenta add up to its own.
        kinds: Its features, among E, px, py, pz, pt, m and eta.
    """

    name: str
    latex: str
    parts: tuple[int, ...]
    kinds: tuple[str, ...]


def h4l_objects(higgs: Sequence[str]) -> tuple[PhysicsObject, ...]:
    """Return the objects of a Higgs boson that decays to four leptons.

    Arguments:
        higgs: The features of the Higgs boson; the others are fixed.
    """
    symbols = (r"\ell_1^-", r"\ell_1^+", r"\ell_2^-", r"\ell_2^+")
    named = enumerate(zip(LEPTONS, symbols, strict=True))
    leptons = (PhysicsObject(name, latex, (i,), LIGHT) for i, (name, latex) in named)
    return (
        *leptons,
        PhysicsObject("z1", "Z_1", (0, 1), _HEAVY),
        PhysicsObject("z2", "Z_2", (2, 3), _HEAVY),
        *([PhysicsObject("h", "H", (0, 1, 2, 3), tuple(higgs))] if higgs else []),
    )


def four_momentum(momenta: Array, parts: Sequence[int]) -> Array:
    """Add up massless particles: (P, 3, N) -> (4, N), the energy first."""
    chosen = momenta[list(parts)]
    energies = np.sqrt((chosen**2).sum(axis=1))
    return np.concatenate([energies.sum(axis=0)[None], chosen.sum(axis=0)])


class FeatureMap:
    """The map from momenta of massless particles to features.

    Arguments:
        objects: The objects, in the order of their features.

    Attributes:
        observables: The d features.
    """

    def __init__(self, objects: Sequence[PhysicsObject]) -> None:
        self._objects = tuple(objects)
        self.observables = tuple(
            _observable(item, kind) for item in self._objects for kind in item.kinds
        )

    def evaluate(self, momenta: Array) -> Array:
        """Return the features of events: (P, 3, N) -> (N, d)."""
        x = np.empty((momenta.shape[2], len(self.observables)))
        column = 0
        for item in self._objects:
            p = four_momentum(momenta, item.parts)
            for kind in item.kinds:
                x[:, column] = _VALUES[kind](p)
                column += 1
        return x

    def momenta(self, x: Array) -> Array:
        """Read the momenta of single particles off their own features: (N, d) -> (P, 3, N)."""
        names = [item.name for item in self.observables]
        single = [item.name for item in self._objects if len(item.parts) == 1]
        columns = [[names.index(f"{p}_{name}") for p in ("px", "py", "pz")] for name in single]
        return np.ascontiguousarray(np.asarray(x, dtype=float)[:, columns].transpose(1, 2, 0))

    def residuals(self, x: Array) -> Array:
        """Return what features miss their values by: (N, d) -> (N, d).

        The values are those of the event with the same momenta of the single particles: the
        features that are these momenta miss nothing.
        """
        x = np.asarray(x, dtype=float)
        return np.asarray(x - self.evaluate(self.momenta(x)))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise to every feature, of 5 GeV or, to eta, of 0.1: (N, d) -> (N, d)."""
        scale = np.array([_NOISE[observable.unit] for observable in self.observables])
        return np.asarray(x + scale * rng.standard_normal(np.shape(x)))

    def jacobian(self, momenta: Array) -> Array:
        """Return the derivatives of the features by the momenta: (P, 3, N) -> (N, d, 3 P)."""
        energies = np.sqrt((momenta**2).sum(axis=1))
        derivative = np.zeros((len(self.observables), *momenta.shape))
        row = 0
        for item in self._objects:
            p = four_momentum(momenta, item.parts)
            for kind in item.kinds:
                slope = _GRADIENTS[kind](p)
                for part in item.parts:
                    velocity = momenta[part] / energies[part]
                    derivative[row, part] = slope[0] * velocity + slope[1:]
                row += 1
        n = momenta.shape[2]
        return np.ascontiguousarray(derivative.reshape(row, -1, n).transpose(2, 0, 1))


def _observable(item: PhysicsObject, kind: str) -> Observable:
    """Describe a feature of an object."""
    unit = "" if kind == "eta" else "GeV"
    return Observable(f"{kind}_{item.name}", unit, f"{_SYMBOLS[kind]}({item.latex})")


def _pt(p: Array) -> Array:
    """Return the transverse momentum: (4, N) -> (N,)."""
    return np.asarray(np.sqrt(p[1] ** 2 + p[2] ** 2))


def _mass(p: Array) -> Array:
    """Return the mass: (4, N) -> (N,)."""
    return np.asarray(np.sqrt(np.maximum(p[0] ** 2 - (p[1:] ** 2).sum(axis=0), 0.0)))


def _gradient(p: Array, **components: Array) -> Array:
    """Return a gradient by (E, px, py, pz), with shape (4, N); what is not given is zero."""
    gradient = np.zeros_like(p)
    for name, values in components.items():
        gradient[_COMPONENTS.index(name)] = values
    return gradient


def _eta_gradient(p: Array) -> Array:
    """Return the gradient of eta: (4, N) -> (4, N)."""
    pt, size = _pt(p), np.sqrt((p[1:] ** 2).sum(axis=0))
    across = -p[3] / (pt**2 * size)
    return _gradient(p, px=across * p[1], py=across * p[2], pz=1.0 / size)


_COMPONENTS = ("E", "px", "py", "pz")

_VALUES: dict[str, Callable[[Array], Array]] = {
    "E": lambda p: p[0],
    "px": lambda p: p[1],
    "py": lambda p: p[2],
    "pz": lambda p: p[3],
    "pt": _pt,
    "m": _mass,
    "eta": lambda p: np.arcsinh(p[3] / _pt(p)),
}
_GRADIENTS: dict[str, Callable[[Array], Array]] = {
    "E": lambda p: _gradient(p, E=np.ones_like(p[0])),
    "px": lambda p: _gradient(p, px=np.ones_like(p[0])),
    "py": lambda p: _gradient(p, py=np.ones_like(p[0])),
    "pz": lambda p: _gradient(p, pz=np.ones_like(p[0])),
    "pt": lambda p: _gradient(p, px=p[1] / _pt(p), py=p[2] / _pt(p)),
    "m": lambda p: _gradient(p, E=p[0], px=-p[1], py=-p[2], pz=-p[3]) / _mass(p),
    "eta": _eta_gradient,
}
