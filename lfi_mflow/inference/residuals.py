"""Which observable carries the difference between events and the manifold?

An event and its projection differ in every observable a little. Divided by the
width that the difference has among validation events, it says how many standard
widths each observable is off: the standardised residual. A broken detector
channel makes all or many events stand out in the same observable.

The projection of a broken event is pulled by the broken observable, so that others
stand out too. A second look asks what is left when one observable is replaced by
what the manifold says of it, given all the others: where that brings the events
back, that observable alone explains them. With d - n = 1 every observable does,
and nothing can be told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from torch import Tensor

from lfi_mflow.errors import DataError
from lfi_mflow.flows.flow import Flow
from lfi_mflow.flows.model_file import RESIDUAL_MASS

__all__ = [
    "Suspicion",
    "residual_ratios",
    "standardised_residuals",
    "suspect_observable",
    "wide_observables",
]

Array = NDArray[np.float64]

_BATCH = 8192
_ROUNDING = 1e-6  # of the size of an observable: a residual below is that of float32
_REPLACEMENTS = 6
_LONGEST_STEP = 10.0  # in residuals
_EVENTS = 24  # those farthest off are looked at a second time
_MATERIAL_RATIO = 2.0
_EXPLAINED = 0.5  # share of the distance that may be left by a good explanation
_AS_GOOD = 0.1  # shares below are equally good


@dataclass(frozen=True)
class Suspicion:
    """What replacing one observable leaves of the distance of events to the manifold.

    Arguments:
        observables: Names of the d observables.
        remaining: Share of the standardised distance that is left when the observable
            is replaced by what the manifold says of it, with shape (d,).
    """

    observables: tuple[str, ...]
    remaining: Array

    @property
    def explanations(self) -> tuple[str, ...]:
        """Observables that explain the distance about equally well, the best first.

        None if no single one leaves less than half of it.
        """
        order = np.argsort(self.remaining, kind="stable")
        best = self.remaining[order[0]]
        if best > _EXPLAINED:
            return ()
        rivals = order[self.remaining[order] <= max(2.0 * best, _AS_GOOD)]
        return tuple(self.observables[k] for k in rivals)

    @property
    def culprit(self) -> str | None:
        """The one observable that explains the distance; None if none does, or several."""
        explanations = self.explanations
        return explanations[0] if len(explanations) == 1 else None


def standardised_residuals(
    flow: Flow, x: ArrayLike, widths: ArrayLike, theta: Tensor | None = None
) -> NDArray[np.float32]:
    """Return (x - x') / width of events and their projections x', with shape (N, d).

    Arguments:
        flow: A flow with a manifold.
        x: Events, with shape (N, d).
        widths: Half-widths that hold 68 % of the residuals of validation events, with
            shape (d,); they are taken no smaller than the rounding of the observables.
        theta: Parameters, with shape (p,), if the manifold depends on them.

    Raises:
        DataError: If the widths are not those of d observables.
    """
    events = np.asarray(x)
    scale = _scale(events, widths)
    parts = [_residual(flow, events[i : i + _BATCH], theta) for i in range(0, len(events), _BATCH)]
    return np.asarray(np.concatenate(parts) / scale, dtype=np.float32)


def residual_ratios(residuals: ArrayLike) -> Array:
    """Width of the residuals relative to that of validation events: (N, d) -> (d,).

    It is near 1 for events of the simulator, by the definition of the widths.
    """
    return np.asarray(np.quantile(np.abs(np.asarray(residuals)), RESIDUAL_MASS, axis=0))


def wide_observables(residuals: ArrayLike, level: float = 0.01) -> NDArray[np.intp]:
    """Find observables whose residuals are wider than those of validation events.

    Under the null hypothesis the number of residuals beyond the validation width is
    binomial, whatever their distribution. Each observable is tested, at a level that
    is divided by their number; among many events the width must have doubled, too.

    Arguments:
        residuals: Standardised residuals, with shape (N, d).
        level: Probability of a false alarm.

    Returns:
        Indices of the observables, the widest first.
    """
    sizes = np.abs(np.asarray(residuals))
    n, d = sizes.shape
    beyond = (sizes > 1.0).sum(axis=0)
    p_values = binom.sf(beyond - 1, n, 1.0 - RESIDUAL_MASS)
    ratios = residual_ratios(sizes)
    found = np.flatnonzero((p_values < level / d) & (ratios > _MATERIAL_RATIO))
    return found[np.argsort(-ratios[found], kind="stable")]


def suspect_observable(
    flow: Flow,
    x: ArrayLike,
    widths: ArrayLike,
    observables: Sequence[str],
    theta: Tensor | None = None,
) -> Suspicion:
    """Ask of each observable whether replacing it brings events back to the manifold.

    An observable is moved until its own residual is zero: what is left is the distance
    that the other observables do not agree about. The 24
    events that are farthest off are looked at.

    Arguments:
        flow: A flow with a manifold.
        x: Events off the manifold, with shape (N, d).
        widths: As for :func:`standardised_residuals`.
        observables: Names of the d observables.
        theta: Parameters, with shape (p,), if the manifold depends on them.
    """
    before = _sizes(standardised_residuals(flow, x, widths, theta))
    farthest = np.argsort(-before, kind="stable")[:_EVENTS]
    events, start = np.asarray(x)[farthest], before[farthest]
    changed = np.repeat(events[None].astype(np.float64), events.shape[1], axis=0)
    left = _replace_each(flow, changed, _scale(np.asarray(x), widths), theta)
    shares = np.median(left / np.maximum(start, np.finfo(float).tiny), axis=1)
    return Suspicion(tuple(observables), np.asarray(shares))


def _replace_each(flow: Flow, x: Array, scale: Array, theta: Tensor | None) -> Array:
    """Smallest distance that replacing observable k of ``x[k]`` leaves: (d, N, d) -> (d, N).

    The residual of the observable is brought to zero by the secant method, whose first
    step goes to the projection; the steps are bounded, for the manifold may be curved.
    """
    d, n, _ = x.shape
    column = np.arange(d)
    left = np.full((d, n), np.inf)
    step = before = None
    for _ in range(_REPLACEMENTS):
        residual = _residual(flow, x.reshape(-1, d), theta).reshape(d, n, d)
        left = np.minimum(left, _sizes(residual / scale))
        own = residual[column, :, column].astype(np.float64)
        slope = np.ones_like(own)
        if step is not None and before is not None:
            change = before - own
            np.divide(step, change, out=slope, where=np.abs(change) > 1e-3 * np.abs(step))
        step, before = np.clip(slope, 0.5, _LONGEST_STEP) * own, own
        x[column, :, column] -= step
    return left


def _scale(x: NDArray[np.floating], widths: ArrayLike) -> Array:
    """Return the widths, no smaller than the rounding of the observables: (d,)."""
    scale = np.asarray(widths, dtype=np.float64)
    if scale.shape != (x.shape[-1],) or not (np.isfinite(scale) & (scale >= 0)).all():
        raise DataError(
            f"{x.shape[-1]} widths of residuals in the model file",
            f"shape {scale.shape}",
            "train the model again",
        )
    floor = _ROUNDING * np.median(np.abs(x), axis=0) + np.finfo(np.float32).tiny
    return np.asarray(np.maximum(scale, floor))


@torch.no_grad()
def _residual(flow: Flow, x: NDArray[np.floating], theta: Tensor | None) -> NDArray[np.floating]:
    """Return events less their projections: (N, d) -> (N, d)."""
    events = torch.as_tensor(np.ascontiguousarray(x)).to(next(flow.parameters()))
    given = None if theta is None else theta.to(events).expand(len(events), -1)
    return np.asarray((events - flow.project(events, given)).cpu().numpy())


def _sizes(residuals: NDArray[np.floating]) -> Array:
    """Root mean square of standardised residuals: (..., d) -> (...)."""
    return np.asarray(np.sqrt(np.mean(np.square(residuals, dtype=np.float64), axis=-1)))
