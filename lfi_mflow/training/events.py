"""Training events: resident on the device when they fit, streamed when they do not.

Both kinds offer the same three things: the moments of the features, a split into
training and validation events, and batches of whatever an objective prepared.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lfi_mflow.data import EventFile
from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Events
from lfi_mflow.training.moments import WeightedBlock, mean_and_spread, moments

__all__ = ["Batch", "PreparedEvents", "ResidentEvents", "StreamedEvents", "TrainingEvents"]

Prepare = Callable[[Tensor, Tensor], Tensor]
"""Makes what an objective needs of features and parameters: (B, d), (B, p) -> (B, *)."""

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
    """

    prepared: Tensor
    theta: Tensor
    weight: Tensor | None = None
    score: Tensor | None = None
    log_ratio: Tensor | None = None

    def take(self, rows: Tensor) -> Batch:
        """Return the events of some rows."""
        weight = None if self.weight is None else self.weight[rows]
        score = None if self.score is None else self.score[rows]
        log_ratio = None if self.log_ratio is None else self.log_ratio[rows]
        return Batch(self.prepared[rows], self.theta[rows], weight, score, log_ratio)


class PreparedEvents(ABC):
    """Events as the objective of a phase wants them, in batches."""

    @abstractmethod
    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""

    @abstractmethod
    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Shuffled batches of equal size; what does not fill a batch waits for another epoch."""

    @abstractmethod
    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order; the last batch may be smaller."""

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
        x: Features, with shape (N, d), on the device and in the precision of the flow.
        theta: Parameters, with shape (N, p).
        weight: Positive weights, with shape (N,), or None; they are scaled to a mean of one.
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
        self.n_validation = _validation_size(len(x), validation_fraction)
        self.n_train = len(x) - self.n_validation
        order = _permutation(len(x), seed, x.device)
        if weight is not None:
            weight = weight * (len(weight) / weight.sum(dtype=torch.float64)).to(weight.dtype)
        self._events = Batch(x, theta, weight, score, log_ratio)
        self._rows = order.split([self.n_train, self.n_validation])

    @classmethod
    def read(
        cls,
        file: EventFile,
        *,
        dtype: torch.dtype,
        device: torch.device,
        validation_fraction: float,
        seed: int,
        weighted: bool = True,
    ) -> ResidentEvents:
        """Read the finite events of a file block by block; without weights they count equally."""
        arrays: dict[str, Tensor] = {}
        count = 0
        for block in file.blocks(_BLOCK):
            events = finite_events(block)
            for name in ("theta", "x", "weight", "score", "log_ratio"):
                values = events.columns().get(name)
                if values is None:
                    continue
                if name not in arrays:
                    shape = (len(file), *values.shape[1:])
                    arrays[name] = torch.empty(shape, dtype=dtype, device=device)
                arrays[name][count : count + len(values)] = torch.from_numpy(values)
            count += len(events)
        arrays = {name: values[:count] for name, values in arrays.items()}
        return cls(
            arrays["x"],
            arrays["theta"],
            arrays.get("weight") if weighted else None,
            arrays.get("score"),
            arrays.get("log_ratio"),
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
        blocks = (values.split(_BLOCK) for values in (self._events.prepared, self._events.theta))
        with torch.no_grad():
            prepared = torch.cat([function(*block) for block in zip(*blocks, strict=True)])
        return _PreparedResident(self._events._replace(prepared=prepared), self._rows)


class _PreparedResident(PreparedEvents):
    """Prepared events in memory."""

    def __init__(self, events: Batch, rows: tuple[Tensor, ...]) -> None:
        self._events = events
        self._train, self._validation = rows

    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""
        return max(1, len(self._train) // batch_size)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Shuffled batches of equal size."""
        order = self._train[_permutation(len(self._train), seed, self._train.device)]
        used = self.steps(batch_size) * batch_size
        return (self._events.take(rows) for rows in order[:used].split(batch_size))

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order."""
        return (self._events.take(rows) for rows in self._validation.split(batch_size))

    def some(self) -> Batch:
        """A representative part of the training events."""
        return self._events.take(self._train[:_BLOCK])


class StreamedEvents(TrainingEvents):
    """Events that stay in their file; the last of them are for validation.

    The rows have to be in random order, as ``lfi-mflow simulate`` writes them.

    Arguments:
        file: The open file.
        dtype: Precision of the flow.
        device: Device of the flow.
        validation_fraction: Fraction of events for validation.
        weighted: Whether the weights of the file are used, if it has any.
    """

    def __init__(
        self,
        file: EventFile,
        *,
        dtype: torch.dtype,
        device: torch.device,
        validation_fraction: float,
        weighted: bool = True,
    ) -> None:
        kept, total = [], 0.0
        self._weighted = weighted and "weight" in file.columns
        for block in file.blocks(_BLOCK):
            kept.append(_finite_rows(block))
            if self._weighted:
                total += float(np.asarray(block.weight)[kept[-1]].sum(dtype=float))
        good = np.concatenate(kept).cumsum()
        self._weight_scale = int(good[-1]) / total if self._weighted else 1.0
        self.n_validation = _validation_size(int(good[-1]), validation_fraction)
        self.n_train = int(good[-1]) - self.n_validation
        self.first_validation = int(np.searchsorted(good, self.n_train)) + 1
        self.file = file
        self._dtype, self._device = dtype, device

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (d,) and covariance (d, d) of the features in float64."""
        return moments(self._blocks("x"))

    def theta_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the parameters in float64, each (p,)."""
        return mean_and_spread(self._blocks("theta"))

    def validation_events(self) -> Iterator[Batch]:
        """The validation events in blocks."""
        return self.prepare(lambda x, theta: x).validation(_BLOCK // 4)

    def prepare(self, function: Prepare) -> PreparedEvents:
        """Apply ``function`` to features and parameters of each batch: (B, d), (B, p) -> (B, *)."""
        return _PreparedStream(self, function)

    def batch(self, events: Events, function: Prepare) -> Batch:
        """Bring events to the device and prepare them."""
        events = finite_events(events)
        x, theta = self._tensor(events.x), self._tensor(events.theta)
        score, log_ratio = (
            None if values is None else self._tensor(values)
            for values in (events.score, events.log_ratio)
        )
        weight = None
        if self._weighted and events.weight is not None:
            weight = self._tensor(events.weight * self._weight_scale)
        with torch.no_grad():
            return Batch(function(x, theta), theta, weight, score, log_ratio)

    def _blocks(self, column: str) -> Iterator[WeightedBlock]:
        """A column in blocks with the weights of its rows, in float64."""
        for block in self.file.blocks(_BLOCK):
            events = finite_events(block)
            weight = events.weight if self._weighted else None
            values = torch.from_numpy(events.columns()[column]).double()
            yield values, None if weight is None else torch.from_numpy(weight).double()

    def _tensor(self, values: NDArray[np.floating]) -> Tensor:
        """Bring an array to the device."""
        return torch.from_numpy(values).to(self._device, self._dtype)


class _PreparedStream(PreparedEvents):
    """Prepared events that are read again in every epoch."""

    def __init__(self, events: StreamedEvents, function: Prepare) -> None:
        self._events = events
        self._function = function

    def steps(self, batch_size: int) -> int:
        """Number of batches in :meth:`training`."""
        return max(1, self._events.n_train // batch_size)

    def training(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Shuffled batches of equal size."""
        rows = slice(0, self._events.first_validation)
        stream = self._events.file.shuffled_batches(
            batch_size, np.random.default_rng(seed), rows=rows
        )
        batches = (self._events.batch(events, self._function) for events in stream)
        some = (batch for batch in batches if len(batch.theta))
        yield from itertools.islice(some, self.steps(batch_size))

    def validation(self, batch_size: int) -> Iterator[Batch]:
        """The validation events in order."""
        first, last = self._events.first_validation, len(self._events.file)
        for start in range(first, last, batch_size):
            rows = slice(start, min(start + batch_size, last))
            batch = self._events.batch(self._events.file.read(rows), self._function)
            if len(batch.theta):
                yield batch

    def some(self) -> Batch:
        """A representative part of the training events."""
        rows = slice(0, min(_BLOCK, self._events.first_validation))
        return self._events.batch(self._events.file.read(rows), self._function)


def finite_events(events: Events) -> Events:
    """Drop events with a value in theta, x, weight, score or log_ratio that is not finite."""
    good = _finite_rows(events)
    return events if good.all() else events[good]


def _finite_rows(events: Events) -> NDArray[np.bool_]:
    """Say which events training can use: (N,)."""
    good: NDArray[np.bool_] = np.isfinite(events.x).all(axis=1)
    good &= np.isfinite(events.theta).all(axis=1)
    for values in (events.weight, events.log_ratio):
        if values is not None:
            good &= np.isfinite(values)
    return good if events.score is None else good & np.isfinite(events.score).all(axis=1)


def check_events(file: EventFile, path: Path, *, drop_nonfinite: bool) -> dict[str, int]:
    """Check that a file can be trained on; return the non-finite values by column.

    Raises:
        DataError: If there are fewer than 20 finite events, or values that are not
            finite and ``drop_nonfinite`` is false.
    """
    bad = file.nonfinite()
    if bad and not drop_nonfinite:
        columns = ", ".join(f"{count} in {name}" for name, count in bad.items())
        raise DataError(
            f"finite values in {path}",
            f"NaN or infinite ones: {columns}",
            "mend the file, or add --drop-nonfinite",
        )
    count = len(file)
    if bad:
        count = sum(int(_finite_rows(block).sum()) for block in file.blocks(_BLOCK))
    if count < 20:
        raise DataError("at least 20 finite events", f"{count} in {path}", "simulate more")
    return bad


def _validation_size(events: int, fraction: float) -> int:
    """Return the number of validation events, at least one."""
    return min(events - 1, max(1, round(events * fraction)))


def _permutation(length: int, seed: int, device: torch.device) -> Tensor:
    """Return a random order that is the same on every device."""
    return torch.randperm(length, generator=torch.Generator().manual_seed(seed)).to(device)
