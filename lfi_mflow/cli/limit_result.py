"""What ``lfi-mflow limits`` says of its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfi_mflow.cli.console import log, show_result, show_table, warn

if TYPE_CHECKING:
    from lfi_mflow.inference.limits_file import Limits

__all__ = ["show_limits"]

_CURVES = ("values", "statistic", "critical")


def show_limits(limits: Limits, output: Path, seconds: float, *, as_json: bool) -> None:
    """Show best fit and intervals."""
    if not limits.data["fit_valid"]:
        warn("Minuit does not trust its minimum: look at the profile, and beware of the errors")
    for name, row in limits.parameters.items():
        if row["at_limit"]:
            warn(f"the best fit of {name} is at the end of its range: a wider prior may move it")
    kind = "neyman" if limits.toys else "asymptotic"
    table = limits.to_table()
    if not as_json:
        rows = [_row(name, row, kind) for name, row in table["parameters"].items()]
        show_table(("parameter", "best fit", "error", "68 %", "95 %"), rows)
    data = limits.data
    line = f"{kind} limits of {data['events']:.6g} {data['kind']} events"
    if data["expected"] is not None:
        line += f" ({data['expected']:.4g} expected at the best fit)"
    if data["kind"] == "asimov":
        log(f"the Asimov sample has an effective size of {data['effective_sample_size']:.0f}")
    record = {"output": output, **{key: table[key] for key in ("nuisances", "data", "toys")}}
    record["information"] = table["information"]
    record["parameters"] = {
        name: {key: value for key, value in row.items() if key not in _CURVES}
        for name, row in table["parameters"].items()
    }
    record["seconds"] = seconds
    show_result(f"{output}: {line}; {seconds:.1f} s", record, as_json=as_json)


def _row(name: str, row: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Write a parameter as a row of the table."""
    error = "-" if row["error"] is None else f"{row['error']:.3g}"
    pieces = [_pieces(row[kind][level]) for level in ("68", "95")]
    return name, f"{row['best_fit']:.4g}", error, *pieces


def _pieces(found: Sequence[Sequence[float]]) -> str:
    """Write the pieces of an interval."""
    return " and ".join(f"[{low:.4g}, {high:.4g}]" for low, high in found) or "none"
