"""How sets of events meet points of parameter space: in blocks of limited size."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from lfi_mflow.errors import InputError

__all__ = ["Block", "Layout", "slices"]


@dataclass(frozen=True)
class Block:
    """A piece of the (sets, events) array that fits into one call."""

    sets: slice
    thetas: slice
    events: slice


@dataclass(frozen=True)
class Layout:
    """How D sets of N events meet T parameter points, in blocks of limited size."""

    batched: bool
    events: tuple[int, int]
    theta_dim: int | None
    max_elements: int

    @classmethod
    def of(cls, shape: tuple[int, ...], theta_dim: int | None, max_elements: int) -> Layout:
        """Read the layout off the shape of the events."""
        batched = len(shape) == 3
        sets = shape[0] if batched else 1
        return cls(batched, (sets, shape[-2]), theta_dim, max_elements)

    def flatten(self, theta: Tensor) -> Tensor:
        """Bring theta into the shape (D, T, p)."""
        sets = self.events[0]
        leading = f"({sets}, ..., p)" if self.batched else "(..., p)"
        right_p = self.theta_dim is None or theta.shape[-1:] == (self.theta_dim,)
        if not right_p or theta.ndim == 0 or (self.batched and theta.shape[:1] != (sets,)):
            raise InputError(
                f"theta of shape {leading} with p = {self.theta_dim}",
                f"shape {tuple(theta.shape)}",
                "give one column per parameter" + " and one row per data set" * self.batched,
            )
        # The number of points is written out because -1 is ambiguous for empty tensors.
        points = math.prod(theta.shape[self.batched : -1])
        return theta.reshape(sets, points, theta.shape[-1])

    def add_up(self, terms: Callable[[Block, Tensor], Tensor], theta: Tensor) -> Tensor:
        """Add the blocks over the events: theta (D, T, p) -> (D, T), float64 on the CPU."""
        total = torch.zeros(theta.shape[:2], dtype=torch.float64)
        for block in self._blocks(theta.shape[1]):
            total[block.sets, block.thetas] += terms(block, theta[block.sets, block.thetas])
        return total

    def has_several_blocks(self, points: int) -> bool:
        """Whether T parameter points per set take more than one call."""
        return math.prod(self.events) * points > self.max_elements

    def _blocks(self, points: int) -> Iterator[Block]:
        """Cut sets x points x events into blocks; events are cut last."""
        sets, events = self.events
        events_step = min(events, self.max_elements)
        points_step = max(1, min(points, self.max_elements // events_step))
        sets_step = max(1, self.max_elements // (events_step * points_step))
        cuts = product(
            slices(sets, sets_step), slices(points, points_step), slices(events, events_step)
        )
        return (Block(*cut) for cut in cuts)


def slices(length: int, step: int) -> Iterator[slice]:
    """Cut a range into slices."""
    return (slice(start, min(start + step, length)) for start in range(0, length, step))
