"""Events near a straight line in the plane: two groups along it, a little width across."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.simulation import Events, Observable, Parameter

Array = NDArray[np.float64]

WEIGHTS = np.array([0.6, 0.4])
MEANS = np.array([-1.0, 1.2])
WIDTHS = np.array([0.5, 0.35])
"""The groups along the line: normal distributions."""


class Band:
    """Events x = (t, y): t along the line from a mixture, y across it from a normal distribution.

    The best manifold of dimension 1 is the line y = 0, up to the bends by which a
    curve can follow the width of a band.

    Arguments:
        width: Standard deviation across the line.
    """

    name = "band"
    parameters: tuple[Parameter, ...] = ()
    observables = (Observable("x"), Observable("y"))
    manifold_dim = 1

    def __init__(self, width: float = 0.2) -> None:
        self.width = width

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of theta: (N, 0) -> N events."""
        group = rng.choice(len(WEIGHTS), size=len(theta), p=WEIGHTS)
        along = MEANS[group] + WIDTHS[group] * rng.standard_normal(len(theta))
        across = self.width * rng.standard_normal(len(theta))
        return Events(theta=theta, x=np.stack([along, across], axis=1))

    def distance(self, x: Array) -> Array:
        """Distance to the line: (N, 2) -> (N,)."""
        return np.abs(x[:, 1])

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Move events off the line by normal noise of standard deviation 0.5."""
        return x + 0.5 * rng.standard_normal(x.shape)
