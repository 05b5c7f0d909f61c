"""Histograms of a quantity per event, and the workspace that pyhf fits.

A binned fit takes less from the data than the unbinned likelihood, but it is what
combinations are made of. The quantity is a learned log-likelihood ratio or a score, see
:mod:`lfi_mflow.inference.summaries`. The expected number of events in bin b is

    nu_b(mu, gamma) = gamma_b (mu s_b + sum_k b_kb),

with the signal strength mu, and one factor gamma_b per bin for the limited number of
simulated events (Barlow and Beeston in the light form), constrained by a normal
distribution around 1 whose width is the relative uncertainty of the sum.

References:
    | HistFactory (Cranmer, Lewis, Moneta, Shibata, Verkerke, 2012), CERN-OPEN-2012-016
    | pyhf (Heinrich, Feickert, Stark, Cranmer, 2021), https://doi.org/10.21105/joss.02823
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lfi_mflow.errors import ConfigError, DataError, InputError

__all__ = ["Histogram", "fill_histogram", "pyhf_workspace", "quantile_edges"]


@dataclass(frozen=True)
class Histogram:
    """Sums of weights in K bins.

    Arguments:
        edges: The limits of the bins, increasing, with shape (K + 1,).
        values: Sums of the weights, with shape (K,).
        variances: Sums of the squared weights, with shape (K,).
    """

    edges: NDArray[np.float64]
    values: NDArray[np.float64]
    variances: NDArray[np.float64]


def quantile_edges(
    values: ArrayLike, bins: int, weight: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return edges between which equal shares of the weights lie, with shape (bins + 1,).

    Arguments:
        values: The quantity of each event, with shape (N,).
        bins: Number of bins.
        weight: Weights that are not negative, with shape (N,); None if all are one.

    Raises:
        DataError: If values or weights are not finite, a weight is negative, or
            there are too few different values for so many bins.
    """
    x, w = _checked(values, weight)
    if bins < 1:
        raise InputError("at least one bin", f"{bins}", "give a positive number")
    if (w < 0).any() or not w.sum() > 0:
        raise DataError(
            "weights that are not negative, for bins of equal shares",
            f"{int((w < 0).sum())} negative ones with the sum {w.sum():g}",
            "take the edges from events with positive weights",
        )
    order = np.argsort(x, kind="stable")
    share = (np.cumsum(w[order]) - 0.5 * w[order]) / w.sum()
    inner = np.interp(np.arange(1, bins) / bins, share, x[order])
    edges: NDArray[np.float64] = np.concatenate([[x.min()], inner, [x.max()]])
    if not (np.diff(edges) > 0).all():
        raise DataError(f"{bins} bins that each have a width", "some without", "ask for fewer bins")
    return edges


def fill_histogram(
    values: ArrayLike, edges: ArrayLike, weight: ArrayLike | None = None
) -> Histogram:
    """Add up weights in bins; no event is lost.

    A value on an edge counts in the bin above it; what lies below the first edge or
    above the last one counts in the first or last bin.

    Arguments:
        values: The quantity of each event, with shape (N,).
        edges: The limits of K bins, increasing, with shape (K + 1,).
        weight: Weights, with shape (N,), also negative; None if all are one.

    Raises:
        DataError: If values or weights are not finite.
        InputError: If the edges do not increase.

    Example:
        >>> fill_histogram([-9.0, 0.1, 0.2, 1.0], [0.0, 1.0, 2.0]).values.tolist()
        [3.0, 1.0]
    """
    x, w = _checked(values, weight)
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or len(limits) < 2 or not (np.diff(limits) > 0).all():
        raise InputError("at least two edges that increase", f"{limits.tolist()}", "sort them")
    index = np.searchsorted(limits[1:-1], x, side="right")
    sums, variances = np.zeros((2, len(limits) - 1))
    np.add.at(sums, index, w)
    np.add.at(variances, index, w**2)
    return Histogram(limits, sums, variances)


