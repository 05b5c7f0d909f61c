r"""Quadratic forms of the three couplings (a1, a2, a3), by their six coefficients.

The amplitude is linear in the couplings: every density is q(a) = sum_(i <= j) c_ij a_i a_j, and so
is the rate, its integral.

References:
    S. Bolognesi et al., On the spin and parity of a single-produced resonance at the LHC,
    Physical Review D 86 (2012) 095031, arXiv:1208.4018 (the couplings).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lfi_mflow.simulation import Array

__all__ = ["MONOMIALS", "components", "expand", "log_gradient"]

MONOMIALS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The pairs (i, j) in the order of the six coefficients c_ij."""


def expand(theta: Array) -> Array:
    """Return the monomials a_i a_j: (N, 3) -> (N, 6)."""
    return np.stack([theta[:, i] * theta[:, j] for i, j in MONOMIALS], axis=1)


def components(form: Callable[[Array], Array]) -> Array:
    """Return the coefficients of quadratic forms.

    Arguments:
        form: The forms: couplings, with shape (1, 3), to values, with shape (*,).

    Returns:
        The coefficients, with shape (*, 6).
    """
    unit = np.eye(3)
    square = [form(unit[i : i + 1]) for i in range(3)]

    def coefficient(i: int, j: int) -> Array:
        if i == j:
            return square[i]
        return form((unit[i] + unit[j])[None, :]) - square[i] - square[j]

    return np.stack([coefficient(i, j) for i, j in MONOMIALS], axis=-1)


def log_gradient(coefficients: Array, theta: Array) -> Array:
    """Return the gradient of log q in the couplings, with shape (N, 3).

    Arguments:
        coefficients: Coefficients of the forms, with shape (N, 6) or (1, 6).
        theta: The couplings, with shape (N, 3) or (1, 3).
    """
    rows = np.broadcast_shapes((len(coefficients),), (len(theta),))
    gradient = np.zeros((*rows, 3))
    for (i, j), c in zip(MONOMIALS, coefficients.T, strict=True):
        gradient[:, i] += c * theta[:, j]
        gradient[:, j] += c * theta[:, i]
    return np.asarray(gradient / (coefficients * expand(theta)).sum(axis=1, keepdims=True))
