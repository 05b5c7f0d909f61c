"""The section of a report about confidence regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lfi_mflow.plots import limit_contour_figure, limit_profile_figure
from lfi_mflow.report.markup import figure_block, number, paragraph, section, table, text

if TYPE_CHECKING:
    from lfi_mflow.inference.limits_file import Limits

__all__ = ["limits_section"]

_METHODS = {"asymptotic": "asymptotic", "neyman": "by toys"}
_MISSING = "–"


def limits_section(limits: Limits, labels: Mapping[str, str]) -> str:
    """Show best fit, intervals, profiles and contours.

    Arguments:
        limits: The record.
        labels: Labels of the parameters by name.
    """
    record = limits.to_table()
    parameters, region = record["parameters"], record["region"]
    names = [labels.get(name, name) for name in parameters]
    blocks = [
        paragraph(_data_words(record["data"])),
        table(
            ("Parameter", "best fit", "error", "regions", "68 %", "95 %"),
            [row for name, values in parameters.items() for row in _rows(name, values)],
        ),
        paragraph(_method_words(record["toys"]), "small"),
        figure_block(
            limit_profile_figure(parameters, names),
            "Profile of the likelihood ratio. An interval holds the values at which it is below "
            "the line of its level: by toys the line depends on the parameter.",
            description="profile likelihood",
        ),
    ]
    if region:
        truth = record["data"].get("theta") if len(names) == 2 else None
        blocks.append(
            figure_block(
                limit_contour_figure(parameters, region, names, _interest(truth, names)),
                "Joint regions. Where the two kinds differ, trust the one by toys.",
                description="confidence regions of two parameters",
            )
        )
    if record["information"]:
        blocks.append(paragraph(_sensitivity_words(record["information"])))
    if record["nuisances"]:
        blocks.append(_nuisances(record["nuisances"]))
    return section("limits", "Confidence regions", *blocks)


def _interest(truth: Any, names: Sequence[str]) -> Any:
    """Return the Asimov point if its parameters are the two of the figure."""
    return truth if truth is not None and len(truth) == len(names) else None


def _rows(name: str, values: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Rows of the table of one parameter: one for each method."""
    rows = []
    for index, method in enumerate(key for key in _METHODS if key in values):
        cells = [_pieces(values[method][level]) for level in ("68", "95")]
        first = (text(name), number(values["best_fit"], 4), number(values["error"]))
        rows.append((*(first if index == 0 else ("", "", "")), _METHODS[method], *cells))
    if "credible" in values:
        cells = [_pieces([values["credible"][level]]) for level in ("68", "95")]
        rows.append(("", "", "", "credible, nuisances marginalised", *cells))
    return rows


def _pieces(found: Sequence[Sequence[float]]) -> str:
    """Write the pieces of an interval."""
    return " and ".join(f"[{number(low)}, {number(high)}]" for low, high in found) or _MISSING


def _data_words(data: Mapping[str, Any]) -> str:
    """Say what the limits are of."""
    words = f"Limits of {data['events']:.6g} {data.get('kind', 'observed')} events."
    if data.get("kind") == "asimov":
        words += f" The Asimov sample has an effective size of {data['effective_sample_size']:.0f}."
    if data.get("shape_only"):
        return words + " The number of events is left out (shape only)."
    return (
        f"{words} The likelihood counts them: {data['expected']:.4g} are expected at the best fit"
        + (f", at {data['luminosity']:g}/pb." if data.get("luminosity") else ".")
    )


def _method_words(toys: Mapping[str, Any]) -> str:
    """Say how the regions were calibrated."""
    if not toys:
        return "Asymptotic regions (Wilks) only: with few events they may cover too much or little."
    return (
        f"Critical values by {toys['number']} toys of the {toys['source']} at each point, seed "
        f"{toys['seed']}."
    )


def _sensitivity_words(information: Mapping[str, Any]) -> str:
    """Say what errors the Fisher information expects."""
    errors = ", ".join(f"{name} {value:.3g}" for name, value in information["errors"].items())
    return f"Smallest errors that the Fisher information allows there: {errors}."


def _nuisances(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Show the nuisance parameters."""
    cells = [
        (
            text(name),
            f"{number(row['measured'])} ± {number(row['width'])}",
            number(row["best_fit"], 4),
            number(row["error"]),
        )
        for name, row in rows.items()
    ]
    return table(("Nuisance", "measured", "best fit", "error"), cells)
