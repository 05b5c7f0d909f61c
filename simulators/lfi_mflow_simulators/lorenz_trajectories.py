"""Trajectories of the Lorenz system, many at once.

The integrator is the classical Runge-Kutta method with a step of 0.01 (error 2e-4
after 5 units of time). It uses elementary arithmetic in a fixed order, and so gives
the same bits on every machine: in a chaotic system the last bit decides.

With numba (``pip install 'lfi-mflow[fast]'``) the steps are compiled, which makes them
some hundred times faster on a hundred trajectories; without it they are made of calls
of numpy. Both have the same bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation import Array

__all__ = ["CLASSICAL", "STEP", "integrate"]

CLASSICAL = {"sigma": 10.0, "rho": 28.0, "beta": 8.0 / 3.0}
"""The values of the parameters with which the system became known."""
STEP = 0.01
"""Time step of the integrator."""

Integers = NDArray[np.integer]
Advance = Callable[[Array, int, float, Array, Array, Array], None]

# Trajectories worked on at a time: the buffers of a block stay in the cache.
_BLOCK = 4096


def integrate(
    initial: Array,
    steps: Sequence[int] | Integers,
    delays: Integers | None = None,
    step: float = STEP,
    *,
    sigma: Array | float = CLASSICAL["sigma"],
    rho: Array | float = CLASSICAL["rho"],
    beta: Array | float = CLASSICAL["beta"],
) -> Array:
    """Integrate trajectories and store some of their states.

    Arguments:
        initial: Initial states, with shape (M, 3).
        steps: After how many steps the states are stored, rising, with shape (K,).
        delays: Steps that each trajectory takes before these count, with shape (M,).
        step: Time step.
        sigma: Parameter of all trajectories, or of each, with shape (M,).
        rho: The same.
        beta: The same.

    Returns:
        The states, with shape (K, M, 3).
    """
    steps = np.asarray(steps)
    stored = np.empty((len(steps), 3, len(initial)))
    for start in range(0, len(initial), _BLOCK):
        rows = slice(start, start + _BLOCK)
        whole = np.array(initial[rows].T, order="C")
        block = _Block(whole, _part((sigma, rho, beta), rows, whole.shape[1]), step)
        if delays is not None:
            block.dephase(delays[rows])
        for index, count in enumerate(np.diff(steps, prepend=0)):
            block.advance(int(count))
            stored[index, :, rows] = block.state
    return stored.transpose(0, 2, 1)


class _Block:
    """Trajectories that are integrated together.

    Arguments:
        initial: Initial states, with shape (3, B); they are overwritten.
        constants: sigma, rho and beta, each of shape (B,).
        step: Time step.

    Attributes:
        state: The states after the steps so far, with shape (3, B).
    """

    def __init__(self, initial: Array, constants: tuple[Array, ...], step: float) -> None:
        self.state = initial
        self._constants, self._step = constants, step
        self._advance = _compiled() or _ByArrays(initial.shape[1]).advance

    def advance(self, steps: int) -> None:
        """Take some steps."""
        self._advance(self.state, steps, self._step, *self._constants)

    def dephase(self, delays: Integers) -> None:
        """Take another number of steps with each trajectory, with shape (B,)."""
        delayed = np.empty_like(self.state)
        for step in range(int(delays.max(initial=-1)) + 1):
            self.advance(min(step, 1))
            chosen = delays == step
            delayed[:, chosen] = self.state[:, chosen]
        self.state[:] = delayed


def advance_one_by_one(
    state: Array, steps: int, step: float, sigma: Array, rho: Array, beta: Array
) -> None:
    """Take steps of the classical Runge-Kutta method, in place; it is made to be compiled.

    Arguments:
        state: States, with shape (3, B); they are overwritten.
        steps: Number of steps.
        step: Time step.
        sigma: Parameter of each trajectory, with shape (B,).
        rho: The same.
        beta: The same.
    """
    half, sixth = step * 0.5, step * (1.0 / 6.0)
    for _ in range(steps):
        for b in range(state.shape[1]):
            x, y, z = state[0, b], state[1, b], state[2, b]
            s, r, c = sigma[b], rho[b], beta[b]
            k1x, k1y, k1z = (y - x) * s, (r - z) * x - y, x * y - z * c
            u, v, w = k1x * half + x, k1y * half + y, k1z * half + z
            k2x, k2y, k2z = (v - u) * s, (r - w) * u - v, u * v - w * c
            u, v, w = k2x * half + x, k2y * half + y, k2z * half + z
            k3x, k3y, k3z = (v - u) * s, (r - w) * u - v, u * v - w * c
            u, v, w = k3x * step + x, k3y * step + y, k3z * step + z
            k4x, k4y, k4z = (v - u) * s, (r - w) * u - v, u * v - w * c
            # the order of the sums is that of the calls of numpy
            tx, ty, tz = k2x + k3x, k2y + k3y, k2z + k3z
            state[0, b] = x + (tx + tx + k1x + k4x) * sixth
            state[1, b] = y + (ty + ty + k1y + k4y) * sixth
            state[2, b] = z + (tz + tz + k1z + k4z) * sixth


@functools.cache
def _compiled() -> Advance | None:
    """Compile :func:`advance_one_by_one`, None without numba."""
    try:
        import numba  # noqa: PLC0415 - an extra, and slow to import
    except ImportError:
        return None
    build: Any = numba.njit
    try:
        return build(advance_one_by_one, cache=True)
    except RuntimeError:  # no folder that the cache could be written to
        return build(advance_one_by_one)


class _Vectors:
    """B vectors of x, y and z, as one array and as its rows.

    The views of the rows are made once: making them anew takes longer than a
    step of the integrator on few trajectories.
    """

    def __init__(self, whole: Array) -> None:
        self.whole = whole
        self.x, self.y, self.z = whole


class _ByArrays:
    """Steps by calls of numpy on B trajectories, in buffers that are made once."""

    def __init__(self, size: int) -> None:
        self._inner, *self._slopes = (_Vectors(np.empty((3, size))) for _ in range(5))
        self._work = np.empty(size)

    def advance(
        self, whole: Array, steps: int, step: float, sigma: Array, rho: Array, beta: Array
    ) -> None:
        """Take steps as :func:`advance_one_by_one` does, in the same order of operations."""
        half, full, sixth = map(np.array, (step * 0.5, step, step * (1.0 / 6.0)))
        k1, k2, k3, k4 = self._slopes
        state, constants, total = _Vectors(whole), (sigma, rho, beta), self._inner.whole
        for _ in range(steps):
            self._slope(state, constants, k1)
            self._slope(self._move(whole, k1, half), constants, k2)
            self._slope(self._move(whole, k2, half), constants, k3)
            self._slope(self._move(whole, k3, full), constants, k4)
            np.add(k2.whole, k3.whole, out=total)
            np.add(total, total, out=total)
            np.add(total, k1.whole, out=total)
            np.add(total, k4.whole, out=total)
            np.multiply(total, sixth, out=total)
            np.add(whole, total, out=whole)

    def _move(self, whole: Array, slope: _Vectors, time: Array) -> _Vectors:
        """Return the states after a time along a slope."""
        inner = self._inner.whole
        np.multiply(slope.whole, time, out=inner)
        np.add(inner, whole, out=inner)
        return self._inner

    def _slope(self, state: _Vectors, constants: tuple[Array, Array, Array], out: _Vectors) -> None:
        """Write the derivative of the states to ``out``."""
        sigma, rho, beta = constants
        np.subtract(state.y, state.x, out=out.x)
        np.multiply(out.x, sigma, out=out.x)
        np.subtract(rho, state.z, out=out.y)
        np.multiply(out.y, state.x, out=out.y)
        np.subtract(out.y, state.y, out=out.y)
        np.multiply(state.x, state.y, out=out.z)
        np.multiply(state.z, beta, out=self._work)
        np.subtract(out.z, self._work, out=out.z)


def _part(constants: tuple[Array | float, ...], rows: slice, size: int) -> tuple[Array, ...]:
    """Return the constants of some trajectories, each with shape (B,)."""
    arrays = (np.asarray(constant, dtype=float) for constant in constants)
    return tuple(
        np.array(np.broadcast_to(array[rows] if array.ndim else array, size)) for array in arrays
    )
