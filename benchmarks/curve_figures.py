"""The figure of the cost curves: one panel per question."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, caption, new_figure, png, tidy

__all__ = ["figure"]

Curve = list[tuple[float, dict[str, float]]]
LINES = {
    "log_prob": (MODEL, "-", "o", "log p"),
    "tangents": (MUTED, "--", "s", "volume by tangents"),
    "push": (EXACT, "--", "D", "volume by pushed tangents"),
    "minor": (INK, ":", "^", "volume by minor"),
    "grid": (MODEL, "-", "o", "grid"),
    "chains": (EXACT, "--", "s", "32 chains"),
    "d3 manifold": (MODEL, "-", "o", "manifold, d = 3"),
    "d3 density": (MODEL, "--", "s", "density, d = 3"),
    "d40 manifold": (EXACT, "-", "o", "manifold, d = 40"),
    "d40 density": (EXACT, "--", "s", "density, d = 40"),
}


def figure(curves: Mapping[str, Mapping[str, Curve]]) -> bytes:
    """Draw what has been measured as PNG: cost against d, n, batch, events and chains."""
    drawn = new_figure(9.6, 5.6)
    axes = drawn.subplots(2, 3).ravel()
    density = curves.get("density", {})
    for panel, axis, title in (
        (axes[0], "d", "log p, n = 2"),
        (axes[1], "n", "log p, d = 40"),
    ):
        for name in ("log_prob", "tangents", "push", "minor"):
            _line(panel, name, density.get(axis, []), name)
        _finish(panel, axis, "ms per event", title)
    for panel, value, unit in ((axes[2], "us_per_event", "µs per event"), (axes[3], "ms", "ms")):
        for name, curve in curves.get("step", {}).items():
            _line(panel, name, curve, value)
        _finish(panel, "batch", unit, "training step")
    for name, curve in curves.get("posterior", {}).items():
        _line(axes[4], name, curve, "seconds")
    _finish(axes[4], "observed events", "s", "posterior")
    for curve in curves.get("chains", {}).values():
        _line(axes[5], "chains", curve, "seconds", label="")
    _finish(axes[5], "chains", "s", "posterior of 10 events")
    return png(drawn, dpi=130)


def _line(axes: Axes, name: str, curve: Curve, value: str, label: str | None = None) -> None:
    """One curve with its points."""
    if not curve:
        return
    colour, style, marker, text = LINES[name]
    axes.plot(
        [where for where, _ in curve],
        [values[value] for _, values in curve],
        color=colour,
        ls=style,
        marker=marker,
        ms=4,
        lw=1.4,
        label=text if label is None else label,
    )


def _finish(axes: Axes, xlabel: str, ylabel: str, title: str) -> None:
    """Scales, labels and a legend where there is more than one curve."""
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log")
        axis.set_minor_formatter(NullFormatter())
        low, high = axis.get_view_interval()
        if high < 30 * low:  # a decade may lie between two ticks
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    tidy(axes, xlabel, ylabel)
    caption(axes, title)
    if len(axes.lines) > 1:
        axes.legend(frameon=False, fontsize=7.5, labelcolor=MUTED)
