r"""The 40 observables of an event, and the 26 relations between them.

Of each photon and jet: E, px, py, pz, pT, eta. Of the pairs aa and jj: E, px, py,
pz, pT, m, eta and the difference eta1 - eta2 of their members. Momenta, energies
and masses are in GeV. Ten of the relations are linear: sums and differences.

References:
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913, section 4.D (features; closure).
"""

from __future__ import annotations

import numpy as np

from lfi_mflow.simulation import Array, Observable
from lfi_mflow_simulators.higgs_eft.kinematics import pseudorapidity, transverse_momentum

__all__ = ["OBSERVABLES", "features", "kinematic_residuals", "read_objects"]

_LATEX = {"e": "E", "px": "p_x", "py": "p_y", "pz": "p_z", "pt": "p_T", "m": "m", "eta": r"\eta"}
_OBJECTS = {"a1": r"\gamma_1", "a2": r"\gamma_2", "j1": "j_1", "j2": "j_2"}
_PAIRS = {"aa": r"\gamma\gamma", "jj": "jj"}


def _name(quantity: str, name: str, symbol: str) -> Observable:
    """Describe one observable of an object."""
    if quantity == "deltaeta":
        return Observable(f"deltaeta_{name}", latex=rf"\Delta\eta^{{{symbol}}}")
    unit = "" if quantity == "eta" else "GeV"
    return Observable(f"{quantity}_{name}", unit, rf"{_LATEX[quantity]}^{{{symbol}}}")


OBSERVABLES = (
    *(
        _name(quantity, name, symbol)
        for name, symbol in _OBJECTS.items()
        for quantity in ("e", "px", "py", "pz", "pt", "eta")
    ),
    *(
        _name(quantity, name, symbol)
        for name, symbol in _PAIRS.items()
        for quantity in ("e", "px", "py", "pz", "pt", "m", "eta", "deltaeta")
    ),
)
"""The 40 observables in the order of the features."""


def features(p: Array) -> Array:
    """Return the observables of four-vectors: (4, 4, N) -> (40, N)."""
    x = np.empty((40, p.shape[2]))
    objects, pairs = _views(x)
    objects[:, :4] = p
    objects[:, 4] = transverse_momentum(p)
    objects[:, 5] = pseudorapidity(objects[:, 4], p[:, 3])
    np.add(p[0::2], p[1::2], out=pairs[:, :4])
    pairs[:, 4] = transverse_momentum(pairs)
    pairs[:, 5] = _mass(pairs)
    pairs[:, 6] = pseudorapidity(pairs[:, 4], pairs[:, 3])
    np.subtract(objects[0::2, 5], objects[1::2, 5], out=pairs[:, 7])
    return x


def read_objects(x: Array) -> Array:
    """Return the four-vectors of photons and jets: (N, 40) -> (4, 4, N)."""
    return np.ascontiguousarray(_views(_columns(x))[0][:, :4])


def kinematic_residuals(x: Array) -> Array:
    """Return how far 26 relations between the observables are from holding, with shape (N, 26).

    In this order: pT against px and py (6, in GeV), eta against the momentum (6),
    E against momentum and mass (4, in GeV), E, px, py and pz of the pairs against
    the sums of their members (8, in GeV), and the differences of eta (2). All are
    absolute values; they vanish on the manifold, and nowhere else.

    Arguments:
        x: Events in the units of the observables, with shape (N, 40).
    """
    objects, pairs = _views(_columns(x))
    momenta = np.concatenate([objects[:, :4], pairs[:, :4]])
    pt, eta, mass = _stated(objects, pairs)
    expected_pt = transverse_momentum(momenta)
    energy = np.sqrt(np.sum(momenta[:, 1:] ** 2, axis=1) + mass**2)
    residuals = [
        pt - expected_pt,
        eta - pseudorapidity(expected_pt, momenta[:, 3]),
        (momenta[:, 0] - energy)[[0, 1, 4, 5]],
        (pairs[:, :4] - objects[0::2, :4] - objects[1::2, :4]).reshape(8, -1),
        pairs[:, 7] - objects[0::2, 5] + objects[1::2, 5],
    ]
    return np.abs(np.concatenate(residuals)).T


def _columns(x: Array) -> Array:
    """Turn events (N, 40) to columns (40, N)."""
    return np.ascontiguousarray(np.asarray(x, dtype=float).T)


def _views(x: Array) -> tuple[Array, Array]:
    """View the columns as objects, with shape (4, 6, N), and pairs, with shape (2, 8, N)."""
    return x[:24].reshape(4, 6, -1), x[24:].reshape(2, 8, -1)


def _stated(objects: Array, pairs: Array) -> tuple[Array, Array, Array]:
    """Return pT, eta and mass as the features say, each with shape (6, N)."""
    pt = np.concatenate([objects[:, 4], pairs[:, 4]])
    eta = np.concatenate([objects[:, 5], pairs[:, 6]])
    mass = np.concatenate([np.zeros_like(objects[:, 0]), pairs[:, 5]])
    return pt, eta, mass


def _mass(pairs: Array) -> Array:
    """Invariant masses of the pairs in GeV, with shape (2, N)."""
    e, px, py, pz = (pairs[:, component] for component in range(4))
    return np.asarray(np.sqrt(np.maximum(e**2 - px**2 - py**2 - pz**2, 0.0)))
