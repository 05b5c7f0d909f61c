"""How a command speaks: to stderr and to a log file, in words or in lines of JSON.

Nothing that goes wrong here ends a run: words are worth less than the work.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TextIO

import click

from lfi_mflow.errors import InputError

__all__ = ["Form", "Level", "Voice", "plain", "silence", "speaking", "speaks", "voice"]

Level = Literal["info", "result", "warning", "error"]
Form = Literal["text", "json"]

_LEVELS: tuple[Level, ...] = ("info", "result", "warning", "error")


class Voice:
    """What is said to whom, and in what form.

    Attributes:
        least: The lowest level of what is said on stderr.
        form: Lines of text, or of JSON.
    """

    def __init__(self) -> None:
        self.least: Level = "info"
        self.form: Form = "text"
        self._file: TextIO | None = None

    @property
    def draws(self) -> bool:
        """Whether a bar may take the place of lines about the progress."""
        wanted = self.form == "text" and self.least == "info"
        return wanted and speaks() and sys.stderr.isatty()

    def open(self, path: Path) -> None:
        """Add everything that is said from now on to a file, if this process speaks.

        Raises:
            InputError: If the file cannot be written.
        """
        if not speaks():
            return
        try:
            self._file = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InputError(
                "a log file that can be written", f"{path}: {error.strerror}", "choose another"
            ) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def say(
        self, level: Level, line: str, facts: Mapping[str, Any] | None = None, prefix: str = ""
    ) -> None:
        """Write a line to stderr and to the file.

        Arguments:
            level: What kind of line it is.
            line: The line.
            facts: What it says, for lines of JSON.
            prefix: What stands before it on stderr, where nothing else tells the level.
        """
        self.note(level, line, facts)
        if _LEVELS.index(level) < _LEVELS.index(self.least):
            return
        text = f"{prefix}{line}" if self.form == "text" else _json_line(level, line, facts)
        try:
            click.echo(text, err=True)
        except OSError:  # the terminal was closed, or who read has gone
            silence(sys.stderr)

    def note(self, level: Level, line: str, facts: Mapping[str, Any] | None = None) -> None:
        """Write a line to the file alone, if there is one."""
        if self._file is None:
            return
        stamped = f"{_now()} {level} {line}"
        try:
            self._file.write(
                f"{stamped if self.form == 'text' else _json_line(level, line, facts)}\n"
            )
        except OSError as error:
            name, reason = self._file.name, error.strerror
            self.close()
            self.say("warning", f"no more is logged to {name}: {reason}", prefix="Warning: ")


def speaks() -> bool:
    """Whether this process is the one that speaks: of those that torchrun started, the first."""
    return "WORLD_SIZE" not in os.environ or os.environ.get("RANK", "0") == "0"


_voices = [Voice()]  # the last is that of the command that runs


def voice() -> Voice:
    """Return the voice of the command that runs."""
    return _voices[-1]


@contextmanager
def speaking() -> Iterator[Voice]:
    """Give a command a voice of its own, which its options may change."""
    _voices.append(Voice())
    try:
        yield _voices[-1]
    finally:
        _voices.pop().close()


def silence(stream: TextIO) -> None:
    """Send a stream that nobody reads any more to nowhere: nothing is flushed into it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def plain(value: Any) -> Any:
    """Turn numbers that JSON does not know into null, and paths into text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def _now() -> str:
    """Return the time, for people to read: nothing compares it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _json_line(level: Level, line: str, facts: Mapping[str, Any] | None) -> str:
    """Write a line for programs."""
    record = {"time": _now(), "level": level, "message": line, **plain(facts or {})}
    return json.dumps(record, allow_nan=False)
