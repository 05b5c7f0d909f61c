"""Training events, in the memory of the device.

These and those that stay in their file (:mod:`lfi_mflow.training.streamed_events`) offer
the same three things: the moments of the features, a split into training and validation
events, and batches of whatever an objective prepared. Where several processes train
together, each gets its share of every batch.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.data import EventSource
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Events
from lfi_mflow.training.distributed import Ranks
from lfi_mflow.training.moments import WeightedBlock, mean_and_spread, moments

__all__ = ["Batch", "PreparedEvents", "ResidentEvents", "TrainingEvents"]

Prepare = Callable[[Tensor, Tensor], Tensor]
"""Makes what an objective needs of features and parameters: (B, d), (B, p) -> (B, *)."""

COLUMNS = ("theta", "x", "weight", "score", "log_ratio")
"""What training reads of a file unless it is told otherwise."""

_BLOCK = 2**16


class Batch(NamedTuple):
    """Prepared events.

    Arguments:
        prepared: What the loss needs of the features, with shape (B, *).
        theta: Parameters, with shape (B, p).
        weight: Positive weights whose mean over all events is one, with shape (B,), or
            None: a mean of weighted losses over batches is then that over the events.
        score: Joint scores, with shape (B, p), or None.
        log_ratio: Joint log-ratios, with shape (B,), or None.
        scale: What the mean over these events is multiplied with, so that the mean over all
            processes is that over the batch of which these events are a share.
    """

    prepared: Tensor
    theta: Tensor
    weight: Tensor | None = None
    score: Tensor | None = None
    log_ratio: Tensor | None = None
    scale: float = 1.0

    def take(self, rows: Tensor | slice) -> Batch:
        """Return the events of some rows."""
        return self._each(lambda values: values[rows])

    def to(self, device: torch.device) -> Batch:
        """Bring the events to a device, without waiting for a GPU that reads pinned memory."""
        return self._each(lambda values: values.to(device, non_blocking=True))

    def _each(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to each array that there is."""
        fields = self._asdict()
        arrays = {name: function(v) for name, v in fields.items() if isinstance(v, Tensor)}
        return Batch(**fields | arrays)


