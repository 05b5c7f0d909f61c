"""Manifolds of known dimension n in R^d.

Each is a function ``(n, size, rng) -> (size, m)`` that draws points in the fewest
dimensions m that hold the manifold; :func:`draw` turns them in R^d.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def linear(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw from a normal distribution on a plane."""
    return rng.standard_normal((size, n))


def sphere(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw uniformly from the unit n-sphere."""
    x = rng.standard_normal((size, n + 1))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


def torus(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw uniformly from a product of n circles."""
    angle = rng.uniform(0.0, 2.0 * np.pi, (size, n))
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def waves(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw uniformly from a cube with n + 2 random waves on it, whose phase varies by 0.6 rad."""
    return _waves(n, size, rng, 1.0)


def ripples(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw from waves that are half as long."""
    return _waves(n, size, rng, 2.0)


def _waves(n: int, size: int, rng: np.random.Generator, number: float) -> Array:
    """Draw from waves of a wave number."""
    u = rng.uniform(-1.0, 1.0, (size, n))
    direction = number * rng.standard_normal((n, n + 2)) / np.sqrt(n)
    return np.concatenate([u, np.sin(u @ direction)], axis=1)


def paraboloid(n: int, size: int, rng: np.random.Generator) -> Array:
    """Draw from a paraboloid, denser at its tip."""
    u = rng.standard_normal((size, n))
    return np.concatenate([u, 0.5 * (u**2).sum(axis=1, keepdims=True) / n], axis=1)


MANIFOLDS: Mapping[str, Callable[[int, int, np.random.Generator], Array]] = {
    "linear": linear,
    "sphere": sphere,
    "torus": torus,
    "waves": waves,
    "ripples": ripples,
    "paraboloid": paraboloid,
}


def draw(name: str, n: int, d: int, size: int, seed: int) -> Array:
    """Draw points of a manifold in R^d: -> (size, d).

    Arguments:
        name: A key of ``MANIFOLDS``.
        n: Dimension of the manifold.
        d: Dimension of the space.
        size: Number of points.
        seed: Seed of points and of the directions in space.
    """
    rng = np.random.default_rng(seed)
    inner = MANIFOLDS[name](n, size, rng)
    axes, _ = np.linalg.qr(rng.standard_normal((d, inner.shape[1])))
    return np.asarray(inner @ axes.T)
