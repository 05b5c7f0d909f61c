"""Figures of confidence regions: profiles of the likelihood, and contours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lfi_mflow.plots.style import EXACT, INK, MODEL, MUTED, caption, empty_figure, new_figure, tidy

__all__ = ["limit_contour_figure", "limit_profile_figure"]

_COLOURS = {"asymptotic": EXACT, "neyman": MODEL}
_NAMES = {"asymptotic": "asymptotic", "neyman": "by toys"}
_STYLES = ("-", "--", ":")
_HEIGHT = 1.8  # of the largest critical value


def limit_profile_figure(
    parameters: Mapping[str, Mapping[str, Any]], labels: Sequence[str]
) -> Figure:
    """Draw the profile of the test statistic of each parameter, and where intervals end.

    Arguments:
        parameters: As :class:`lfi_mflow.inference.Limits` has them.
        labels: Labels of these parameters.
    """
    if not parameters:
        return empty_figure("no parameters of interest")
    figure = new_figure(4.4 * len(parameters), 3.4)
    for index, (row, label) in enumerate(zip(parameters.values(), labels, strict=True)):
        axes = figure.add_subplot(1, len(parameters), index + 1)
        _draw_profile(axes, row)
        tidy(axes, label, r"$-2\,\ln$ profile likelihood ratio")
    return figure


def limit_contour_figure(
    parameters: Mapping[str, Mapping[str, Any]],
    region: Mapping[str, Any],
    labels: Sequence[str],
    truth: Sequence[float] | None = None,
) -> Figure:
    """Draw the joint regions of two parameters.

    Arguments:
        parameters: As :class:`lfi_mflow.inference.Limits` has them: two.
        region: Its ``region``.
        labels: Labels of the two parameters.
        truth: The point of an Asimov data set.
    """
    if len(parameters) != 2 or not region:
        return empty_figure("regions need two parameters of interest")
    first, second = (_numbers(row["values"]) for row in parameters.values())
    statistic = _numbers(region["statistic"])
    figure = new_figure(5.4, 4.6)
    axes = figure.add_subplot()
    for method, critical in region["critical"].items():
        for style, (level, value) in zip(_STYLES, critical.items(), strict=False):
            distance = (statistic - np.broadcast_to(_numbers(value), statistic.shape)).T
            axes.contour(
                first,
                second,
                np.clip(distance, -1e3, 1e3),
                levels=[0.0],
                colors=[_COLOURS[method]],
                linestyles=[style],
            )
            name = f"{level} % {_NAMES[method]}"
            axes.add_line(Line2D([], [], color=_COLOURS[method], ls=style, label=name))
    best = [row["best_fit"] for row in parameters.values()]
    axes.plot(*best, marker="+", ms=9, color=INK, ls="", label="best fit")
    if truth is not None:
        axes.plot(*truth, marker="*", ms=9, color=MUTED, ls="", label="Asimov point")
    tidy(axes, *labels)
    caption(axes, "joint confidence regions")
    axes.legend(frameon=False, fontsize=8.5)
    return figure


def _draw_profile(axes: Axes, row: Mapping[str, Any]) -> None:
    """Draw one profile with its critical values."""
    values, statistic = _numbers(row["values"]), _numbers(row["statistic"])
    axes.plot(values, statistic, color=INK, lw=1.7)
    top = 0.0
    for method, critical in row["critical"].items():
        for style, (level, value) in zip(_STYLES, critical.items(), strict=False):
            line = np.broadcast_to(_numbers(value), values.shape)
            inside = statistic < _HEIGHT * max(1.0, float(np.median(line)))
            top = max(top, float(line[inside].max(initial=0.0)))
            label = f"{level} % {_NAMES[method]}"
            axes.plot(values, line, color=_COLOURS[method], ls=style, lw=1.2, label=label)
    axes.set_ylim(0.0, _HEIGHT * max(top, 1.0))
    shown = values[statistic < _HEIGHT * max(top, 1.0)]
    if len(shown) > 1:
        axes.set_xlim(float(shown[0]), float(shown[-1]))
    axes.legend(frameon=False, fontsize=8.5)


def _numbers(values: Any) -> np.ndarray:
    """Return values as numbers; what is missing is infinite."""
    array = np.asarray(values, dtype=float)
    return np.where(np.isnan(array), np.inf, array)
