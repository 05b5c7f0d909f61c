"""Which columns of a foreign file are the observables, parameters and weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lfi_mflow.config import from_table, read_toml
from lfi_mflow.data.expressions import Expression
from lfi_mflow.errors import ConfigError

__all__ = ["Column", "ColumnMapping"]


@dataclass(frozen=True)
class Column:
    """A named expression.

    Arguments:
        name: Name of the column; the text of the expression if none was given.
        expression: What it is computed from.
        named: Whether a name was given.
    """

    name: str
    expression: Expression
    named: bool

    @staticmethod
    def parse(text: str) -> Column:
        """Read ``EXPRESSION`` or ``NAME = EXPRESSION``.

        Raises:
            ConfigError: If the expression cannot be read.
        """
        name, equals, expression = text.partition("=")
        if not equals:
            return Column(text.strip(), Expression(text), named=False)
        if not name.strip():
            raise ConfigError("NAME = EXPRESSION", repr(text), "give the name or leave '=' out")
        return Column(name.strip(), Expression(expression), named=True)


@dataclass(frozen=True)
class ColumnMapping:
    """Where the columns of events stand in a foreign file.

    Each entry is an expression of branches, see :mod:`lfi_mflow.data.expressions`,
    or ``NAME = EXPRESSION``; a column without a name is named by its expression.

    Arguments:
        tree: The TTree or RNTuple to read; None if the file holds only one.
        observables: The columns of x, in the order of the model's observables.
        parameters: The columns of theta; none for observed events.
        weight: The event weight, None if all weights are one.

    Raises:
        ConfigError: If there is no observable, a name occurs twice, or an
            expression cannot be read.
    """

    tree: str | None
    observables: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    weight: str | None = None

    def __post_init__(self) -> None:
        """Parse every expression, so that mistakes show before a file is opened."""
        if not self.observables:
            raise ConfigError("at least one observable", "none", "name the branches to read")
        names = [column.name for column in (*self.observable_columns, *self.parameter_columns)]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    "columns of different names", f"{name!r} twice", "write NAME = EXPRESSION"
                )
        _ = self.weight_column

    @property
    def observable_columns(self) -> tuple[Column, ...]:
        """The columns of x."""
        return tuple(Column.parse(text) for text in self.observables)

    @property
    def parameter_columns(self) -> tuple[Column, ...]:
        """The columns of theta."""
        return tuple(Column.parse(text) for text in self.parameters)

    @property
    def weight_column(self) -> Column | None:
        """The event weight."""
        return None if self.weight is None else Column.parse(self.weight)

    def to_table(self) -> dict[str, Any]:
        """Return plain values for JSON or TOML."""
        table = dataclasses.asdict(self)
        return {key: value for key, value in table.items() if value is not None}

    @staticmethod
    def from_table(table: Mapping[str, Any], where: str = "the mapping") -> ColumnMapping:
        """Build a mapping from the keys tree, observables, parameters and weight.

        A tree or weight may stand in a list of one, like the others.

        Raises:
            ConfigError: If a value is of another type.
            UnknownNameError: If a key is unknown; the nearest are offered.
        """
        plain = {"tree": None, **table}
        for key in ("tree", "weight"):
            value = plain.get(key)
            if isinstance(value, list) and len(value) == 1:
                plain[key] = value[0]
        return from_table(ColumnMapping, plain, where)

    @staticmethod
    def from_toml(path: Path | str) -> ColumnMapping:
        """Read a mapping from a TOML file.

        Raises:
            FileFormatError: If the file is missing or is not TOML.
            ConfigError: If a value is of another type.
            UnknownNameError: If a key is unknown; the nearest are offered.
        """
        return ColumnMapping.from_table(read_toml(Path(path)), str(path))
