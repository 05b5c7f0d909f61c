"""Priors: independent marginals, one per parameter.

A prior is written the way one would say it, on the command line or in TOML::

    uniform(-1, 1)                              every parameter
    theta ~ uniform(-1, 1); rho ~ normal(0, 2)  one by one
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy.special import ndtr

from lfi_mflow.errors import ConfigError, InputError, UnknownNameError
from lfi_mflow.simulation.contract import Array, Parameter

__all__ = [
    "Marginal",
    "Normal",
    "Prior",
    "Uniform",
    "default_prior",
    "parse_prior",
    "prior_from_mapping",
]

_EXAMPLE = "write for example 'uniform(-1, 1)' or 'theta ~ normal(0, 2); rho ~ uniform(0, 1)'"


@dataclass(frozen=True)
class Uniform:
    """The uniform distribution on an interval.

    Arguments:
        low: Lower end.
        high: Upper end.

    Raises:
        ConfigError: If the ends are not finite and in order.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Check the ends."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                "uniform(low, high) with finite low < high", str(self), "correct the prior"
            )

    def __str__(self) -> str:
        """Write the marginal as :func:`parse_prior` reads it."""
        return f"uniform({self.low:.17g}, {self.high:.17g})"

    def sample(self, size: int, rng: np.random.Generator) -> Array:
        """Draw ``size`` values."""
        return rng.uniform(self.low, self.high, size)

    def log_prob(self, values: Array) -> Array:
        """Log-density, -inf outside the interval."""
        inside = (values >= self.low) & (values <= self.high)
        return np.where(inside, -math.log(self.high - self.low), -np.inf)

    def cdf(self, values: Array) -> Array:
        """Probability of a smaller value."""
        return np.clip((np.asarray(values) - self.low) / (self.high - self.low), 0.0, 1.0)


@dataclass(frozen=True)
class Normal:
    """The normal distribution.

    Arguments:
        mean: Mean.
        sd: Standard deviation.

    Raises:
        ConfigError: If the numbers are not finite or sd is not positive.
    """

    mean: float
    sd: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (math.isfinite(self.mean) and math.isfinite(self.sd) and self.sd > 0):
            raise ConfigError(
                "normal(mean, sd) with finite mean and sd > 0", str(self), "correct the prior"
            )

    @property
    def low(self) -> float:
        """Lower end of the support."""
        return -math.inf

    @property
    def high(self) -> float:
        """Upper end of the support."""
        return math.inf

    def __str__(self) -> str:
        """Write the marginal as :func:`parse_prior` reads it."""
        return f"normal({self.mean:.17g}, {self.sd:.17g})"

    def sample(self, size: int, rng: np.random.Generator) -> Array:
        """Draw ``size`` values."""
        return rng.normal(self.mean, self.sd, size)

    def log_prob(self, values: Array) -> Array:
        """Log-density."""
        pulls = (np.asarray(values) - self.mean) / self.sd
        return np.asarray(-0.5 * pulls**2 - math.log(self.sd) - 0.5 * math.log(2.0 * math.pi))

    def cdf(self, values: Array) -> Array:
        """Probability of a smaller value."""
        return np.asarray(ndtr((np.asarray(values) - self.mean) / self.sd))


Marginal = Uniform | Normal

_KINDS: dict[str, type[Uniform] | type[Normal]] = {"uniform": Uniform, "normal": Normal}


@dataclass(frozen=True)
class Prior:
    """A product of marginals.

    Arguments:
        marginals: One marginal per parameter, in the order of the parameters.
    """

    marginals: tuple[Marginal, ...]

    @property
    def dim(self) -> int:
        """Number p of parameters."""
        return len(self.marginals)

    @property
    def low(self) -> Array:
        """Lower ends of the support, with shape (p,); -inf where there is none."""
        return np.array([marginal.low for marginal in self.marginals], dtype=float)

    @property
    def high(self) -> Array:
        """Upper ends of the support, with shape (p,); inf where there is none."""
        return np.array([marginal.high for marginal in self.marginals], dtype=float)

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Draw ``n`` parameter points, with shape (n, p)."""
        theta = np.empty((n, self.dim))
        for column, marginal in enumerate(self.marginals):
            theta[:, column] = marginal.sample(n, rng)
        return theta

    def log_prob(self, theta: Array) -> Array:
        """Log-density of parameter points: (N, p) -> (N,); -inf outside the support."""
        theta = self._check_columns(theta)
        total = np.zeros(len(theta))
        for column, marginal in enumerate(self.marginals):
            total += marginal.log_prob(theta[:, column])
        return total

    def contains(self, theta: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Whether parameter points lie in the support: (N, p) -> (N,)."""
        theta = self._check_columns(theta)
        # Written so that NaN is outside.
        inside = np.isfinite(theta) & (theta >= self.low) & (theta <= self.high)
        return np.asarray(inside.all(axis=1))

    def to_table(self) -> list[dict[str, Any]]:
        """Return plain values for JSON, read back by :meth:`from_table`."""
        names = {kind: name for name, kind in _KINDS.items()}
        return [
            {"kind": names[type(marginal)]}
            | {field.name: getattr(marginal, field.name) for field in fields(marginal)}
            for marginal in self.marginals
        ]

    @classmethod
    def from_table(cls, table: Sequence[Mapping[str, Any]]) -> Prior:
        """Build a prior from what :meth:`to_table` returned.

        Raises:
            ConfigError: If the table is of another form.
        """
        marginals = []
        for row in table:
            values = dict(row)
            kind = _kind(str(values.pop("kind", "")))
            names = {field.name for field in fields(kind)}
            if set(values) != names:
                raise ConfigError(f"the keys {sorted(names)}", f"{sorted(values)}", "mend the file")
            marginals.append(kind(**{name: float(value) for name, value in values.items()}))
        return cls(tuple(marginals))

    def describe(self, names: Sequence[str]) -> str:
        """Write the prior as :func:`parse_prior` reads it.

        Arguments:
            names: Names of the parameters.
        """
        pairs = zip(names, self.marginals, strict=True)
        return "; ".join(f"{name} ~ {marginal}" for name, marginal in pairs)

    def _check_columns(self, theta: Array) -> Array:
        """Return theta as an array with shape (N, p)."""
        theta = np.asarray(theta, dtype=float)
        if theta.ndim != 2 or theta.shape[1] != self.dim:
            raise InputError(
                f"theta of shape (N, {self.dim})", f"shape {theta.shape}", "one column a parameter"
            )
        return theta


