"""What a weighted sample is worth.

N events with weights w_i say as much about a mean as

    N_eff = (sum w)^2 / sum w^2

events of equal weight (their effective number, Kish 1965). Weights may be negative,
as those of next-to-leading order are: nothing here takes their absolute value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError

__all__ = ["WeightSummary", "effective_sample_size"]

Floats = NDArray[np.floating]  # as events hold them

FEW = 0.1
"""Below this share of effective events a sample is poor, and that is warned of."""
TOO_FEW = 50.0
"""Fewer effective events are refused."""


def effective_sample_size(weight: Floats) -> float:
    """Return (sum w)^2 / sum w^2 of N weights; zero if all are zero."""
    return WeightSummary.of([weight]).effective_sample_size


@dataclass(frozen=True)
class WeightSummary:
    """The weights of a sample in numbers.

    Arguments:
        n_events: Number of events.
        total: Sum of the weights.
        squares: Sum of their squares.
        largest: The largest weight.
        negative: How many are negative.
    """

    n_events: int
    total: float
    squares: float
    largest: float
    negative: int

    @classmethod
    def of(cls, blocks: Iterable[Floats]) -> WeightSummary:
        """Summarise weights that come in blocks, each with shape (B,)."""
        n_events, total, squares, largest, negative = 0, 0.0, 0.0, -np.inf, 0
        for block in blocks:
            weight = np.asarray(block, dtype=float)
            n_events += len(weight)
            total += float(weight.sum())
            squares += float(np.square(weight).sum())
            largest = max(largest, float(weight.max(initial=-np.inf)))
            negative += int(np.count_nonzero(weight < 0.0))
        return cls(n_events, total, squares, largest, negative)

    @property
    def effective_sample_size(self) -> float:
        """The number of events of equal weight that say as much; zero if all weights are."""
        return self.total**2 / self.squares if self.squares > 0.0 else 0.0

    @property
    def poor(self) -> bool:
        """Whether the sample is worth less than a tenth of its events."""
        return self.effective_sample_size < FEW * self.n_events

    @property
    def worth(self) -> str:
        """The effective number of events in words."""
        return f"{self.effective_sample_size:,.0f} of {self.n_events:,} events"

    def check(self, where: str, remedy: str) -> None:
        """Refuse weights that no mean can be taken with.

        Arguments:
            where: The sample, such as ``"in events.h5"``.
            remedy: What to do.

        Raises:
            DataError: If the sum is not positive, or fewer than 50 events are effective.
        """
        if not self.total > 0.0:
            raise DataError(f"weights {where} with a positive sum", f"{self.total:.4g}", remedy)
        if self.effective_sample_size < TOO_FEW:
            expected = f"an effective sample size of at least {TOO_FEW:g} {where}"
            found = f"{self.effective_sample_size:.3g} of {self.n_events} events"
            raise DataError(expected, found, remedy)
