r"""Five tasks of the sbibm benchmark as simulators, and exact samplers of four posteriors.

Written from the published definitions; each task has one event per data set. A task is
a simulator with its exact ``log_prob``, and beside the contract it has

- ``prior``: the prior of the benchmark;
- ``published(theta)``: parameters as the benchmark writes them, (N, p) -> (N, p).

The exact samplers draw independently, by algebra and rejection: they share nothing
with the samplers that are tested with them.

References:
    Benchmarking simulation-based inference (Lueckmann et al., 2021),
    https://arxiv.org/abs/2101.04653, appendix T
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
from scipy.stats import invwishart

from lfi_mflow.simulation import Array, Events, Normal, Observable, Parameter, Prior, Uniform

__all__ = [
    "SLCP",
    "TASKS",
    "BernoulliGLM",
    "GaussianLinear",
    "GaussianLinearUniform",
    "TwoMoons",
]

_LOG_2PI = math.log(2.0 * math.pi)
_BLOCK = 20_000  # proposals of a rejection sampler at a time
_MAX_BLOCKS = 10_000


class _Task:
    """What tasks have in common."""

    name: str
    prior: Prior
    observables: tuple[Observable, ...]
    manifold_dim: int | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters, with the bounds of the prior."""
        bounds = zip(self.prior.low, self.prior.high, strict=True)
        return tuple(
            Parameter(f"theta{index}", low, high) for index, (low, high) in enumerate(bounds, 1)
        )

    def published(self, theta: Array) -> Array:
        """Parameters as the benchmark writes them: (N, p) -> (N, p)."""
        return theta


def _observables(d: int) -> tuple[Observable, ...]:
    """Return d observables without a name of their own."""
    return tuple(Observable(f"x{index}") for index in range(1, d + 1))


class TwoMoons(_Task):
    """A thin crescent that theta shifts; |theta1 + theta2| gives a posterior of two of them."""

    name = "two_moons"
    prior = Prior((Uniform(-1.0, 1.0),) * 2)
    observables = _observables(2)

    _RADIUS, _RADIUS_SD, _OFFSET = 0.1, 0.01, 0.25

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """One event per row: (N, 2) -> N events."""
        return Events(theta=theta, x=self._crescent(len(theta), rng) + self._shift(theta))

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-density; -inf where the event is on the wrong side of the crescent."""
        p = x - self._shift(theta) - (self._OFFSET, 0.0)
        r = np.maximum(np.hypot(p[:, 0], p[:, 1]), np.finfo(float).tiny)
        radial = -0.5 * ((r - self._RADIUS) / self._RADIUS_SD) ** 2 - math.log(self._RADIUS_SD)
        density = radial - 0.5 * _LOG_2PI - math.log(math.pi) - np.log(r)
        return np.where(p[:, 0] > 0.0, density, -np.inf)

    def sample_exactly(self, x: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw from the posterior of one event: (2,) -> (n, 2).

        theta -> shift is an isometry on either side of theta1 + theta2 = 0, so the
        shift has the density of x minus a crescent, where there is such a theta.
        """

        def propose(size: int) -> Array:
            shift = x - self._crescent(size, rng)
            total = rng.choice((-1.0, 1.0), size) * shift[:, 0] * math.sqrt(2.0)
            difference = shift[:, 1] * math.sqrt(2.0)
            theta = np.stack([total - difference, total + difference], axis=1) / 2.0
            return theta[shift[:, 0] <= 0.0]

        return _accepted(propose, self.prior, n)

    def _crescent(self, size: int, rng: np.random.Generator) -> Array:
        """Draw what theta shifts, with shape (size, 2)."""
        angle = rng.uniform(-0.5 * math.pi, 0.5 * math.pi, size)
        radius = rng.normal(self._RADIUS, self._RADIUS_SD, size)
        return np.stack([radius * np.cos(angle) + self._OFFSET, radius * np.sin(angle)], axis=1)

    @staticmethod
    def _shift(theta: Array) -> Array:
        """What theta adds: (N, 2) -> (N, 2)."""
        total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
        return np.stack([-np.abs(total), difference], axis=1) / math.sqrt(2.0)


