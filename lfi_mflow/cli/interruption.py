"""Ctrl-C: what was written or saved, and the exact command that goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from lfi_mflow.errors import Interrupted

__all__ = [
    "command_line",
    "remember_arguments",
    "remember_output",
    "resumable",
    "stopped",
    "typed_arguments",
]

_ARGUMENTS, _OUTPUT = "lfi_mflow.arguments", "lfi_mflow.output"


def remember_arguments(context: click.Context, arguments: Sequence[str]) -> None:
    """Keep what was typed after ``lfi-mflow``."""
    context.meta[_ARGUMENTS] = tuple(arguments)


def typed_arguments() -> tuple[str, ...]:
    """Return what was typed after ``lfi-mflow`` for the command that runs."""
    return tuple(click.get_current_context().meta.get(_ARGUMENTS, ()))


def remember_output(context: click.Context, path: Path) -> None:
    """Keep which file will be written, and which one is there now."""
    context.meta[_OUTPUT] = path, _identity(path)


def command_line(arguments: Sequence[str], *extra: str) -> str:
    """Return a command as one types it; ``extra`` options are added if they are missing."""
    added = [option for option in extra if option not in arguments]
    return shlex.join(["lfi-mflow", *arguments, *added])


@contextmanager
def resumable(saved: Callable[[], bool], *extra: str) -> Iterator[None]:
    """Say after Ctrl-C what was saved and how to go on.

    Arguments:
        saved: Whether there is something to go on from.
        extra: Options to add to the command that goes on.

    Raises:
        Interrupted: On Ctrl-C.
    """
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as stop:
        if not saved() or _written() is not None:
            raise stopped("nothing was saved yet") from stop
        what, again = str(stop) or "stopped", command_line(typed_arguments(), *extra)
        raise Interrupted(f"{what}; go on with: {again}") from stop


def stopped(nothing: str = "nothing was written") -> Interrupted:
    """Return the error of a command that has been stopped and cannot go on.

    Arguments:
        nothing: What to say if its output is not there.
    """
    output = _written()
    if output is not None:
        return Interrupted(f"stopped when {output} had just been written, which is whole")
    return Interrupted(f"stopped, {nothing}; start again with: {command_line(typed_arguments())}")


def _written() -> Path | None:
    """Return the output if the command has written it by now."""
    path, before = click.get_current_context().meta.get(_OUTPUT, (None, None))
    return path if path is not None and _identity(path) != before else None


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell a file from the one that it has replaced; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
