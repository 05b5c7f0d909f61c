"""The group of commands: each is a file of its own, imported when it is asked for."""

from __future__ import annotations

import importlib
from typing import Any

import click

from lfi_mflow.cli.interruption import remember_arguments, stopped
from lfi_mflow.cli.manners import with_manners
from lfi_mflow.errors import UnknownNameError
from lfi_mflow.interruption import interruptible

__all__ = ["COMMANDS", "LazyGroup"]

COMMANDS = {
    "simulators": "simulators",
    "simulate": "simulate",
    "import": "import_file",
    "export": "export",
    "merge": "merge",
    "resample": "resample",
    "morph": "morph",
    "models": "models",
    "dimension": "dimension",
    "train": "train",
    "infer": "infer",
    "limits": "limits",
    "score": "score",
    "closure": "closure",
    "recalibrate": "recalibrate",
    "report": "report",
    "info": "info",
}
"""The commands in the order of the work, each with the name of its module."""

_HELP = {"-h", "--help"}


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used.

    A module of a command imports nothing heavy either: torch, numpy and the like
    are imported when it runs, so that help is there at once.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the work."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"lfi_mflow.cli.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return with_manners(command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is asked for.

        Raises:
            UnknownNameError: If there is none; the nearest are offered.
        """
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UnknownNameError("command", args[0], COMMANDS)
        if args[:1] == ["infer"] and "--limits" in args and not _HELP.intersection(args):
            args = ["limits", *(word for word in args[1:] if word != "--limits")]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what was typed: an interrupted command tells how to go on."""
        remember_arguments(ctx, args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what stops it is reported by the entry point.

        Raises:
            Interrupted: On Ctrl-C, before click writes to a terminal that may be closed.
        """
        try:
            with interruptible():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            raise stopped() from None
