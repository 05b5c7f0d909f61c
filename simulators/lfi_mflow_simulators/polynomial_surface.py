r"""A mixture of Gaussians on a polynomial surface in three dimensions.

The latent point z in R^2 follows

    p(z | theta) = 0.6 N(z; (1, -1), 2^2) + 0.4 N(z; (-1, 1), s(theta)^2),
    s(theta) = 0.2 + 0.8 (0.5 + 0.5 theta),

and is lifted to the surface

    x = R (z0, z1, f(z)),   f(z) = exp(-0.1 |z|^2) sum_k a_k m_k(z),

with a rotation R and all monomials m_k of degree <= 5. The exact density with
respect to the area of the surface is p(z | theta) / sqrt(1 + |grad f|^2).

References:
    J. Brehmer and K. Cranmer, Flows for simultaneous manifold learning and
    density estimation, 2020, arXiv:2003.13913, section 4.B.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import InputError
from lfi_mflow.simulation import Array, Events, Observable, Parameter

__all__ = ["PolynomialSurface"]

_DEGREE = 5
_DAMPING = 0.1
_BROAD_FRACTION = 0.6
_BROAD_SD = 2.0
_NOISE = 0.1
# Beyond this |z| the surface is flat to the last bit, and no power overflows.
_FAR = 100.0
# Rows worked on at a time: the dozen arrays of a block stay in the cache. Part
# of what a seed means, because the draws of a block follow each other.
_BLOCK = 8192

# The draw of the published study, in the order of the monomials.
_PAPER_COEFFICIENTS = (
    *(-1.21685866, 1.52221851, -1.21371848, 0.0565082878, -0.0238915801, -0.0466790086),
    *(-0.0556848662, -0.00767494636, -0.0571792899, -0.0516948423, 0.0137135698),
    *(0.000195783210, -0.00708568474, -0.00662611590, 0.00333050257, -0.00832319399),
    *(-0.0109518626, 0.00408106786, -0.00464777968, -0.00880600820, 0.0121157044),
)
_PAPER_ROTATION = (
    (0.973887216, -0.226860567, -0.00883026976),
    (0.227031938, 0.973073894, 0.0397956792),
    (-0.000435565375, -0.0407612565, 0.999168820),
)

_Rows = tuple[tuple[float, ...], ...]


class PolynomialSurface:
    """Simulator of events on a polynomial surface, with its exact likelihood.

    Arguments:
        seed: None is the surface of the published study; a number draws another
            one: a_k ~ N(0, 1) max(degree, 1)^-3 and a random rotation.
        score: Store the joint score of each event, d/dtheta log p(z, c | theta)
            with the mixture component c that z was drawn from. The events of a
            seed are the same with and without.
        reference: Store the joint log-ratio log p(z, c | theta) / p(z, c | reference)
            of each event, and its joint score. Of the narrow component the ratio
            is bounded from below only where theta is not below the reference: -1
            is the one to estimate ratios with.

    Attributes:
        rotation: The matrix R, with shape (3, 3).
        coefficients: Coefficient of z0^i z1^j at [i, j], with shape (6, 6).
        joint_reference: The reference, if there is one.

    Raises:
        InputError: If the seed is negative, or the reference is not from -1 to 1.
    """

    name = "polynomial-surface"
    parameters = (Parameter("theta", -1.0, 1.0, latex=r"\theta"),)
    observables = tuple(Observable(f"x{i}", latex=f"x_{i}") for i in range(3))
    manifold_dim = 2

    joint_reference: tuple[float]

    def __init__(
        self, seed: int | None = None, *, score: bool = False, reference: float | None = None
    ) -> None:
        if seed is None:
            flat, rotation = np.array(_PAPER_COEFFICIENTS), np.array(_PAPER_ROTATION)
        elif seed < 0:
            raise InputError("a surface seed >= 0", str(seed), "choose another seed")
        else:
            flat, rotation = _draw_surface(np.random.default_rng(seed))
        if reference is not None:
            if not -1.0 <= reference <= 1.0:
                raise InputError("a reference theta from -1 to 1", str(reference), "correct it")
            self.joint_reference = (float(reference),)
        self._reference = reference
        self._store_score = score or reference is not None
        self.rotation = _nearest_orthogonal(rotation)
        self.coefficients = np.zeros((_DEGREE + 1, _DEGREE + 1))
        for (i, j), value in zip(monomials(), flat, strict=True):
            self.coefficients[i, j] = value
        powers = np.arange(1.0, _DEGREE + 1)
        self._height_rows = _rows(self.coefficients)
        self._slope_rows = (
            _rows(self.coefficients[1:, :-1] * powers[:, None]),
            _rows(self.coefficients[:-1, 1:] * powers),
        )

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """Simulate one event per row of ``theta``, with shape (N, 1)."""
        theta = np.asarray(theta, dtype=float)
        x = np.empty((len(theta), 3))
        score = np.empty((len(theta), 1)) if self._store_score else None
        log_ratio = None if self._reference is None else np.empty(len(theta))
        for rows in _blocks(len(theta)):
            z0, z1, broad = _draw_latent(theta[rows, 0], rng)
            if score is not None:
                narrow = _narrow_score(z0, z1, _narrow_sd(theta[rows, 0]))
                score[rows, 0] = np.where(broad, 0.0, narrow)
            if log_ratio is not None:
                narrow = self._narrow_log_ratio(z0, z1, theta[rows, 0])
                log_ratio[rows] = np.where(broad, 0.0, narrow)
            self._lift(z0, z1, out=x[rows])
        return Events(theta=theta, x=x, score=score, log_ratio=log_ratio)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Exact log-density per area of the surface, with shape (N,).

        Events off the surface count as the point of the surface above or below
        them, in the direction of the third axis before the rotation.

        Arguments:
            x: Events, with shape (N, 3).
            theta: Parameters, with shape (N, 1); one row serves all events.
        """
        z0, z1, _ = self._unrotate(x)
        broad, narrow = _log_components(z0, z1, _narrow_sd(np.asarray(theta, dtype=float)[:, 0]))
        slope0, slope1 = self._gradient(z0, z1)
        return np.logaddexp(broad, narrow) - 0.5 * np.log1p(slope0**2 + slope1**2)

    def _narrow_log_ratio(self, z0: Array, z1: Array, theta: Array) -> Array:
        """Log-ratio of the second component at theta and at the reference, (B,) -> (B,)."""
        above, below = (
            _log_normal(z0 + 1.0, z1 - 1.0, _narrow_sd(values))
            for values in (theta, np.array(self.joint_reference))
        )
        return above - below

    def log_prob_gradient(self, x: Array, theta: Array) -> Array:
        """Exact score d/dtheta log p(x | theta), with shape (N, 1).

        It is the mean of the joint score over the component that x came from.

        Arguments:
            x: Events, with shape (N, 3); off the surface as for :meth:`log_prob`.
            theta: Parameters, with shape (N, 1); one row serves all events.
        """
        z0, z1, _ = self._unrotate(x)
        sd = _narrow_sd(np.asarray(theta, dtype=float)[:, 0])
        broad, narrow = _log_components(z0, z1, sd)
        fraction = np.exp(narrow - np.logaddexp(broad, narrow))
        return np.asarray(fraction * _narrow_score(z0, z1, sd))[:, None]

    def distance(self, x: Array) -> Array:
        """Distance |y2 - f(y0, y1)| to the surface, y = R^T x: (N, 3) -> (N,).

        This is the published metric: along the third axis, not to the nearest
        point of the surface, and not clipped.
        """
        z0, z1, height = self._unrotate(x)
        return np.abs(height - self._height(z0, z1))

    def perturb(self, x: Array, rng: np.random.Generator) -> Array:
        """Add normal noise of standard deviation 0.1 to every observable: (N, 3) -> (N, 3)."""
        return np.asarray(x + _NOISE * rng.standard_normal(np.shape(x)))

    def surface(self, z: Array) -> Array:
        """Points of the surface: (N, 2) -> (N, 3)."""
        z = np.asarray(z, dtype=float)
        x = np.empty((len(z), 3))
        for rows in _blocks(len(z)):
            self._lift(z[rows, 0].copy(), z[rows, 1].copy(), out=x[rows])
        return x

    def height(self, z: Array) -> Array:
        """Height f(z) of the surface: (N, 2) -> (N,)."""
        z = np.asarray(z, dtype=float)
        return self._height(z[:, 0], z[:, 1])

    def _lift(self, z0: Array, z1: Array, out: Array) -> None:
        """Write the surface points of one block of latents to ``out``, with shape (B, 3)."""
        height = _damping(z0, z1)
        height *= _horner(self._height_rows, z0, z1)
        # Written out: a matrix product would not give the same bits on every machine.
        for row in range(3):
            r0, r1, r2 = self.rotation[row]
            point = r0 * z0
            point += r1 * z1
            np.add(point, r2 * height, out=out[:, row])

    def _unrotate(self, x: Array) -> tuple[Array, Array, Array]:
        """Return the coordinates y = R^T x, each with shape (N,)."""
        y0, y1, y2 = self.rotation.T @ np.asarray(x, dtype=float).T
        return y0, y1, y2

    def _height(self, z0: Array, z1: Array) -> Array:
        """Height of the surface, block by block; far away it is zero."""
        height = np.empty(len(z0))
        for rows in _blocks(len(z0)):
            near0, near1 = np.clip(z0[rows], -_FAR, _FAR), np.clip(z1[rows], -_FAR, _FAR)
            np.multiply(
                _damping(near0, near1),
                _horner(self._height_rows, near0, near1),
                out=height[rows],
            )
        return height

    def _gradient(self, z0: Array, z1: Array) -> tuple[Array, Array]:
        """Gradient of the height, two arrays of shape (N,)."""
        near0, near1 = np.clip(z0, -_FAR, _FAR), np.clip(z1, -_FAR, _FAR)
        damping = _damping(near0, near1)
        bend = 2.0 * _DAMPING * _horner(self._height_rows, near0, near1)
        slope0 = damping * (_horner(self._slope_rows[0], near0, near1) - bend * near0)
        slope1 = damping * (_horner(self._slope_rows[1], near0, near1) - bend * near1)
        return slope0, slope1


