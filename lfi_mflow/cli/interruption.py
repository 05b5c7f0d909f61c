"""Ctrl-C: what was saved, and the exact command that goes on."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from lfi_mflow.errors import Interrupted

__all__ = ["command_line", "remember_arguments", "resumable", "typed_arguments"]

_KEY = "lfi_mflow.arguments"


def remember_arguments(context: click.Context, arguments: Sequence[str]) -> None:
    """Keep what was typed after ``lfi-mflow``."""
    context.meta[_KEY] = tuple(arguments)


def typed_arguments() -> tuple[str, ...]:
    """Return what was typed after ``lfi-mflow`` for the command that runs."""
    return tuple(click.get_current_context().meta.get(_KEY, ()))


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
        what = str(stop) or "stopped"
        if saved():
            message = f"{what}; go on with: {command_line(typed_arguments(), *extra)}"
        else:
            message = f"stopped, nothing was saved yet; start again with: {_again()}"
        raise Interrupted(message) from stop


def _again() -> str:
    """Return the command that was typed."""
    return command_line(typed_arguments())
