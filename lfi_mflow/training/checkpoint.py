"""Checkpoints: all that a run needs to go on bit for bit after the last finished epoch.

The file is read with ``weights_only``: tensors and plain values, no code.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lfi_mflow.errors import ConfigError, FileFormatError
from lfi_mflow.files import atomic_output
from lfi_mflow.training.distributed import Ranks

__all__ = ["Checkpoint", "CheckpointFile", "drop_checkpoint"]

_DAMAGE = (
    *(RuntimeError, EOFError, OSError, pickle.UnpicklingError),  # not a file of torch
    *(AttributeError, KeyError, TypeError, ValueError),  # a file of torch with something else
)


@dataclass(frozen=True)
class Checkpoint:
    """The state after a finished epoch.

    Arguments:
        phase: Index of the phase.
        flow: Weights of the flow.
        best: Weights with the smallest validation loss of the phase.
        optimiser: State of the optimiser.
        history: The record so far.
    """

    phase: int
    flow: dict[str, Any]
    best: dict[str, Any]
    optimiser: dict[str, Any]
    history: dict[str, Any]


@dataclass(frozen=True)
class CheckpointFile:
    """Where a run keeps its checkpoint.

    Arguments:
        path: The file.
        run: What identifies the run: configuration and data.
    """

    path: Path
    run: dict[str, Any]

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint.

        Raises:
            StorageError: If the disk is full or cannot be written.
        """
        buffer = io.BytesIO()  # in memory first: torch hides the system's errors
        torch.save({"run": self.run, **vars(checkpoint)}, buffer)
        with atomic_output(self.path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load(self) -> Checkpoint:
        """Read the checkpoint.

        Raises:
            FileFormatError: If the file is damaged.
            ConfigError: If it belongs to a run with another configuration or data.
        """
        try:
            state = torch.load(self.path, weights_only=True, map_location="cpu")
            run = dict(state.pop("run"))
            checkpoint = Checkpoint(**state)
        except _DAMAGE as error:
            raise FileFormatError(
                f"a checkpoint at {self.path}", "a damaged file", "train without --resume"
            ) from error
        for key, value in self.run.items():
            if run.get(key) != value:
                raise ConfigError(
                    f"a checkpoint of this run in {self.path}",
                    f"one with another {key}",
                    "use the same options, or train without --resume",
                )
        return checkpoint

    def exists(self) -> bool:
        """Say whether there is a checkpoint."""
        return self.path.is_file()

    def remove(self) -> None:
        """Forget the checkpoint."""
        self.path.unlink(missing_ok=True)


def drop_checkpoint(path: Path) -> None:
    """Delete a checkpoint if there is one; none of several processes goes on before it is gone."""
    ranks = Ranks.current()
    if ranks.leads:
        path.unlink(missing_ok=True)
    ranks.wait()
