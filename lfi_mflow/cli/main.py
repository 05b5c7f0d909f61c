"""The entry point: runs a command and turns what goes wrong into one line and an exit status."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence

import click

from lfi_mflow.cli.console import error, note
from lfi_mflow.cli.group import LazyGroup
from lfi_mflow.cli.interruption import command_line
from lfi_mflow.cli.manners import Stop
from lfi_mflow.cli.voice import silence, speaking, speaks, voice
from lfi_mflow.errors import Interrupted, LfiMflowError, LostProcessError

__all__ = ["cli", "main"]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""Every command has an example: lfi-mflow COMMAND --help

    Exit status: 0 done; 1 failed; 2 bad input; 3 done, but the result is not to be trusted;
    129, 130 or 143 stopped by SIGHUP, Ctrl-C or SIGTERM.""",
)
@click.version_option(package_name="lfi-mflow")
def cli() -> None:
    """Simulation-based inference with conditional manifold-learning flows.

    Simulate or import events, train a flow on them, infer the parameters of
    observed events, test the flow, and report.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    What the user can mend is one line on stderr. A mistake of the program keeps
    its traceback.

    Arguments:
        arguments: What follows ``lfi-mflow``; what the process was given by default.
    """
    # Read when torch loads its OpenMP: idle threads sleep instead of spinning on shared cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    stop = Stop()
    try:
        with speaking(), stop.listening():
            return _run_and_note(arguments, stop)
    except KeyboardInterrupt:  # a moment earlier or later still
        return stop.exit_status


def _run_and_note(arguments: list[str], stop: Stop) -> int:
    """Run a command and note how it ends."""
    start = time.monotonic()
    try:
        status = _run(arguments, stop)
        sys.stdout.flush()
    except BrokenPipeError:
        silence(sys.stdout)
        status = 1
    except Exception as bug:
        voice().note("error", repr(bug), {"traceback": traceback.format_exc()})
        if not stop.asked:
            raise
        status = _stopped(arguments, stop)  # libraries in C make other errors of a signal
    stop.heard()
    if stop.asked and status:
        status = stop.exit_status
    seconds = time.monotonic() - start
    note(f"ended with status {status} after {seconds:.1f} s", status=status, seconds=seconds)
    return status


def _run(arguments: list[str], stop: Stop) -> int:
    """Run a command and report the errors that are meant for the user."""
    try:
        status = cli.main(arguments, prog_name="lfi-mflow", standalone_mode=False)
    except Interrupted as stopped:
        _say(stopped)
        return stop.exit_status
    except LfiMflowError as problem:
        _say(problem)
        return problem.exit_status
    except (click.Abort, KeyboardInterrupt):  # before or after the command itself
        return _stopped(arguments, stop)
    except click.ClickException as problem:
        error(_usage(problem))
        return problem.exit_code
    return status if isinstance(status, int) else 0


def _stopped(arguments: list[str], stop: Stop) -> int:
    """Say that a command has stopped, where no more is known, and return the exit status."""
    error(f"stopped; start again with: {command_line(arguments)}", prefix="Interrupted")
    return stop.exit_status


def _say(problem: LfiMflowError) -> None:
    """Write the error of a command once; that a process is lost may be news to any other."""
    if speaks() or isinstance(problem, LostProcessError):
        error(str(problem), prefix="Interrupted" if isinstance(problem, Interrupted) else "Error")


def _usage(problem: click.ClickException) -> str:
    """Say what is wrong with the options, and where to look."""
    text = problem.format_message().rstrip(".")
    context = getattr(problem, "ctx", None)
    path = "lfi-mflow" if context is None else context.command_path
    return f"{text}; see: {path} --help"


if __name__ == "__main__":
    sys.exit(main())
