"""One training on several processes, as ``torchrun`` starts them.

Every process holds the whole flow and takes its share of each batch; the gradients are
averaged over all of them. A step is then the step of one process on the whole batch, up
to the order in which floating-point numbers are added.

References:
    | PyTorch Distributed: Experiences on Accelerating Data Parallel Training
    | (Li et al., 2020), https://arxiv.org/abs/2006.15704
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lfi_mflow.errors import ConfigError, LostProcessError

__all__ = ["Ranks", "joined", "own_device"]

_BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
_LOST = ("gloo", "NCCL", "TCPStore")  # what the messages of lost connections name


@dataclass(frozen=True)
class Ranks:
    """The processes of a training, and which of them this is.

    Arguments:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Return those of torch's default process group; this one alone if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of ``count`` rows are those of this process: an equal share, one in order.

        >>> [Ranks(rank, 3).share(10) for rank in range(3)]
        [slice(0, 4, None), slice(4, 7, None), slice(7, 10, None)]
        """
        least, more = divmod(count, self.size)
        start = self.rank * least + min(self.rank, more)
        return slice(start, start + least + (self.rank < more))

    def scale(self, count: int) -> float:
        """Return what the mean over this process's share of ``count`` rows is multiplied with.

        The mean of that over all processes is the mean over all rows.
        """
        own = self.share(count)
        return (own.stop - own.start) * self.size / count

    def total(self, values: Tensor) -> Tensor:
        """Return the sum of the values of all processes, in place and the same on each."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            dist.barrier()

    def merged(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the sums of named values over all processes; not all need have a name."""
        tables: list[Any] = [dict(values)]
        if self.size > 1:
            tables *= self.size
            dist.all_gather_object(tables, dict(values))
        names = dict.fromkeys(name for table in tables for name in table)
        return {name: sum(table.get(name, 0.0) for table in tables) for name in names}

    def averaged(self, part: nn.Module, loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Return the loss, whose gradients for the parameters of a part are then those of all.

        Arguments:
            part: What is trained.
            loss: The mean loss of this process's share of a batch.
        """
        if self.size == 1:
            return loss
        # What a loss uses does not change from step to step: a parameter that it leaves out
        # (a static graph finds it in the first step) keeps no gradient, as on one process.
        return DistributedDataParallel(_Loss(part, loss), static_graph=True)

    def check_same(self, what: str, values: Mapping[str, Any]) -> None:
        """Fail on all processes unless all of them have the same values.

        Raises:
            ConfigError: If one has others.
        """
        if self.size == 1:
            return
        text = json.dumps(values, sort_keys=True, default=str).encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[:7], "big")
        device = _device_of_group()
        extremes = torch.tensor([number, -number], dtype=torch.int64, device=device)
        dist.all_reduce(extremes, dist.ReduceOp.MAX)
        if extremes[0] != -extremes[1]:
            raise ConfigError(
                f"the same {what} on all {self.size} processes",
                "different ones",
                "start all with one command, on files that all of them see",
            )


class _Loss(nn.Module):
    """A loss as a module whose parameters are those of what is trained.

    It has no buffers: they do not change, and need no synchronisation.
    """

    def __init__(self, part: nn.Module, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.trained, self._loss = nn.ParameterList(part.parameters()), loss

    def forward(self, *arguments: Any) -> Tensor:
        """Return the loss."""
        return self._loss(*arguments)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` has started, and leave them in the end.

    A process that was started without it is alone.

    Arguments:
        device: Where this process computes, see :func:`own_device`.

    Raises:
        ConfigError: If several processes cannot work together on such a device.
        LostProcessError: If another process dies meanwhile.
    """
    if not _launched():
        yield Ranks()
        return
    if device.type not in _BACKENDS:
        raise ConfigError(
            f"a device for several processes ({', '.join(_BACKENDS)})",
            device.type,
            "add --device cpu, or start without torchrun",
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    with _explained(), warnings.catch_warnings():
        # Of a layer with one input; it costs nothing here.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        dist.init_process_group(_BACKENDS[device.type])
        try:
            yield Ranks.current()
        finally:
            dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Return the GPU of this process, where several of one machine train on GPUs.

    Raises:
        ConfigError: If there are more processes than GPUs on this machine.
    """
    if str(device) != "cuda" or not _launched():  # another device, or a certain GPU
        return device
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= count:
        raise ConfigError(
            "a GPU for each process",
            f"{count} for process {local + 1} of this machine",
            f"start torchrun with --nproc-per-node {count}",
        )
    return torch.device("cuda", local)


def _launched() -> bool:
    """Whether this process is one of a group that was started together."""
    return {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys()


def _device_of_group() -> torch.device:
    """Return where the default process group exchanges tensors."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


@contextmanager
def _explained() -> Iterator[None]:
    """Say that another process is lost, where torch says that a connection is.

    torchrun ends all processes by SIGTERM when one has died.
    """
    main = threading.current_thread() is threading.main_thread()
    after = before = signal.signal(signal.SIGTERM, _stop) if main else None

    def say_nothing_new(signum: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, before)

    try:
        yield
    except RuntimeError as error:
        if not any(word in str(error) for word in _LOST):
            raise
        after = say_nothing_new  # torchrun's signal must not cut the error short
        raise _lost("it does not answer any more") from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, after)


def _stop(signum: int, frame: object) -> None:
    """Leave what is being done."""
    raise _lost("torchrun or the batch system asked this one to stop")


def _lost(reason: str) -> LostProcessError:
    """Return the error that says what happened and how to go on."""
    return LostProcessError(
        f"process {os.environ.get('RANK')} of the training stopped, because another one was lost "
        f"({reason}); see above what became of that (killed for lack of memory?), and start the "
        "same torchrun command with --resume to go on"
    )
