"""One look for all figures, without touching matplotlib's global settings.

Blue is the model, vermilion the exact answer, black the truth: colours of the
Okabe-Ito set, which the colour-blind can tell apart, drawn in different line
styles so that a black-and-white print works too.
"""

from __future__ import annotations

import io
import math

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = [
    "BAND",
    "EXACT",
    "INK",
    "MODEL",
    "MUTED",
    "SEQUENTIAL",
    "caption",
    "empty_figure",
    "few_ticks",
    "name_label",
    "new_figure",
    "png",
    "svg",
    "tidy",
]

INK = "#1d2733"
MUTED = "#687684"
GRID = "#e3e8ed"
BAND = "#c9d2da"
MODEL = "#0072b2"
EXACT = "#d55e00"
SEQUENTIAL = "viridis"

_LABEL_SIZE = 9.5
_TICK_SIZE = 8.5


def new_figure(width: float, height: float) -> Figure:
    """Make an empty white figure of a size in inches, laid out without overlaps."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def empty_figure(message: str) -> Figure:
    """Make a figure that says why there is nothing to draw."""
    figure = new_figure(6.0, 1.2)
    figure.text(0.5, 0.5, message, ha="center", va="center", color=MUTED, fontsize=_LABEL_SIZE)
    return figure


def tidy(axes: Axes, xlabel: str = "", ylabel: str = "") -> Axes:
    """Give axes the house style and their labels."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
        axes.spines[side].set_linewidth(0.8)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=_TICK_SIZE, width=0.8, length=3)
    axes.tick_params(which="minor", color=MUTED, width=0.5, length=2)
    axes.grid(visible=True, color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_xlabel(xlabel, fontsize=_LABEL_SIZE, color=INK)
    axes.set_ylabel(ylabel, fontsize=_LABEL_SIZE, color=INK)
    return axes


def few_ticks(axes: Axes, ticks: int, *, slant: bool = False) -> Axes:
    """Leave a few ticks on each axis; slanted, long numbers fit below a small panel."""
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, prune="both"))
    if slant:
        axes.tick_params(axis="x", labelrotation=35)
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    return axes


def caption(axes: Axes, text: str, colour: str = INK) -> None:
    """Title of a panel, at its left edge."""
    axes.set_title(text, loc="left", fontsize=10.5, color=colour, fontweight="bold")


def name_label(name: str, latex: str = "", unit: str = "") -> str:
    """Axis label of a parameter or an observable."""
    symbol = f"${latex}$" if latex else name.replace("$", r"\$")
    return f"{symbol} [{unit}]" if unit else symbol


def png(figure: Figure, dpi: int = 170) -> bytes:
    """Render a figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def svg(figure: Figure) -> bytes:
    """Render a figure as SVG with outlined letters; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "lfi-mflow", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def panel_grid(panels: int, columns: int) -> tuple[int, int]:
    """Rows and columns of a grid with room for a number of panels."""
    columns = min(panels, columns)
    return math.ceil(panels / columns), columns
