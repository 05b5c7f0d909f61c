"""The record of confidence regions, and its file ``limits.json``.

::

    {"format": "lfi-mflow limits", "schema_version": 1,
     "parameters": {NAME: {"best_fit", "error", "at_limit", "minos": {"68": [low, high], ..},
                           "asymptotic": {"68": [[low, high], ..], ..}, "neyman": ..,
                           "values": [..], "statistic": [..], "critical": {"neyman": ..}}},
     "nuisances": {NAME: {"best_fit", "error", "measured", "width", ..}},
     "region": {"statistic": [[..]], "critical": {"asymptotic": {"68": c}, "neyman": ..}},
     "data": {..}, "information": {..}, "toys": {..}, "provenance": {..}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lfi_mflow.errors import FileFormatError
from lfi_mflow.files import atomic_output, read_json
from lfi_mflow.provenance import provenance

__all__ = ["Limits", "level_name"]

FORMAT = "lfi-mflow limits"
SCHEMA_VERSION = 1
_REMEDY = "make them again with: lfi-mflow limits"
_KEYS = ("parameters", "nuisances", "region", "data", "information", "toys", "provenance")


@dataclass(frozen=True)
class Limits:
    """Best fit, errors and confidence regions of one or two parameters.

    Arguments:
        parameters: By name of the parameters of interest, ``best_fit``, ``error`` (from
            the second derivatives, None if there is none), ``at_limit``, ``minos`` by
            level, the pieces of the intervals ``asymptotic`` and, with toys, ``neyman``
            by level, ``credible`` where nuisances were marginalised, and the profile:
            ``values``, ``statistic`` and ``critical``.
        nuisances: By name, ``best_fit``, ``error``, ``measured`` and ``width``.
        region: Of two parameters, ``statistic`` on the grid of their ``values`` and the
            ``critical`` values of their joint regions; empty for one.
        data: What the limits are of: ``kind``, ``events``, ``effective_sample_size``,
            ``expected``, ``luminosity``, ``efficiency``, ``shape_only``.
        information: Fisher information at the best fit or Asimov point.
        toys: Their number, seed, source and pool; empty without.
        provenance: Versions, command and time.
    """

    parameters: Mapping[str, Mapping[str, Any]]
    nuisances: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    region: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    information: Mapping[str, Any] = field(default_factory=dict)
    toys: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=provenance)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON; what is not finite is None."""
        head = {"format": FORMAT, "schema_version": SCHEMA_VERSION}
        return {**head, **{key: _plain(getattr(self, key)) for key in _KEYS}}

    def save(self, path: Path | str) -> None:
        """Write ``limits.json``; it appears complete or not at all.

        Raises:
            StorageError: If the disk is full or cannot be written.
        """
        content = json.dumps(self.to_table(), allow_nan=False)
        with atomic_output(Path(path)) as temporary:
            temporary.write_text(content + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path | str) -> Limits:
        """Read ``limits.json``.

        Raises:
            FileFormatError: If the file is missing or holds no limits.
        """
        path = Path(path)
        table = read_json(path, "limits", _REMEDY)
        try:
            found = (table["format"], table["schema_version"])
            fields = {key: dict(table[key]) for key in _KEYS}
        except (ValueError, KeyError, TypeError) as error:
            raise _foreign(path, str(error)) from error
        if found != (FORMAT, SCHEMA_VERSION):
            raise _foreign(path, f"version {found[1]} of {found[0]}")
        return cls(**fields)


def level_name(level: float) -> str:
    """Return how a confidence level is called in the file: 0.68 is "68"."""
    return f"{100 * level:g}"


def _foreign(path: Path, found: str) -> FileFormatError:
    """Return the error of a file that holds no limits."""
    return FileFormatError(f"limits of this version in {path}", found, _REMEDY)


def _plain(value: Any) -> Any:
    """Turn mappings, sequences, arrays and numbers into JSON-able values."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.8g}") if math.isfinite(value) else None
    return value
