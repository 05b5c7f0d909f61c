r"""A von Mises distribution on a torus in R^3, whose place and width are the parameters.

The angle a around the axis and the angle b around the tube are independent,

    p(a, b | phi, sigma) = M(a - phi; kappa) M(b; kappa),   kappa = 1 / sigma^2,
    M(t; kappa) = exp(kappa cos t) / (2 pi I_0(kappa)),

and with the radii R of the axis and r of the tube the density per area of the torus is

    p(x | phi, sigma) = p(a, b | phi, sigma) / (r (R + r cos b)).

No single chart covers a torus, and none of them is conformal to a plane or a sphere
in R^3.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ive

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import Array, Events, Observable, Parameter

__all__ = ["Torus"]

_NOISE = 0.1


class Torus:
    """Simulator of events on a torus, with its exact likelihood.

    Arguments:
        axis_radius: Radius R of the circle at the middle of the tube.
        tube_radius: Radius r of the tube.

    Raises:
        InputError: If the radii are not 0 < r < R.
    """

    name = "torus"
    parameters = (
        Parameter("phi", -math.pi / 2, math.pi / 2, unit="rad", latex=r"\varphi"),
        Parameter("sigma", 0.1, 1.0, latex=r"\sigma"),
    )
    observables = tuple(Observable(name) for name in ("x", "y", "z"))
    manifold_dim: int | None = 2

    def __init__(self, axis_radius: float = 1.0, tube_radius: float = 0.4) -> None:
        if not 0.0 < tube_radius < axis_radius < math.inf:
            raise InputError(
                "0 < tube_radius < axis_radius",
                f"{tube_radius} and {axis_radius}",
                "give other radii",
            )
        self._axis, self._tube = float(axis_radius), float(tube_radius)

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 2)."""
        theta = np.asarray(theta, dtype=float)
        kappa = theta[:, 1] ** -2
        a, b = rng.vonmises(theta[:, 0], kappa), rng.vonmises(0.0, kappa)
        from_axis = self._axis + self._tube * np.cos(b)
        x = np.stack([from_axis * np.cos(a), from_axis * np.sin(a), self._tube * np.sin(b)], axis=1)
        return Events(theta=theta, x=x)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Exact log-density per area of the torus, with shape (N,).

        Events off the torus count as the point of the torus nearest to them.

        Arguments:
            x: Events, with shape (N, 3).
            theta: Parameters, with shape (N, 2); one row serves all events.
        """
        x, theta = np.asarray(x, dtype=float), np.asarray(theta, dtype=float)
        a = np.arctan2(x[:, 1], x[:, 0])
        b = np.arctan2(x[:, 2], np.hypot(x[:, 0], x[:, 1]) - self._axis)
        kappa = theta[:, 1] ** -2
        # ive is I times exp(-kappa): large kappa does not overflow.
        log_constant = -2.0 * (math.log(2.0 * math.pi) + np.log(ive(0, kappa)))
        exponent = kappa * (np.cos(a - theta[:, 0]) + np.cos(b) - 2.0)
        area = self._tube * (self._axis + self._tube * np.cos(b))
        return np.asarray(log_constant + exponent - np.log(area))

    def distance(self, x: Array) -> Array:
        """Distance to the torus: (N, 3) -> (N,)."""
        x = np.asarray(x, dtype=float)
        from_circle = np.hypot(np.hypot(x[:, 0], x[:, 1]) - self._axis, x[:, 2])
        return np.asarray(np.abs(from_circle - self._tube))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise of standard deviation 0.1 to every observable, the shape kept."""
        return np.asarray(x + _NOISE * rng.standard_normal(np.shape(x)))
