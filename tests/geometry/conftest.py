"""Manifolds of known dimension."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def manifold() -> Callable[..., NDArray[np.float64]]:
    """A function that draws points of a manifold of dimension n in R^d."""

    def draw(kind, n, d, size, seed=0):
        rng = np.random.default_rng(seed)
        if kind == "linear":
            return rng.standard_normal((size, n)) @ rng.standard_normal((n, d))
        if kind == "sphere":
            inner = rng.standard_normal((size, n + 1))
            inner /= np.linalg.norm(inner, axis=1, keepdims=True)
        elif kind == "torus":
            angle = rng.uniform(0, 2 * np.pi, (size, n))
            inner = np.concatenate([np.cos(angle), np.sin(angle)], axis=1)
        else:
            u = rng.uniform(-1, 1, (size, n))
            inner = np.concatenate([u, np.sin(u @ rng.standard_normal((n, n + 2)))], axis=1)
        axes, _ = np.linalg.qr(rng.standard_normal((d, inner.shape[1])))
        return inner @ axes.T

    return draw
