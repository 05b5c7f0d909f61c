"""What a command says: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from lfi_mflow.cli.voice import plain, speaks, voice
from lfi_mflow.files import explain_storage_errors

__all__ = ["error", "log", "note", "show_facts", "show_result", "show_table", "warn"]

_WIDTH = 120


def log(line: str, **facts: Any) -> None:
    """Write a line about the progress of the work to stderr.

    Arguments:
        line: The line.
        facts: What it says, for programs: they stand in lines of JSON.
    """
    if speaks():
        voice().say("info", line, facts)


def note(line: str, **facts: Any) -> None:
    """Write a line to the log file alone, if there is one."""
    voice().note("info", line, facts)


def warn(words: str) -> None:
    """Write a warning to stderr."""
    if speaks():
        voice().say("warning", _one_line(words), prefix="Warning: ")


def error(message: str, *, prefix: str = "Error") -> None:
    """Write what went wrong to stderr, as one line."""
    voice().say("error", _one_line(message), prefix=f"{prefix}: ")


def show_result(line: str, record: Mapping[str, Any] | Sequence[Any], *, as_json: bool) -> None:
    """Write the result of a command to stdout: one line, or the record as JSON.

    Raises:
        StorageError: If stdout goes to a full disk.
    """
    if not speaks():
        return
    values = plain(record)
    voice().note("result", line, {"record": values})
    with explain_storage_errors(Path("stdout")):
        click.echo(json.dumps(values, indent=2, allow_nan=False) if as_json else line)


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
