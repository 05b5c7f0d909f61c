"""The manners that all commands share: what they say, where they log it, how they stop.

``with_manners`` gives every command the same options; they act on the voice of the
command that runs. ``Stop`` lets SIGTERM and SIGHUP stop a command as Ctrl-C does, so that
whatever keeps its state for the one keeps it for the others, and sees to it that none gets lost.
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
from lfi_mflow.interruption import SIGNALS

__all__ = ["Stop", "with_manners"]

_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
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

    Libraries in C may lose the exception that a signal raises, and Python itself ignores it in
    destructors and callbacks. So it is raised again until it is heard.

    Attributes:
        number: Number of the signal, that of Ctrl-C as long as none has come.
        asked: Whether one of :data:`lfi_mflow.interruption.SIGNALS` has come.
    """

    def __init__(self) -> None:
        self.number: int = signal.SIGINT
        self.asked = False
        self._complain = sys.unraisablehook

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Stop what runs."""
        self.number, self.asked = number, True
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self._again)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
        raise KeyboardInterrupt

    def _again(self, number: int, frame: FrameType | None) -> None:
        """Ask again, unless what runs is being torn down."""
        if sys.exc_info()[0] is None:
            signal.raise_signal(self.number)

    def _ignored(self, what: sys.UnraisableHookArgs) -> None:
        """Pass on what destructors complain of, but not once they are in the midst of a stop."""
        if not self.asked:
            self._complain(what)

    def heard(self) -> None:
        """Ask no more: the command has stopped, or ended."""
        if signal.getsignal(signal.SIGALRM) == self._again:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    @property
    def exit_status(self) -> int:
        """128 and the number of the signal, as shells have it."""
        return 128 + self.number

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals, until a command has ended.

        A signal that is ignored stays so: ``nohup`` means it. Signals belong to the main
        thread; in another one nothing is changed.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        taken = {number: how for number, how in before.items() if how in _DEFAULTS}
        try:
            sys.unraisablehook = self._ignored
            for number in taken:
                signal.signal(number, self)
            yield
        finally:
            self.heard()
            for number, how in taken.items():
                signal.signal(number, how)
            sys.unraisablehook = self._complain
