"""What a reader of a report must not overlook, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from lfi_mflow.closure import ClosureReport
from lfi_mflow.inference import lie_off_manifold
from lfi_mflow.report.metric_words import MISSED
from lfi_mflow.simulation import Prior

__all__ = ["Caution", "closure_cautions", "data_cautions", "posterior_cautions"]

R_HAT_LIMIT = 1.01
ESS_LIMIT = 400

_EDGE = 0.02
_EDGE_MASS = 0.06


@dataclass(frozen=True)
class Caution:
    """A warning.

    Arguments:
        level: ``"serious"`` if a conclusion is at stake, ``"note"`` otherwise.
        words: What it means and what to do.
    """

    level: Literal["serious", "note"]
    words: str


def closure_cautions(closure: ClosureReport | None) -> Iterator[Caution]:
    """Warnings about metrics that were missed or could not be computed."""
    if closure is None:
        yield Caution(
            "serious",
            "This model has not been through a closure test, so nothing here shows that it is "
            "right. Run: lfi-mflow closure model.mflow --simulator NAME -o closure.json",
        )
        return
    for name in closure.failed:
        yield Caution("serious", MISSED.get(name, f"{name} misses its target."))
    if "sbc_p_value" in closure.failed and "sbc" in closure.curves:
        yield Caution("serious", _rank_shape(closure.curves["sbc"]))
    for name, reason in closure.skipped.items():
        yield Caution("note", f"Not tested: {name.replace('_', ' ')}, because {reason}.")


def posterior_cautions(
    summary: Mapping[str, Any], draws: ArrayLike, prior: Prior | None
) -> Iterator[Caution]:
    """Warnings about a posterior: convergence, events off the manifold, edges of the prior.

    Arguments:
        summary: As ``Posterior.summary()`` gives it.
        draws: Posterior draws, with shape (N, p).
        prior: The prior, if known.
    """
    if lie_off_manifold(summary):
        p_value = summary["off_manifold_p_value"]
        yield Caution(
            "serious",
            f"The observed events do not lie on the learned manifold (p = {p_value:.2g}): the "
            "simulator, the columns or their units may not be those of the data. The posterior "
            "ignores this, because it depends on the projected events only.",
        )
    for name, row in summary["parameters"].items():
        r_hat, ess = row.get("r_hat"), row.get("ess")
        if r_hat is not None and r_hat > R_HAT_LIMIT:
            yield Caution(
                "serious", f"The chains of {name} have not mixed (R-hat {r_hat:.3f}): draw more."
            )
        if ess is not None and ess < ESS_LIMIT:
            yield Caution(
                "note",
                f"The draws of {name} are worth only {ess:.0f} independent ones: its quantiles "
                "are uncertain.",
            )
    yield from _edge_cautions(list(summary["parameters"]), np.asarray(draws, dtype=float), prior)


def data_cautions(counts: Mapping[str, Any]) -> Iterator[Caution]:
    """Warnings about events that the training data lost on the way, by kind."""
    for name, count in counts.items():
        if count:
            words = name.replace("_", " ")
            yield Caution("note", f"Training data: {count} events counted as {words}.")


def _edge_cautions(names: list[str], draws: np.ndarray, prior: Prior | None) -> Iterator[Caution]:
    """Warn where a posterior piles up at the edge of its prior."""
    if prior is None or prior.dim != draws.shape[1]:
        return
    for name, values, low, high in zip(names, draws.T, prior.low, prior.high, strict=True):
        if not np.isfinite(high - low):
            continue
        margin = _EDGE * (high - low)
        at_edge = max(np.mean(values < low + margin), np.mean(values > high - margin))
        if at_edge > _EDGE_MASS:
            yield Caution(
                "note",
                f"{at_edge:.0%} of the posterior of {name} lies in the outermost {_EDGE:.0%} of "
                "the prior: the prior cuts it, and its mean and width depend on where.",
            )


def _rank_shape(sbc: Mapping[str, Any]) -> str:
    """Read the failure off the ranks: narrow, wide or shifted posteriors."""
    fractions = (np.asarray(sbc["ranks"], dtype=float) + 0.5) / (float(sbc["n_draws"]) + 1.0)
    n = len(fractions)
    # Standard errors of mean and variance of n uniform numbers.
    shift = float(np.max(np.abs(fractions.mean(axis=0) - 0.5))) / np.sqrt(1.0 / (12.0 * n))
    widths = (fractions.var(axis=0) - 1.0 / 12.0) / np.sqrt(1.0 / (180.0 * n))
    width = float(widths[np.argmax(np.abs(widths))])
    if shift > abs(width):
        return "The ranks of the truth lean to one side: the posteriors are shifted."
    if width > 0:
        return "The truth is too often in the tails: the posteriors are too narrow."
    return "The truth is too often in the middle: the posteriors are too wide."
