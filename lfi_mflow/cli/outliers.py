"""What ``lfi-mflow infer`` says of events that are off the manifold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.console import show_table, warn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lfi_mflow.inference import ObservedEvents, Posterior

__all__ = ["outlier_record", "show_outliers", "show_removal", "warn_of_observables"]

_SHOWN = 10
_LISTED = 1_000
_LARGE_LOSS = 0.01
_TIED = 0.95


def outlier_record(data: ObservedEvents) -> dict[str, Any]:
    """Return what JSON says of events off the manifold: rows, observables, residuals."""
    return {
        "observed_events": len(data.x),
        "off_manifold_rows": data.rows[data.off_manifold_events][:_LISTED].tolist(),
        "residual_widths": data.widths(),
        "suspect_observable": None if data.suspicion is None else data.suspicion.culprit,
    }


def show_outliers(data: ObservedEvents) -> None:
    """List the events off the manifold, the farthest first, with their largest residuals."""
    off = data.off_manifold_events
    if not len(off) or data.distance is None:
        return
    header = ["row", "distance"]
    rows = [[str(data.rows[index]), f"{data.distance[index]:.3g}"] for index in off[:_SHOWN]]
    if data.residual is not None:
        header += ["largest residual in", "in widths"]
        for row, residual in zip(rows, data.residual[off[:_SHOWN]], strict=True):
            row += [_carriers(abs(residual), data.observables), f"{abs(residual).max():.1f}"]
    more = f", the farthest {_SHOWN}" if len(off) > _SHOWN else ""
    click.echo(f"\n{len(off):,} of {len(data.x):,} events off the manifold{more}:")
    show_table(header, rows, text=0)


def show_removal(posterior: Posterior) -> None:
    """Show the posteriors with and without the events off the manifold side by side."""
    from lfi_mflow.inference import posterior_shifts  # noqa: PLC0415 - help needs no torch

    removal, data = posterior.removal, posterior.data
    if removal is None:
        return
    removed = len(data.removed)
    if not removed:
        click.echo("\nno event is off the manifold: all are used")
        return
    shifts = posterior_shifts(posterior)
    before = removal.with_outliers["parameters"]
    rows = [
        (name, *_pair(before[name]), *_pair(row), f"{shifts[name]:+.2f}")
        for name, row in posterior.statistics.items()
    ]
    click.echo("\nwith and without the events off the manifold:")
    head = ("parameter", "mean, all", "sd, all", "mean, without", "sd, without", "shift / sd")
    show_table(head, rows)
    lost = removal.loss * len(posterior.observed)
    click.echo(
        f"{removed:,} of {len(data.x):,} events removed; the cut takes about {removal.loss:.1g} "
        f"of the simulator's own events, {lost:.1g} of the {len(posterior.observed):,} left"
    )
    if removal.loss > _LARGE_LOSS:
        warn(
            f"the cut takes {removal.loss:.1%} of the simulator's own events; if these tell of the "
            "parameters something else than the others, the posterior is biased"
        )


def warn_of_observables(data: ObservedEvents) -> None:
    """Say which observables are not what the others make of them."""
    wide, suspicion = data.wide(), data.suspicion
    if wide:
        named = ", ".join(f"{name} ({ratio:.1f} times)" for name, ratio in list(wide.items())[:3])
        more = f" and {len(wide) - 3} more observables" if len(wide) > 3 else ""
        warn(
            f"the residuals are wider than those of validation events in {named}{more}: a "
            "detector channel may be broken, or the simulator is not that of the data"
        )
    if suspicion is None:
        return
    explanations = suspicion.explanations
    subject = "the events" if wide else "the events off the manifold"
    advice = "check this channel" if wide else "a faulty value, or background that differs in it"
    if len(explanations) == 1:
        share = float(min(suspicion.remaining))
        warn(
            f"{explanations[0]} alone explains {subject}: replaced by what the other observables "
            f"make of it, it leaves {share:.0%} of their distance to the manifold: {advice}"
        )
    elif len(explanations) > 1 and wide:
        warn(
            f"one of {', '.join(explanations)} may explain {subject}: each does equally well, the "
            "manifold cannot tell them apart"
        )


def _carriers(sizes: NDArray[np.floating], observables: Sequence[str]) -> str:
    """Name the observables with the largest residual of an event, all those about as large."""
    order = (-sizes).argsort(kind="stable")
    tied = [observables[k] for k in order if sizes[k] > _TIED * sizes[order[0]]]
    return ", ".join(tied[:3]) + (", …" if len(tied) > 3 else "")


def _pair(row: Mapping[str, Any]) -> tuple[str, str]:
    """Write mean and width."""
    return f"{row['mean']:.4g}", f"{row['sd']:.4g}"
