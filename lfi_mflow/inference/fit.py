"""Maximum likelihood by iminuit, from many starting points.

Likelihoods of effective field theories are quadratic in the couplings inside a
logarithm, and often have two maxima. So points that fill the range evenly are
evaluated in one batch, the best points that are apart from each other become starting
points, and the highest maximum wins. Where the likelihood can be differentiated, Minuit
gets its gradient.

References:
    | Minuit: a system for function minimization and analysis of the parameter errors
      and correlations (James and Roos, 1975)
    | iminuit (Dembinski, Ongmongkolkul et al.), https://doi.org/10.5281/zenodo.3949207
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lfi_mflow.data.optional import require
from lfi_mflow.errors import InputError
from lfi_mflow.inference.likelihood import LogPosterior
from lfi_mflow.simulation import Array

__all__ = ["Maximum", "MinosInterval", "maximise"]

_SAMPLE = 2**6
_STARTS = 4
_APART = 0.15  # of the range of each parameter
_NOWHERE = 1e12  # for a likelihood of zero, which Minuit must leave


@dataclass(frozen=True)
class MinosInterval:
    """An interval of one parameter, the others profiled.

    Arguments:
        low: Lower end; None if the likelihood does not fall far enough inside the range.
        high: Upper end, or None.
    """

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Maximum:
    """A maximum of a likelihood.

    Arguments:
        theta: Where it is, with shape (p,).
        log_likelihood: Its value.
        covariance: Inverse of the matrix of second derivatives, with shape (p, p), NaN
            where there is none.
        valid: Whether Minuit trusts it.
        at_limit: Whether each parameter is at an end of its range, with shape (p,).
        evaluations: Calls of the likelihood, for all starting points together.
        minuit: The fit itself, of parameters called x0, x1 and so on.
    """

    theta: Array
    log_likelihood: float
    covariance: Array
    valid: bool
    at_limit: tuple[bool, ...]
    evaluations: int
    minuit: Any

    def minos(self, parameter: int, level: float) -> MinosInterval:
        """Return the MINOS interval of a parameter (index) at a confidence level."""
        name = f"x{parameter}"
        if self.at_limit[parameter] or not self.valid:
            return MinosInterval(None, None)
        with redirect_stdout(sys.stderr):
            self.minuit.minos(name, cl=level)
        error = self.minuit.merrors[name]
        centre = float(self.theta[parameter])
        low_end, high_end = self.minuit.limits[name]
        low = centre + error.lower if error.lower_valid else low_end
        high = centre + error.upper if error.upper_valid else high_end
        reach = 1e-6 * (high_end - low_end)
        low = None if low - low_end < reach else low
        high = None if high_end - high < reach else high
        return MinosInterval(low, high)


def maximise(density: LogPosterior, low: Array, high: Array) -> Maximum:
    """Find the global maximum of a log-likelihood in a box.

    Arguments:
        density: Log-likelihood: (..., p) -> (...).
        low: Lower ends of the parameters, with shape (p,).
        high: Upper ends, with shape (p,).

    Raises:
        InputError: If iminuit is not installed, or the likelihood is zero everywhere.
    """
    minuit = require("iminuit", "fit").Minuit
    starts, best = _starting_points(density, low, high)
    objective = _Objective(density, best)
    gradient = objective.gradient if objective.differentiable(starts[0]) else None
    with redirect_stdout(sys.stderr):  # Minuit prints its complaints where results belong
        fits = [_migrad(minuit, objective, gradient, start, low, high) for start in starts]
        chosen = min(fits, key=lambda fit: (not fit.valid, fit.fval))
        chosen.hesse()
    theta = np.array(chosen.values, dtype=float)
    width = high - low
    covariance = chosen.covariance
    return Maximum(
        theta=theta,
        log_likelihood=best - float(chosen.fval),
        covariance=np.full((len(low),) * 2, np.nan) if covariance is None else np.array(covariance),
        valid=bool(chosen.valid),
        at_limit=tuple(
            bool(end) for end in (theta - low < 1e-4 * width) | (high - theta < 1e-4 * width)
        ),
        evaluations=sum(fit.nfcn for fit in fits),
        minuit=chosen,
    )


class _Objective:
    """Negative log-likelihood less its value at the best starting point, for Minuit."""

    def __init__(self, density: LogPosterior, offset: float) -> None:
        self._density, self._offset = density, offset

    def __call__(self, theta: Array) -> float:
        """Evaluate at one point (p,)."""
        with torch.no_grad():
            value = self._density(torch.as_tensor(np.array(theta))).item()
        return self._offset - value if np.isfinite(value) else _NOWHERE

    def gradient(self, theta: Array) -> Array:
        """Gradient at one point (p,)."""
        point = torch.as_tensor(np.array(theta)).requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(-self._density(point), point)
        return slope.numpy()

    def differentiable(self, theta: Array) -> bool:
        """Whether autograd knows a finite gradient of every part of the likelihood.

        A term without a graph, such as that of a simulator, would be left out silently:
        the gradient is compared with a difference.
        """
        try:
            slope = self.gradient(theta)
        except RuntimeError:  # nothing that was evaluated has a gradient
            return False
        step = 1e-3 * (1.0 + np.abs(theta))
        found = np.array(
            [(self(theta + shift) - self(theta - shift)) for shift in np.diag(step)]
        ) / (2.0 * step)
        return bool(np.allclose(slope, found, rtol=0.05, atol=0.05 * np.abs(found).max() + 0.05))


def _starting_points(density: LogPosterior, low: Array, high: Array) -> tuple[Array, float]:
    """Return the best points of a sample that are apart, and the highest value."""
    sample = _spread(_SAMPLE * 2 ** len(low), len(low))
    theta = low + (high - low) * sample
    with torch.no_grad():
        values = density(torch.as_tensor(theta)).cpu().numpy()
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf))
    if not np.isfinite(values[order[0]]):
        raise InputError(
            "a likelihood above zero somewhere in the range of the parameters",
            "none",
            "check the observed events and the prior",
        )
    chosen: list[int] = []
    for row in order:
        far = all(np.abs(sample[row] - sample[other]).max() > _APART for other in chosen)
        if far and np.isfinite(values[row]):
            chosen.append(int(row))
        if len(chosen) == _STARTS:
            break
    return theta[chosen], float(values[order[0]])


def _spread(points: int, dim: int) -> Array:
    """Return points that fill the unit cube evenly: multiples of powers of a golden ratio."""
    golden = 1.5
    for _ in range(30):  # the root of g^(dim + 1) = g + 1
        golden = (1.0 + golden) ** (1.0 / (dim + 1))
    steps = golden ** -np.arange(1.0, dim + 1)
    return np.asarray((0.5 + np.arange(1, points + 1)[:, None] * steps) % 1.0)


def _migrad(
    minuit: Any, objective: _Objective, gradient: Any, start: Array, low: Array, high: Array
) -> Any:
    """Run Minuit from one point."""
    names = [f"x{k}" for k in range(len(start))]
    fit = minuit(objective, start, grad=gradient, name=names)
    fit.errordef = minuit.LIKELIHOOD
    fit.limits = list(zip(low, high, strict=True))
    fit.errors = 0.05 * (high - low)
    fit.migrad()
    return fit