class PreparedEvents(ABC):
    """Events as the objective of a phase wants them, in batches."""

    @abstractmethod
    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""

    @abstractmethod
    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """This process's share of shuffled batches of equal size.

        What does not fill a batch waits for another epoch.
        """

    @abstractmethod
    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order, every batch for one of the processes.

        The last batch may be smaller.
        """

    @abstractmethod
    def some(self) -> Batch:
        """A representative part of the training events, for fitting standardisations."""


class TrainingEvents(ABC):
    """Events to train on, split into training and validation."""

    n_train: int
    n_validation: int

    @abstractmethod
    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of the features in float64."""

    @abstractmethod
    def theta_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the parameters in float64, each (p,)."""

    @abstractmethod
    def validation_events(self) -> Iterator[Batch]:
        """The validation events in blocks, with their features as what is prepared."""

    @abstractmethod
    def prepare(self, function: Prepare) -> PreparedEvents:
        """Apply ``function`` to features and parameters: (B, d), (B, p) -> (B, *)."""


class ResidentEvents(TrainingEvents):
    """Events in the memory of the device, split at random.

    Arguments:
        x: Features, with shape (N, d), on the device and in the precision of the flow; or
            with shape (N, k, d), of k events for each theta: they are trained on together or
            not at all, because a theta that is known from training validates nothing.
        theta: Parameters, with shape (N, p).
        weight: Positive weights, with shape (N,), or None; they are scaled to a mean of one.
            Weights, scores and ratios are for one event for each theta.
        score: Joint scores, with shape (N, p), or None.
        log_ratio: Joint log-ratios, with shape (N,), or None.
        validation_fraction: Fraction of events for validation.
        seed: Seed of the split.
    """

    def __init__(
        self,
        x: Tensor,
        theta: Tensor,
        weight: Tensor | None = None,
        score: Tensor | None = None,
        log_ratio: Tensor | None = None,
        *,
        validation_fraction: float,
        seed: int,
    ) -> None:
        order = _permutation(len(x), seed, x.device)
        held_out = validation_size(len(x), validation_fraction)
        if x.dim() == 3:
            k = x.shape[1]
            order = (order[:, None] * k + torch.arange(k, device=x.device)).flatten()
            x, theta, held_out = x.flatten(0, 1), theta.repeat_interleave(k, dim=0), k * held_out
        self.n_train, self.n_validation = len(x) - held_out, held_out
        if weight is not None:
            weight = weight * (len(weight) / weight.sum(dtype=torch.float64)).to(weight.dtype)
        self._events = Batch(x, theta, weight, score, log_ratio)
        self._rows = order.split([self.n_train, self.n_validation])

    @classmethod
    def read(
        cls,
        file: EventSource,
        *,
        dtype: torch.dtype,
        device: torch.device,
        validation_fraction: float,
        seed: int,
        columns: Collection[str] = COLUMNS,
    ) -> ResidentEvents:
        """Read the finite events of a file block by block.

        Arguments:
            file: The open file, or several as one.
            dtype: Precision of the flow.
            device: Device of the flow.
            validation_fraction: Fraction of events for validation.
            seed: Seed of the split.
            columns: What is read of what there is; without weights events count equally.
        """
        arrays: dict[str, Tensor] = {}
        count = 0
        for block in file.blocks(_BLOCK, columns):
            events = finite_events(block)
            for name, values in events.columns().items():
                if name not in arrays:
                    shape = (len(file), *values.shape[1:])
                    arrays[name] = torch.empty(shape, dtype=dtype, device=device)
                arrays[name][count : count + len(values)] = torch.from_numpy(values)
            count += len(events)
        arrays = {name: values[:count] for name, values in arrays.items()}
        return cls(
            **arrays,
            validation_fraction=validation_fraction,
            seed=seed,
        )

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of the features in float64."""
        return moments(self._weighted(self._events.prepared))

    def theta_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the parameters in float64, each (p,)."""
        return mean_and_spread(self._weighted(self._events.theta))

    def _weighted(self, values: Tensor) -> Iterator[WeightedBlock]:
        """Values (N, k) in blocks with their weights, in float64."""
        weight = self._events.weight
        weights = itertools.repeat(None) if weight is None else iter(weight.split(_BLOCK))
        for block, own in zip(values.split(_BLOCK), weights, strict=False):
            yield block.cpu().double(), None if own is None else own.cpu().double()

    def validation_events(self) -> Iterator[Batch]:
        """The validation events in blocks."""
        return (self._events.take(rows) for rows in self._rows[1].split(_BLOCK))

    def prepare(self, function: Prepare) -> PreparedEvents:
        """Apply ``function`` to features and parameters once: (B, d), (B, p) -> (B, *)."""
        ranks = Ranks.current()
        own = ranks.share(len(self._events.theta))
        blocks = (
            values[own].split(_BLOCK) for values in (self._events.prepared, self._events.theta)
        )
        with torch.no_grad():
            prepared = torch.cat([function(*block) for block in zip(*blocks, strict=True)])
            if ranks.size > 1:  # each prepares a part, and gets those of the others
                part, prepared = prepared, prepared.new_zeros(len(self), *prepared.shape[1:])
                prepared[own] = part
                prepared = ranks.total(prepared)
        return _PreparedResident(self._events._replace(prepared=prepared), self._rows, ranks)

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self._events.theta)


class _PreparedResident(PreparedEvents):
    """Prepared events in memory."""

    def __init__(self, events: Batch, rows: tuple[Tensor, ...], ranks: Ranks) -> None:
        self._events = events
        self._train, self._validation = rows
        self._ranks = ranks

    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""
        return max(1, len(self._train) // batch_size)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """This process's share of shuffled batches of equal size."""
        order = self._train[_permutation(len(self._train), seed, self._train.device)]
        used = self.steps(batch_size) * batch_size
        for rows in order[:used].split(batch_size):
            own = rows[self._ranks.share(len(rows))]
            yield self._events.take(own)._replace(scale=self._ranks.scale(len(rows)))

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order, every batch for one of the processes."""
        batches = self._validation.split(batch_size)
        return (self._events.take(rows) for rows in batches[self._ranks.rank :: self._ranks.size])

    def some(self) -> Batch:
        """A representative part of the training events."""
        return self._events.take(self._train[:_BLOCK])


def finite_events(events: Events) -> Events:
    """Drop events with a value that is not finite."""
    good = finite_rows(events)
    return events if good.all() else events[good]


def finite_rows(events: Events) -> NDArray[np.bool_]:
    """Say which events have finite values only: (N,)."""
    arrays = events.columns().values()
    finite = [np.isfinite(values).all(axis=tuple(range(1, values.ndim))) for values in arrays]
    return np.logical_and.reduce(finite)


def check_events(file: EventSource, *, drop_nonfinite: bool) -> dict[str, int]:
    """Check that a file can be trained on; return the non-finite values by column.

    Raises:
        DataError: If there are fewer than 20 finite events, or values that are not
            finite and ``drop_nonfinite`` is false.
    """
    bad = file.nonfinite()
    if bad and not drop_nonfinite:
        columns = ", ".join(f"{count} in {name}" for name, count in bad.items())
        raise DataError(
            f"finite values in {file.name}",
            f"NaN or infinite ones: {columns}",
            "mend the file, or add --drop-nonfinite",
        )
    count = len(file)
    if bad:
        count = sum(int(finite_rows(block).sum()) for block in file.blocks(_BLOCK, COLUMNS))
    if count < 20:
        raise DataError("at least 20 finite events", f"{count} in {file.name}", "simulate more")
    return bad


def validation_size(events: int, fraction: float) -> int:
    """Return the number of validation events, at least one."""
    return min(events - 1, max(1, round(events * fraction)))


def _permutation(length: int, seed: int, device: torch.device) -> Tensor:
    """Return a random order that is the same on every device."""
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed)).to(device)
