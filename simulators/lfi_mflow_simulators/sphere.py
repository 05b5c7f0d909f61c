r"""A Gaussian on the n-sphere in R^(n+1), whose place and width are the parameters.

The normal distribution N(mu, sigma^2 1) in R^(n+1), conditioned on |x| = 1, is
the von Mises-Fisher distribution

    p(x | phi, sigma) = C_d(kappa) exp(kappa mu . x),   kappa = 1 / sigma^2,   d = n + 1,
    C_d(kappa) = kappa^(d/2-1) / ((2 pi)^(d/2) I_(d/2-1)(kappa)),

a density with respect to the area of the sphere. Its centre moves in the plane
of the first two axes, mu = (cos phi, sin phi, 0, ...). Near the centre it is a
normal distribution of width sigma in the n directions along the sphere; unlike
a normal distribution in the polar angles it has no singularity at the poles and
an exact normalisation in every dimension.

References:
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913 (the Gaussian on a circle).
    A. T. A. Wood, Simulation of the von Mises Fisher distribution, Communications
    in Statistics 23 (1994) 157 (the sampler).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ive

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import Array, Events, Observable, Parameter

__all__ = ["Sphere"]

_NOISE = 0.1


class Sphere:
    """Simulator of events on the unit n-sphere, with its exact likelihood.

    Arguments:
        dim: Dimension n of the sphere: 1 is the circle.

    Raises:
        InputError: If ``dim`` is less than 1.
    """

    name = "sphere"
    parameters = (
        Parameter("phi", -math.pi / 2, math.pi / 2, unit="rad", latex=r"\varphi"),
        Parameter("sigma", 0.1, 1.0, latex=r"\sigma"),
    )

    def __init__(self, dim: int = 1) -> None:
        if dim < 1:
            raise InputError("a sphere of dimension 1 or more", str(dim), "give a larger dim")
        self.manifold_dim: int | None = dim
        self.observables = tuple(Observable(f"x{i}", latex=f"x_{i}") for i in range(dim + 1))

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 2)."""
        theta = np.asarray(theta, dtype=float)
        n = len(self.observables) - 1
        phi, kappa = theta[:, 0], theta[:, 1] ** -2
        cosine = _draw_cosine(kappa, n, rng)
        sine = np.sqrt((1.0 - cosine) * (1.0 + cosine))
        # A direction along the sphere at mu: the tangent in the plane of the
        # first two axes, and the other axes.
        tangent = rng.standard_normal((len(theta), n))
        tangent *= (sine / np.linalg.norm(tangent, axis=1))[:, None]
        x = np.empty((len(theta), n + 1))
        x[:, 0] = cosine * np.cos(phi) - tangent[:, 0] * np.sin(phi)
        x[:, 1] = cosine * np.sin(phi) + tangent[:, 0] * np.cos(phi)
        x[:, 2:] = tangent[:, 1:]
        return Events(theta=theta, x=x)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Exact log-density per area of the sphere, with shape (N,).

        Events off the sphere count as the point of the sphere below them.

        Arguments:
            x: Events, with shape (N, n + 1).
            theta: Parameters, with shape (N, 2); one row serves all events.
        """
        x, theta = np.asarray(x, dtype=float), np.asarray(theta, dtype=float)
        phi, kappa = theta[:, 0], theta[:, 1] ** -2
        projection = x[:, 0] * np.cos(phi) + x[:, 1] * np.sin(phi)
        cosine = projection / np.linalg.norm(x, axis=1)
        order = 0.5 * len(self.observables) - 1.0
        # ive is I times exp(-kappa): large kappa does not overflow.
        log_constant = (
            order * np.log(kappa)
            - (order + 1.0) * math.log(2.0 * math.pi)
            - np.log(ive(order, kappa))
        )
        return np.asarray(log_constant + kappa * (cosine - 1.0))

    def distance(self, x: Array) -> Array:
        """Distance to the sphere, ||x| - 1|: (N, n + 1) -> (N,)."""
        return np.asarray(np.abs(np.linalg.norm(np.asarray(x, dtype=float), axis=1) - 1.0))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise of standard deviation 0.1 to every observable, the shape kept."""
        return np.asarray(x + _NOISE * rng.standard_normal(np.shape(x)))


def _draw_cosine(kappa: Array, n: int, rng: np.random.Generator) -> Array:
    """Draw the cosine of the angle to the centre, one per kappa, by Wood's rejection.

    Its density is proportional to exp(kappa w) (1 - w^2)^(n/2-1). More than half
    of the proposals are accepted whatever kappa is.
    """
    cosine = np.empty(len(kappa))
    todo = np.arange(len(kappa))
    while len(todo) > 0:
        k = kappa[todo]
        b = n / (2.0 * k + np.sqrt(4.0 * k**2 + n**2))
        centre = (1.0 - b) / (1.0 + b)
        constant = k * centre + n * np.log1p(-(centre**2))
        beta = rng.beta(0.5 * n, 0.5 * n, len(todo))
        proposal = (1.0 - (1.0 + b) * beta) / (1.0 - (1.0 - b) * beta)
        proposal = np.clip(proposal, -1.0, 1.0)  # rounding at beta = 1
        log_ratio = k * proposal + n * np.log1p(-centre * proposal) - constant
        accepted = log_ratio >= np.log1p(-rng.random(len(todo)))
        cosine[todo[accepted]] = proposal[accepted]
        todo = todo[~accepted]
    return cosine
