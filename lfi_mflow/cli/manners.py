"""The manners that all commands share: what they say, where they log it, how they stop.

``with_manners`` gives every command the same options; they act on the voice of the
command that runs. ``stopped_by_signals`` lets SIGTERM and SIGHUP stop a command as Ctrl-C
does, so that whatever keeps its state for the one keeps it for the others.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from lfi_mflow.cli.interruption import command_line, typed_arguments
from lfi_mflow.cli.voice import Form, voice

__all__ = ["SIGNALS", "Stop", "stopped_by_signals", "with_manners"]

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""What batch systems and closed terminals send, beside SIGINT of Ctrl-C."""
_AGAIN_SECONDS = 0.05


def with_manners(command: click.Command) -> click.Command:
    """Add the options that all commands share, if they are not there."""
    there = {parameter.name for parameter in command.params}
    command.params += [option for option in _options() if option.name not in there]
    return command


def _options() -> list[click.Option]:
    """Return the options; each acts by its callback, and none reaches the command.

    The file is opened after the form of its lines is known: the others are eager.
    """
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_hush,
            help="Say nothing but the result, warnings and errors.",
        ),
        click.Option(
            ["--log-format"],
            type=click.Choice(["text", "json"]),
            default="text",
            expose_value=False,
            is_eager=True,
            callback=_choose_form,
            help="Lines of text, or of JSON for programs, on stderr and in the log file.  "
            "[default: text]",
        ),
        click.Option(
            ["--log-file"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            expose_value=False,
            callback=_open_file,
            help="Add what is said to this file, with the time.",
        ),
    ]


def _hush(context: click.Context, parameter: click.Parameter, quiet: bool) -> None:
    """Keep progress from stderr."""
    if quiet:
        voice().least = "result"


def _choose_form(context: click.Context, parameter: click.Parameter, form: Form) -> None:
    """Choose words or JSON."""
    voice().form = form


def _open_file(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    """Open the log file and say in it what begins."""
    if path is None:
        return
    voice().open(path)
    line = command_line(typed_arguments())
    facts = {"command": line, "process": os.getpid(), "host": platform.node()}
    voice().note("info", f"started: {line}", facts)


class Stop:
    """Which signal has asked a command to stop.

    Attributes:
        number: Number of the signal, that of Ctrl-C as long as none has come.
        asked: Whether one of :data:`SIGNALS` has come.
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT
        self.asked = False
        self._others = sys.unraisablehook
        self._again: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Stop as at Ctrl-C."""
        self.number, self.asked = number, True
        raise KeyboardInterrupt

    def ignored(self, what: sys.UnraisableHookArgs) -> None:
        """Ask again where Python has ignored it, as it does in destructors and callbacks."""
        if not issubclass(what.exc_type, KeyboardInterrupt):
            self._others(what)
            return
        self._again = threading.Timer(_AGAIN_SECONDS, os.kill, (os.getpid(), self.number))
        self._again.daemon = True
        self._again.start()

    def forget(self) -> None:
        """Ask no more: the command has ended."""
        if self._again is not None:
            self._again.cancel()

    @property
    def exit_status(self) -> int:
        """128 and the number of the signal, as shells have it."""
        return 128 + self.number


@contextmanager
def stopped_by_signals() -> Iterator[Stop]:
    """Let SIGTERM and SIGHUP stop what runs as Ctrl-C does.

    A signal that is ignored stays so: ``nohup`` means it. Signals belong to the main
    thread; in another one nothing is changed.
    """
    stop = Stop()
    main = threading.current_thread() is threading.main_thread()
    numbers = SIGNALS if main else ()
    taken = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    others = sys.unraisablehook
    if main:
        sys.unraisablehook = stop.ignored
    try:
        yield stop
    finally:
        stop.forget()
        sys.unraisablehook = others
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
