"""Curves of a training for TensorBoard, where they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lfi_mflow.cli.options import FILE
from lfi_mflow.errors import ConfigError, InputError

if TYPE_CHECKING:
    from lfi_mflow.training import Progress, ProgressCallback

__all__ = ["curves", "tensorboard_option"]

tensorboard_option = click.option(
    "--tensorboard",
    type=FILE,
    metavar="DIR",
    help="Folder for the curves of losses and rates, for TensorBoard.",
)


@contextmanager
def curves(folder: Path | None) -> Iterator[ProgressCallback]:
    """Write the losses and the learning rate of every epoch for TensorBoard.

    Arguments:
        folder: Where they go; None writes nothing.

    Yields:
        A callback for :func:`lfi_mflow.training.fit`.

    Raises:
        ConfigError: If TensorBoard is not installed.
        InputError: If the folder cannot be written.
    """
    if folder is None:
        yield lambda progress: None
        return
    try:
        writer = _writer_kind()(str(folder))
    except OSError as error:
        raise InputError(
            "a folder for TensorBoard that can be written",
            f"{folder}: {error.strerror}",
            "choose another",
        ) from error
    with writer:
        yield lambda progress: _add(writer, progress)


def _writer_kind() -> Callable[[str], Any]:
    """Return the class that writes such files."""
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - seldom asked for
    except ImportError as error:
        raise ConfigError(
            "TensorBoard for --tensorboard",
            "none",
            "pip install 'lfi-mflow[tensorboard]', or leave the option out",
        ) from error
    return SummaryWriter


def _add(writer: Any, progress: Progress) -> None:
    """Add a finished epoch."""
    if not progress.epoch_ended:
        return
    for name in ("loss", "validation", "learning_rate"):
        value = getattr(progress, name)
        if math.isfinite(value):
            writer.add_scalar(f"{progress.phase}/{name}", value, progress.step)
    writer.flush()
