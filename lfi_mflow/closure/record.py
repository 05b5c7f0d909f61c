"""What a closure test found: metrics, judged against targets, and curves.

The file ``closure.json`` is ``{"metrics": {NAME: {"value", "uncertainty",
"target", "comparison", "passed"}}, "skipped": {NAME: reason}, "curves": {...},
"provenance": {...}}``. A number that is not finite is written as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lfi_mflow.config import from_table
from lfi_mflow.errors import FileFormatError, InputError
from lfi_mflow.files import atomic_output, read_json

__all__ = ["ClosureReport", "Comparison", "Metric", "Target"]

Comparison = Literal["at_most", "at_least", "compatible_with"]

_CURVE_DIGITS = 6
_ERRORS = 3.0  # standard errors that a compatible value may be away


@dataclass(frozen=True)
class Target:
    """What a metric has to reach.

    Arguments:
        limit: The value.
        comparison: Whether the metric has to be at most or at least the limit, or
            within three standard errors of it.
    """

    limit: float
    comparison: Comparison

    def met_by(self, value: float, uncertainty: float | None = None) -> bool:
        """Whether a value reaches the target; a value that is not a number does not.

        Arguments:
            value: The value.
            uncertainty: Its standard error, which matters to ``compatible_with`` only;
                None counts as none.
        """
        if self.comparison == "compatible_with":
            return abs(value - self.limit) <= _ERRORS * (uncertainty or 0.0)
        if self.comparison == "at_most":
            return value <= self.limit
        return value >= self.limit


@dataclass(frozen=True)
class Metric:
    """A measured number and the verdict on it.

    Arguments:
        value: The number; NaN if it could not be computed.
        uncertainty: One standard error of ``value``, None if unknown.
        target: The limit it was compared with, None if there is none.
        passed: Whether the target is met, None if there is none.
        comparison: The sense of the target.
    """

    value: float
    uncertainty: float | None = None
    target: float | None = None
    passed: bool | None = None
    comparison: Comparison | None = None

    @classmethod
    def judged(
        cls, value: float, uncertainty: float | None = None, target: Target | None = None
    ) -> Metric:
        """Compare a value with a target."""
        if target is None:
            return cls(float(value), uncertainty)
        passed = target.met_by(float(value), uncertainty)
        return cls(float(value), uncertainty, target.limit, passed, target.comparison)


@dataclass(frozen=True)
class ClosureReport:
    """The outcome of a closure test.

    Arguments:
        metrics: By name, as architecture and command line call them.
        provenance: Where the numbers come from: seed, sizes, versions.
        curves: What figures are drawn from, as lists of numbers (or arrays, which
            are written with six significant digits): see
            :func:`lfi_mflow.closure.run_closure`.
        skipped: Metrics that could not be computed, each with the reason.
    """

    metrics: dict[str, Metric]
    provenance: dict[str, Any] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the metrics that miss their target."""
        return tuple(name for name, metric in self.metrics.items() if metric.passed is False)

    def to_table(self) -> dict[str, Any]:
        """Everything as JSON-able values, without NaN or infinities."""
        metrics = {name: plain(vars(metric)) for name, metric in self.metrics.items()}
        return {
            "metrics": metrics,
            "skipped": dict(self.skipped),
            "provenance": plain(self.provenance),
            "curves": plain(self.curves),
        }

    def save(self, path: Path) -> None:
        """Write ``closure.json``; it appears complete or not at all.

        Raises:
            StorageError: If the disk is full or refuses to be written to.
        """
        text = json.dumps(self.to_table(), allow_nan=False)
        with atomic_output(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> ClosureReport:
        """Read ``closure.json``.

        Raises:
            FileFormatError: If the file is missing or is no closure report.
        """
        remedy = "write it again with: lfi-mflow closure"
        table = read_json(path, "a closure report", remedy)
        try:
            metrics = {name: _metric(name, row) for name, row in table["metrics"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, InputError) as error:
            raise FileFormatError(f"a closure report in {path}", str(error), remedy) from error
        return cls(
            metrics,
            provenance=table.get("provenance", {}),
            curves=table.get("curves", {}),
            skipped=table.get("skipped", {}),
        )


def plain(value: Any) -> Any:
    """Turn mappings, sequences, arrays and numbers into JSON-able values.

    Arrays keep six significant digits: they are for figures. Numbers that are
    not finite become None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain_array(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain_array(array: np.ndarray[Any, np.dtype[Any]]) -> Any:
    """Nested lists of an array, rounded."""
    if array.dtype.kind != "f":
        return array.tolist()
    if array.ndim > 1:
        return [_plain_array(row) for row in array]
    return [
        float(f"{item:.{_CURVE_DIGITS}g}") if math.isfinite(item) else None
        for item in array.tolist()
    ]


def _metric(name: str, row: Mapping[str, Any]) -> Metric:
    """Read one metric; a null value stands for one that is not a number."""
    table = dict(row)
    if table.get("value") is None:
        table["value"] = math.nan
    return from_table(Metric, table, f"metric {name!r}")