def default_prior(parameters: Sequence[Parameter]) -> Prior:
    """Return the uniform prior over the bounds of the parameters.

    Raises:
        ConfigError: If a parameter has no finite bounds.
    """
    for parameter in parameters:
        if not (math.isfinite(parameter.low) and math.isfinite(parameter.high)):
            raise ConfigError(
                f"a prior for the unbounded parameter {parameter.name!r}",
                "none",
                f"give one, such as --prior '{parameter.name} ~ normal(0, 1)'",
            )
    return Prior(tuple(Uniform(parameter.low, parameter.high) for parameter in parameters))


def parse_prior(text: str, parameters: Sequence[Parameter]) -> Prior:
    """Read a prior from text.

    Arguments:
        text: One marginal for all parameters, or ``name ~ marginal`` for each,
            separated by semicolons; a marginal is ``uniform(low, high)`` or
            ``normal(mean, sd)``.
        parameters: The parameters, whose order the prior takes.

    Raises:
        ConfigError: If the text cannot be read, or a parameter is missing or
            given twice.
        UnknownNameError: If a parameter or a distribution does not exist.
        InputError: If the prior reaches beyond the bounds of a parameter.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    if len(parts) == 1 and "~" not in parts[0]:
        return prior_from_mapping(
            {parameter.name: parts[0] for parameter in parameters}, parameters
        )
    marginals: dict[str, str] = {}
    for part in parts:
        name, tilde, marginal = (piece.strip() for piece in part.partition("~"))
        if not tilde:
            raise ConfigError("a prior 'name ~ distribution'", repr(part), _EXAMPLE)
        if name in marginals:
            raise ConfigError(f"one prior for {name!r}", "two", "remove one")
        marginals[name] = marginal
    return prior_from_mapping(marginals, parameters)


def prior_from_mapping(marginals: Mapping[str, str], parameters: Sequence[Parameter]) -> Prior:
    """Build a prior from a table such as ``{"theta": "uniform(-1, 1)"}``.

    Raises:
        ConfigError: If a marginal cannot be read or a parameter is missing.
        UnknownNameError: If a parameter or a distribution does not exist.
        InputError: If the prior reaches beyond the bounds of a parameter.
    """
    names = [parameter.name for parameter in parameters]
    for name in marginals:
        if name not in names:
            raise UnknownNameError("parameter", name, names)
    missing = [name for name in names if name not in marginals]
    if missing:
        raise ConfigError("a prior for every parameter", f"none for {missing}", _EXAMPLE)
    prior = Prior(tuple(_parse_marginal(marginals[name]) for name in names))
    check_support(prior, parameters)
    return prior


def check_support(prior: Prior, parameters: Sequence[Parameter]) -> None:
    """Fail if a prior does not fit the parameters.

    Raises:
        InputError: If it has another number of parameters or is wider than the
            bounds of one.
    """
    if prior.dim != len(parameters):
        raise InputError(
            f"a prior for {len(parameters)} parameters", f"one for {prior.dim}", _EXAMPLE
        )
    for parameter, marginal in zip(parameters, prior.marginals, strict=True):
        if marginal.low < parameter.low or marginal.high > parameter.high:
            raise InputError(
                f"a prior for {parameter.name!r} within [{parameter.low:g}, {parameter.high:g}]",
                str(marginal),
                "choose a narrower one",
            )


def _parse_marginal(text: str) -> Marginal:
    """Read one marginal, such as ``uniform(-1, 1)``."""
    match = re.fullmatch(r"\s*(\w+)\s*\(([^(),]+),([^(),]+)\)\s*", str(text))
    if match is None:
        raise ConfigError("a distribution with two numbers", repr(text), _EXAMPLE)
    kind = _kind(match[1])
    try:
        first, second = float(match[2]), float(match[3])
    except ValueError as error:
        raise ConfigError("two numbers in a distribution", repr(text), _EXAMPLE) from error
    return kind(first, second)


def _kind(name: str) -> type[Uniform] | type[Normal]:
    """Return the marginal of a name."""
    if name not in _KINDS:
        raise UnknownNameError("distribution", name, _KINDS)
    return _KINDS[name]
