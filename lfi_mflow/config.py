"""Strict TOML: a table becomes a frozen dataclass, an unknown key is an error.

A configuration is a dataclass whose fields have types and defaults. Nested
dataclasses are nested tables, tuples of dataclasses are arrays of tables.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError
from lfi_mflow.files import require_file

__all__ = ["from_table", "read_toml"]

T = TypeVar("T")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        FileFormatError: If the file is missing or is not TOML.
    """
    require_file(path, "a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileFormatError(f"TOML in {path}", str(error), "mend the file") from error


def from_table(kind: type[T], table: Mapping[str, Any], where: str) -> T:
    """Build a dataclass of type ``kind`` from a table.

    Arguments:
        kind: The dataclass.
        table: Keys and values as TOML or JSON gives them.
        where: Where the table stands, for the error messages.

    Raises:
        UnknownNameError: If a key is not a field; the nearest fields are offered.
        ConfigError: If a value is missing or has another type than its field.
    """
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise UnknownNameError(f"key in {where}", key, known)
    for name, field in known.items():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and name not in table:
            raise ConfigError(f"the key {name!r} in {where}", "none", "add it")
    values = {
        key: _convert(hints[key], value, f"{where}, key {key!r}") for key, value in table.items()
    }
    return kind(**values)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Convert a TOML value to the type of its field."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise UnknownNameError(f"choice for {where}", str(value), map(str, arguments))
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], item, where) for item in value)
    if origin in (dict, Mapping) and isinstance(value, Mapping):
        return {key: _convert(arguments[1], item, where) for key, item in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_table(typing.cast("type[Any]", hint), value, where)
    return _convert_scalar(hint, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    """Convert to the first alternative that takes the value."""
    if value is None and type(None) in arguments:
        return None
    alternatives = [argument for argument in arguments if argument is not type(None)]
    for alternative in alternatives[:-1]:
        try:
            return _convert(alternative, value, where)
        except (ConfigError, UnknownNameError):
            continue
    return _convert(alternatives[-1], value, where)


def _float(value: int, where: str) -> float:
    """Turn an integer into a float: JSON and TOML know larger ones."""
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError(
            f"a number for {where}", f"one of {value.bit_length():,} bits", "correct it"
        ) from error


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    """Check a plain value; an integer is accepted where a float is wanted."""
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _float(value, where)
    if isinstance(hint, type) and type(value) is hint:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    name = getattr(hint, "__name__", str(hint))
    raise ConfigError(f"a value of type {name} for {where}", repr(value), "correct it")