def pyhf_workspace(
    signal: Histogram,
    backgrounds: Mapping[str, Histogram],
    observed: ArrayLike | None = None,
    *,
    channel: str = "events",
    parameter: str = "mu",
) -> dict[str, Any]:
    """Return a workspace of pyhf with one channel, as plain values for JSON.

    The signal is scaled by the parameter of interest; all samples share the
    statistical uncertainty of their sum in each bin. Nothing here needs pyhf.

    Arguments:
        signal: Expected events of the signal at strength 1.
        backgrounds: Expected events of the backgrounds, by their names; in a fit of
            theta, the events at the reference point.
        observed: Observed events per bin, with shape (K,); None for what is expected
            at strength 1 (the Asimov data).
        channel: Name of the channel.
        parameter: Name of the parameter of interest.

    Raises:
        ConfigError: If a name is used twice.
        InputError: If the histograms have other edges, or ``observed`` another shape.
        DataError: If a bin expects a negative number of events, or none at all.

    Example:
        >>> one = Histogram(np.array([0.0, 1.0]), np.array([4.0]), np.array([1.0]))
        >>> pyhf_workspace(one, {"background": one})["observations"]
        [{'name': 'events', 'data': [8.0]}]
    """
    samples = {"signal": signal, **backgrounds}
    if len(samples) == len(backgrounds):
        raise ConfigError("backgrounds of other names", "'signal'", "rename it")
    _check_samples(samples)
    total = np.sum([sample.values for sample in samples.values()], axis=0)
    data = total if observed is None else np.asarray(observed, dtype=np.float64)
    if data.shape != total.shape:
        raise InputError(
            f"observed events in {len(total)} bins", f"shape {data.shape}", "use the same edges"
        )
    if not (np.isfinite(data).all() and (data >= 0).all()):
        raise DataError(
            "observed numbers of events", f"{data.tolist()}", "give finite ones, not negative"
        )
    rows = [_sample(name, sample, channel) for name, sample in samples.items()]
    rows[0]["modifiers"].insert(0, {"name": parameter, "type": "normfactor", "data": None})
    return {
        "channels": [{"name": channel, "samples": rows}],
        "observations": [{"name": channel, "data": data.tolist()}],
        "measurements": [{"name": "measurement", "config": {"poi": parameter, "parameters": []}}],
        "version": "1.0.0",
    }


def _sample(name: str, sample: Histogram, channel: str) -> dict[str, Any]:
    """Return a sample with its statistical uncertainties."""
    spread = np.sqrt(sample.variances).tolist()
    statistical = {"name": f"staterror_{channel}", "type": "staterror", "data": spread}
    return {"name": name, "data": sample.values.tolist(), "modifiers": [statistical]}


def _check_samples(samples: Mapping[str, Histogram]) -> None:
    """See that all samples have the same bins and can be expectations."""
    edges = samples["signal"].edges
    for name, sample in samples.items():
        if not np.array_equal(sample.edges, edges):
            raise InputError(
                f"the edges of the signal in {name!r}", "others", "fill both with the same edges"
            )
        low = int(np.argmin(sample.values))
        if not sample.values[low] >= 0:
            raise DataError(
                f"sums of weights in {name!r} that are not negative",
                f"{sample.values[low]:g} in bin {low}",
                "merge bins, or use more events",
            )
    empty = np.flatnonzero(np.sum([sample.values for sample in samples.values()], axis=0) <= 0)
    if len(empty):
        raise DataError(
            "expected events in every bin", f"none in bin {empty[0]}", "merge bins, or move edges"
        )


def _checked(
    values: ArrayLike, weight: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values and weights as arrays, checked."""
    x = np.asarray(values, dtype=np.float64)
    w = np.ones_like(x) if weight is None else np.asarray(weight, dtype=np.float64)
    if x.ndim != 1 or not len(x) or w.shape != x.shape:
        raise InputError(
            "one value and one weight per event",
            f"shapes {x.shape} and {w.shape}",
            "choose one column",
        )
    bad = int((~(np.isfinite(x) & np.isfinite(w))).sum())
    if bad:
        raise DataError("finite values and weights", f"{bad} that are not", "leave them out")
    return x, w
