"""Losses as compiled code.

torch.compile makes one program of a loss and its gradient: fewer passes through memory, and no
Python between operations. To make it takes up to some minutes, so that it pays in
long trainings alone (``docs/performance.md``). torch keeps what it has made on disk, and
takes it again for the same loss.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from lfi_mflow.errors import ConfigError
from lfi_mflow.training.events import Batch

__all__ = ["compiled"]

Loss = Callable[[Batch], Tensor]

_REMEDY = "install a C++ compiler (g++) and the headers of Python, or do not compile"


def compiled(loss: Loss, device: torch.device) -> Loss:
    """Return a loss that compiles itself in its first call.

    Its values are those of the loss up to rounding.

    Arguments:
        loss: The mean loss of batches of equal size.
        device: Where it is computed.

    Raises:
        ConfigError: If there is no compiler for a CPU; or in the first call, if it fails.
    """
    from torch._dynamo.exc import TorchDynamoException  # noqa: PLC0415 - takes two seconds

    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    if device.type == "cpu" and not any(map(shutil.which, names)):
        raise ConfigError("a C++ compiler, to compile the loss", "none", _REMEDY)
    with warnings.catch_warnings():  # of torch, about what it imports here
        warnings.simplefilter("ignore", DeprecationWarning)
        fast: Loss = torch.compile(loss)

    def explained(batch: Batch) -> Tensor:
        try:
            with warnings.catch_warnings():  # of torch, about what it does itself
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor")
                return fast(batch)
        except TorchDynamoException as error:
            cause = str(error).strip().splitlines()[0]
            raise ConfigError("a loss that can be compiled", cause, _REMEDY) from error

    return explained