def monomials() -> list[tuple[int, int]]:
    """Exponents (i, j) of z0^i z1^j in the order of scikit-learn's ``PolynomialFeatures``."""
    return [(degree - j, j) for degree in range(_DEGREE + 1) for j in range(degree + 1)]


def _draw_surface(rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the coefficients, with shape (21,), and the rotation of another surface."""
    degrees = np.array([i + j for i, j in monomials()])
    flat = rng.standard_normal(len(degrees)) * np.maximum(degrees, 1.0) ** -3
    q, r = np.linalg.qr(rng.standard_normal((3, 3)))
    # The signs make the draw uniform over rotations and reflections; the
    # determinant then selects the rotations.
    q *= np.sign(np.diag(r))
    return flat, q * np.sign(np.linalg.det(q))


def _nearest_orthogonal(matrix: Array) -> Array:
    """Mend the rounding of a rotation that was printed with nine digits."""
    u, _, vh = np.linalg.svd(matrix)
    return np.asarray(u @ vh)


def _blocks(n: int) -> Iterator[slice]:
    """Cut n rows into blocks that fit the cache."""
    return (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))


def _narrow_sd(theta: Array) -> Array:
    """Width s(theta) of the second component."""
    return 0.2 + 0.8 * (0.5 + 0.5 * theta)


def _narrow_score(z0: Array, z1: Array, sd: Array) -> Array:
    """Derivative by theta of the log-density of the second component: ds/dtheta = 0.4."""
    squares = (z0 + 1.0) ** 2 + (z1 - 1.0) ** 2
    return np.asarray(0.4 * (squares / sd**2 - 2.0) / sd)


def _log_components(z0: Array, z1: Array, sd: Array) -> tuple[Array, Array]:
    """Log-densities of both components at z, with their fractions."""
    broad = math.log(_BROAD_FRACTION) + _log_normal(z0 - 1.0, z1 + 1.0, _BROAD_SD)
    narrow = math.log1p(-_BROAD_FRACTION) + _log_normal(z0 + 1.0, z1 - 1.0, sd)
    return broad, narrow


def _draw_latent(theta: Array, rng: np.random.Generator) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Draw a block of latents z, and which of them are of the broad component."""
    broad = rng.random(len(theta)) < _BROAD_FRACTION
    sd = np.where(broad, _BROAD_SD, _narrow_sd(theta))
    # The components sit at (1, -1) and (-1, 1): one sign gives both means.
    mean = np.where(broad, 1.0, -1.0)
    z0 = rng.standard_normal(len(theta))
    z0 *= sd
    z0 += mean
    z1 = rng.standard_normal(len(theta))
    z1 *= sd
    z1 -= mean
    return z0, z1, broad


def _log_normal(delta0: Array, delta1: Array, sd: Array | float) -> Array:
    """Log-density of the isotropic normal distribution in two dimensions."""
    squares = delta0**2 + delta1**2
    return np.asarray(-0.5 * squares / np.square(sd) - 2.0 * np.log(sd) - math.log(2.0 * math.pi))


def _damping(z0: Array, z1: Array) -> Array:
    """Return the factor exp(-0.1 |z|^2)."""
    exponent = z0 * z0
    exponent += z1 * z1
    exponent *= -_DAMPING
    return np.asarray(np.exp(exponent, out=exponent))


def _rows(coefficients: Array) -> _Rows:
    """Cut the coefficients c_ij of z0^i z1^j to those of the triangle i + j <= degree."""
    size = len(coefficients)
    return tuple(tuple(row[: size - i].tolist()) for i, row in enumerate(coefficients))


def _horner(rows: _Rows, z0: Array, z1: Array) -> Array:
    """Evaluate sum_ij c_ij z0^i z1^j by Horner's rule in both variables, (B,) -> (B,)."""
    value = _horner_one(rows[-1], z1)
    for row in rows[-2::-1]:
        value *= z0
        value += _horner_one(row, z1)
    return value


def _horner_one(coefficients: tuple[float, ...], z: Array) -> Array:
    """Evaluate a polynomial in one variable, in place after the first step."""
    value = np.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        value *= z
        value += coefficient
    return value