class SLCP(_Task):
    """Simple likelihood, complex posterior: four points of a normal, whose squares hide signs."""

    name = "slcp"
    prior = Prior((Uniform(-3.0, 3.0),) * 5)
    observables = _observables(8)

    _POINTS = 4

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """One event per row: (N, 5) -> N events with four points each."""
        theta = np.asarray(theta, dtype=float)
        s1, s2, rho, root = self._spread(theta)
        noise = rng.standard_normal((len(theta), self._POINTS, 2))
        first = theta[:, 0, None] + s1[:, None] * noise[..., 0]
        mixed = rho[:, None] * noise[..., 0] + root[:, None] * noise[..., 1]
        second = theta[:, 1, None] + s2[:, None] * mixed
        return Events(theta=theta, x=np.stack([first, second], axis=2).reshape(len(theta), -1))

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-density of the four points, with shape (N,)."""
        s1, s2, rho, root = self._spread(theta)
        points = x.reshape(len(x), self._POINTS, 2) - theta[:, None, :2]
        first = points[..., 0] / s1[:, None]
        second = (points[..., 1] / s2[:, None] - rho[:, None] * first) / root[:, None]
        squares = (first**2 + second**2).sum(axis=1)
        return -0.5 * squares - self._POINTS * (np.log(s1 * s2 * root) + _LOG_2PI)

    def sample_exactly(self, x: Array, n: int, rng: np.random.Generator) -> Array:
        r"""Draw from the posterior of one event: (8,) -> (n, 5).

        Given the covariance C the mean is N(x_mean, C / 4). With the mean integrated out
        and d theta3 d theta4 d theta5 = dC |C|^(-5/4) (1 - rho^2)^(1/4) / 16 (each sign of
        theta3 and theta4), C has the density of an inverse Wishart distribution with 5/2
        degrees of freedom and the scatter of the points as scale, times
        (1 - rho^2)^(1/4): accept with that probability, and only what the prior holds.
        """
        points = x.reshape(self._POINTS, 2)
        mean = points.mean(axis=0)
        scatter = (points - mean).T @ (points - mean)

        def propose(size: int) -> Array:
            spread = invwishart(2.5, scatter).rvs(size, random_state=rng)
            s1, s2 = np.sqrt(spread[:, 0, 0]), np.sqrt(spread[:, 1, 1])
            rho = spread[:, 0, 1] / (s1 * s2)
            chance = np.maximum(1.0 - rho**2, 0.0)
            kept = rng.random(size) ** 4 < chance
            spread, s1, s2, rho = spread[kept], s1[kept], s2[kept], rho[kept]
            noise = rng.standard_normal((len(s1), 2))
            first = mean[0] + 0.5 * s1 * noise[:, 0]
            mixed = rho * noise[:, 0] + np.sqrt(1.0 - rho**2) * noise[:, 1]
            second = mean[1] + 0.5 * s2 * mixed
            signs = rng.choice((-1.0, 1.0), (2, len(s1)))
            columns = (first, second, *(signs * np.sqrt((s1, s2))), np.arctanh(rho))
            return np.stack(columns, axis=1)

        return _accepted(propose, self.prior, n)

    @staticmethod
    def _spread(theta: Array) -> tuple[Array, Array, Array, Array]:
        """Standard deviations, correlation rho and sqrt(1 - rho^2), each with shape (N,)."""
        s1, s2 = np.square(theta[:, 2]), np.square(theta[:, 3])
        # A theta that is exactly zero has probability zero, but no density.
        tiny = np.finfo(float).tiny ** 0.25
        rho, root = np.tanh(theta[:, 4]), 1.0 / np.cosh(theta[:, 4])
        return np.maximum(s1, tiny), np.maximum(s2, tiny), rho, root


class GaussianLinear(_Task):
    """The mean of a normal in ten dimensions, with a normal prior."""

    name = "gaussian_linear"
    prior: Prior = Prior((Normal(0.0, math.sqrt(0.1)),) * 10)
    observables = _observables(10)

    _VARIANCE = 0.1

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """One event per row: (N, 10) -> N events."""
        noise = rng.standard_normal(np.shape(theta))
        return Events(theta=theta, x=theta + math.sqrt(self._VARIANCE) * noise)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-density, with shape (N,)."""
        squares = np.square(x - theta).sum(axis=1) / self._VARIANCE
        return -0.5 * squares - 5.0 * (_LOG_2PI + math.log(self._VARIANCE))

    def sample_exactly(self, x: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw from the posterior of one event: (10,) -> (n, 10)."""
        return rng.normal(0.5 * x, math.sqrt(0.5 * self._VARIANCE), (n, len(x)))


class GaussianLinearUniform(GaussianLinear):
    """The mean of a normal in ten dimensions, with a uniform prior."""

    name = "gaussian_linear_uniform"
    prior = Prior((Uniform(-1.0, 1.0),) * 10)

    def sample_exactly(self, x: Array, n: int, rng: np.random.Generator) -> Array:
        """Draw from the posterior of one event: (10,) -> (n, 10), column by column."""
        columns = []
        for value, marginal in zip(x, self.prior.marginals, strict=True):

            def propose(size: int, value: float = float(value)) -> Array:
                return rng.normal(value, math.sqrt(self._VARIANCE), (size, 1))

            columns.append(_accepted(propose, Prior((marginal,)), n))
        return np.concatenate(columns, axis=1)


class BernoulliGLM(_Task):
    r"""Spikes of a neuron in 100 bins; x are the ten sufficient statistics.

    A spike in bin t has probability sigmoid((V theta)_t), with theta the offset and a filter
    of nine lags of a fixed white-noise stimulus; x = V^T y. The prior of the benchmark
    is a correlated normal: here the parameters are its independent unit normals eta,
    theta = L^-T eta with L L^T its precision, and ``published`` returns theta.
    """

    name = "bernoulli_glm"
    prior = Prior((Normal(0.0, 1.0),) * 10)
    observables = _observables(10)

    _BINS, _LAGS, _STIMULUS = 100, 9, 42

    @cached_property
    def design(self) -> Array:
        """The matrix V: a column of ones, and the stimulus at each lag, (100, 10)."""
        # the generator and seed that the benchmark froze its stimulus with
        stimulus = np.random.RandomState(self._STIMULUS).standard_normal(self._BINS)
        lags = [np.append(np.zeros(lag), stimulus)[: self._BINS] for lag in range(self._LAGS)]
        return np.stack([np.ones(self._BINS), *lags], axis=1)

    @cached_property
    def root(self) -> Array:
        """L^-T, which turns independent normals into draws of the prior, (10, 10).

        The precision of the filter is F^T F: second differences, and more damping the
        longer the lag; the offset has variance 2.
        """
        m = self._LAGS
        difference = np.eye(m) - np.eye(m, k=-1)
        smooth = difference @ difference + np.diag(np.sqrt(np.arange(m) / m))
        precision = np.zeros((m + 1, m + 1))
        precision[0, 0] = 0.5
        precision[1:, 1:] = smooth.T @ smooth
        return np.linalg.inv(np.linalg.cholesky(precision)).T

    def published(self, theta: Array) -> Array:
        """Offset and filter: (N, 10) -> (N, 10)."""
        return theta @ self.root.T

    def simulate(self, theta: Array, rng: np.random.Generator) -> Events:
        """One event per row: (N, 10) -> N events."""
        odds = self.published(theta) @ self.design.T
        spikes = rng.random(odds.shape) < 1.0 / (1.0 + np.exp(-odds))
        return Events(theta=theta, x=spikes @ self.design)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """Log-probability but for the number of spike trains with these x, which has no theta."""
        natural = self.published(theta)
        total = np.logaddexp(0.0, natural @ self.design.T).sum(axis=1)
        return (x * natural).sum(axis=1) - total


TASKS = {
    task.name: task
    for task in (TwoMoons(), SLCP(), GaussianLinear(), GaussianLinearUniform(), BernoulliGLM())
}
"""The tasks by their names in the benchmark."""


def _accepted(propose, prior: Prior, n: int) -> Array:
    """Call ``propose`` until the prior holds n of its draws."""
    kept, count = [], 0
    for _ in range(_MAX_BLOCKS):
        theta = propose(_BLOCK)
        kept.append(theta[prior.contains(theta)])
        count += len(kept[-1])
        if count >= n:
            return np.concatenate(kept)[:n]
    raise RuntimeError(f"expected {n} draws inside the prior, found {count}; is x an event?")
