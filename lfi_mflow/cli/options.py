"""Options that several commands share, and the checks that come before any work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from lfi_mflow.cli.interruption import remember_output
from lfi_mflow.cli.voice import speaks
from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.files import check_output, locked_output

__all__ = [
    "AUTO",
    "FILE",
    "claim_output",
    "config_option",
    "device_option",
    "drop_nonfinite_option",
    "example",
    "force_option",
    "json_option",
    "limited_threads",
    "mapping_options",
    "output_option",
    "prior_option",
    "read_latent_dim",
    "read_point",
    "recorded_simulator_option",
    "seed_option",
    "settings_option",
    "theta_option",
    "threads_option",
]

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
"""A path; whether the file is there is checked by what reads it, with a better message."""


AUTO = "auto"
"""The word for a dimension that is estimated."""


def read_latent_dim(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> int | str | None:
    """Read a dimension n >= 1, or the word ``auto``."""
    if text is None or text == AUTO:
        return text
    n: int | None = click.IntRange(min=1)(text, parameter, context)
    return n


def example(*commands: str) -> str:
    """Return the end of a help text with examples."""
    return "\b\nExample:\n" + "\n".join(f"  {command}" for command in commands)


def output_option(meaning: str) -> Callable[[F], F]:
    """Return ``-o``, the file to write."""
    return click.option("-o", "--output", type=FILE, required=True, metavar="FILE", help=meaning)


def claim_output(output: Path, *inputs: Path, force: bool) -> None:
    """Check that the output may be written, before any work is done.

    Until the command ends, no other one may write it; of processes that torchrun started,
    the first one writes.

    Raises:
        InputError: If it exists and ``force`` is false, cannot be written, is
            one of the inputs, or another command is about to write it.
    """
    for path in inputs:
        if output.resolve() == path.resolve():
            raise InputError(
                "an output that is none of the inputs", str(output), "choose another name"
            )
    context = click.get_current_context(silent=True)
    if context is not None and speaks():
        context.with_resource(locked_output(output))
        remember_output(context, output)
    check_output(output, force=force)


force_option = click.option("--force", is_flag=True, help="Replace an output that exists.")

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all randomness: equal seeds give equal results.",
)

drop_nonfinite_option = click.option(
    "--drop-nonfinite",
    is_flag=True,
    help="Leave out events with NaN or infinite values and count them, instead of failing.",
)

recorded_simulator_option = click.option(
    "--simulator",
    metavar="NAME",
    help="Simulator, where it is path/to/file.py:Class.  [default: the registered one of the "
    "events]",
)

prior_option = click.option(
    "--prior",
    metavar="TEXT",
    help="'uniform(-1, 1)' for every parameter, 'a ~ normal(0, 2); b ~ uniform(0, 1)', or a "
    "FILE.toml with a table [prior].",
)

device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda", "mps"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)

threads_option = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads on the CPU.  [default: OMP_NUM_THREADS, or the cores this process may use]",
)


def config_option(meaning: str) -> Callable[[F], F]:
    """Return ``--config``, a TOML file."""
    return click.option("--config", "config_path", type=FILE, metavar="FILE.toml", help=meaning)


@contextmanager
def limited_threads(threads: int | None) -> Iterator[None]:
    """Let torch use a number of threads; None means all it may use.

    The library itself never touches this number: it belongs to the process.
    """
    import torch  # noqa: PLC0415 - help needs no torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or _available_threads())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _available_threads() -> int:
    """Return what the batch system or the user allows, or the cores of this process."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    if allowed.isdigit() and int(allowed) > 0:
        return int(allowed)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_settings(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> dict[str, Any]:
    """Read ``key=value`` pairs; a value is JSON, or text where it is not."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise ConfigError("--set key=value", repr(pair), "write for example --set dim=2")
        if key.strip() in settings:
            raise ConfigError(f"one value for {key.strip()!r}", "two", "remove one")
        try:
            settings[key.strip()] = json.loads(text)
        except ValueError:
            settings[key.strip()] = text
    return settings


settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    callback=_read_settings,
    help="Setting of the simulator; may be repeated.",
)


def read_point(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[float, ...] | None:
    """Read numbers between commas."""
    if text is None:
        return None
    try:
        return tuple(float(value) for value in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"{parameter.opts[0]} with numbers between commas",
            repr(text),
            f"write for example {parameter.opts[0]} 0.1,2",
        ) from error


def theta_option(meaning: str) -> Callable[[F], F]:
    """Return ``--theta``, a parameter point."""
    return click.option("--theta", metavar="V1,V2", callback=read_point, help=meaning)


_MAPPING_OPTIONS = (
    click.option("--tree", metavar="NAME", help="Tree to read; not needed if there is only one."),
    click.option(
        "--observable",
        "observables",
        multiple=True,
        metavar="EXPR",
        help="Branch or expression, as 'Muon_Px[:,0]' or 'm = sqrt(E**2 - p**2)'; repeat it.",
    ),
    click.option(
        "--mapping",
        "mapping_path",
        type=FILE,
        metavar="FILE.toml",
        help="The columns from a file with the keys tree, observables, parameters and weight.",
    ),
)


def mapping_options(function: F) -> F:
    """Add ``--tree``, ``--observable`` and ``--mapping``."""
    for option in reversed(_MAPPING_OPTIONS):
        function = option(function)
    return function
