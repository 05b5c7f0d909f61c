"""The entry point: runs a command and turns what goes wrong into one line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from lfi_mflow.cli.console import error, speaks
from lfi_mflow.cli.group import LazyGroup
from lfi_mflow.cli.interruption import command_line
from lfi_mflow.errors import Interrupted, LfiMflowError, LostProcessError

__all__ = ["cli", "main"]


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has an example: lfi-mflow COMMAND --help",
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
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
        return 1
    return status


def _run(arguments: list[str]) -> int:
    """Run a command and report the errors that are meant for the user."""
    try:
        status = cli.main(arguments, prog_name="lfi-mflow", standalone_mode=False)
    except LfiMflowError as problem:
        _say(problem)
        return problem.exit_status
    except click.Abort:
        again = command_line(arguments)
        error(f"stopped, nothing was written; start again with: {again}", prefix="Interrupted")
        return Interrupted.exit_status
    except click.ClickException as problem:
        error(_usage(problem))
        return problem.exit_code
    return status if isinstance(status, int) else 0


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


def _silence_stdout() -> None:
    """Leave quietly when the reader of a pipe has gone: nothing is flushed into it at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
