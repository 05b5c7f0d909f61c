"""What a command says: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

__all__ = ["error", "log", "show_facts", "show_result", "show_table", "speaks", "warn"]

_WIDTH = 120


def speaks() -> bool:
    """Whether this process is the one that speaks: of those that torchrun started, the first."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


def log(line: str) -> None:
    """Write a line about the progress of the work to stderr."""
    if speaks():
        click.echo(line, err=True)


def warn(words: str) -> None:
    """Write a warning to stderr."""
    log(f"Warning: {_one_line(words)}")


def error(message: str, *, prefix: str = "Error") -> None:
    """Write what went wrong to stderr, as one line."""
    click.echo(f"{prefix}: {_one_line(message)}", err=True)


def show_result(line: str, record: Mapping[str, Any] | Sequence[Any], *, as_json: bool) -> None:
    """Write the result of a command to stdout: one line, or the record as JSON."""
    if not speaks():
        return
    if as_json:
        click.echo(json.dumps(_plain(record), indent=2, allow_nan=False))
    else:
        click.echo(line)


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, text: int = 1) -> None:
    """Write a table to stdout.

    Arguments:
        header: Names of the columns.
        rows: Their cells.
        text: How many of the first columns are text; the others are numbers and
            stand at the right.
    """
    from rich import box  # noqa: PLC0415 - help needs none of it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index < text else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(_escaped, row))
    width = None if sys.stdout.isatty() else _WIDTH
    Console(file=sys.stdout, width=width, highlight=False).print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Write names and values to stdout, one pair a line; what is None is left out."""
    present = {name: value for name, value in facts.items() if value is not None}
    width = max(map(len, present), default=0)
    for name, value in present.items():
        click.echo(f"{name:<{width}}  {value}")


def _escaped(cell: str) -> str:
    """Keep rich from reading brackets as its markup."""
    from rich.markup import escape  # noqa: PLC0415

    return escape(cell)


def _one_line(text: str) -> str:
    """Put a message on one line."""
    return " ".join(text.splitlines())


def _plain(value: Any) -> Any:
    """Turn numbers that JSON does not know into null, and paths into text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
