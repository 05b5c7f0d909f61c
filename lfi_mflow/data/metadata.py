"""What an event file says about its events."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lfi_mflow.config import from_table
from lfi_mflow.simulation import Observable, Parameter

__all__ = ["EventMetadata"]


@dataclass(frozen=True)
class EventMetadata:
    """Where events come from and what their columns mean.

    Arguments:
        parameters: The p parameters, the columns of theta; none for observed events.
        observables: The d observables, the columns of x.
        manifold_dim: Dimension n of the manifold, None if unknown.
        simulator: Name of the simulator, or ``path.py:Class``; None for imported events.
        settings: Settings of the simulator.
        seed: Seed of the production.
        prior: The prior that theta was drawn from, as ``Prior.to_table()`` gives it.
        provenance: Versions, command and time, see :func:`lfi_mflow.provenance.provenance`.
        counts: Numbers worth knowing, such as of the rows that were dropped and why.
    """

    parameters: tuple[Parameter, ...]
    observables: tuple[Observable, ...]
    manifold_dim: int | None = None
    simulator: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    prior: list[dict[str, Any]] | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The names of the columns of theta."""
        return tuple(parameter.name for parameter in self.parameters)

    @property
    def observable_names(self) -> tuple[str, ...]:
        """The names of the columns of x."""
        return tuple(observable.name for observable in self.observables)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON; a missing bound is None."""
        table = dataclasses.asdict(self)
        for parameter in table["parameters"]:
            for bound in ("low", "high"):
                if math.isinf(parameter[bound]):
                    parameter[bound] = None
        return table

    @staticmethod
    def from_table(table: Mapping[str, Any]) -> EventMetadata:
        """Rebuild the metadata from :meth:`to_table`.

        Raises:
            ConfigError: If a key is missing or its value has another type.
            UnknownNameError: If there is a key of another name.
        """
        plain = {key: value for key, value in table.items() if key != "prior"}
        if isinstance(table.get("parameters"), list | tuple):
            plain["parameters"] = [_without_missing_bounds(row) for row in table["parameters"]]
        metadata = from_table(EventMetadata, plain, "the metadata of the events")
        return dataclasses.replace(metadata, prior=table.get("prior"))


def _without_missing_bounds(row: Any) -> Any:
    """Leave out bounds that are None, so that they become infinite."""
    if not isinstance(row, Mapping):
        return row
    return {key: row[key] for key in row if key not in ("low", "high") or row[key] is not None}
