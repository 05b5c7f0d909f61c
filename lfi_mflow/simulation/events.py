"""A batch of events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.errors import DataError

__all__ = ["Events"]


@dataclass(frozen=True)
class Events:
    """N simulated or observed events.

    Arguments:
        theta: Parameters of each event, with shape (N, p); p = 0 where they are
            unknown (observed events).
        x: Features, with shape (N, d), float32 or float64.
        weight: Event weights, with shape (N,); None means that all are one.
        log_ratio: Joint log-likelihood ratios, with shape (N,).
        score: Joint scores, with shape (N, p).
        latent: True coordinates on the manifold, with shape (N, n).
        components: Morphing component weights, with shape (N, C).

    Raises:
        DataError: If the arrays do not have the same number of rows, or theta
            and x are not two-dimensional.
    """

    theta: NDArray[np.floating]
    x: NDArray[np.floating]
    weight: NDArray[np.floating] | None = None
    log_ratio: NDArray[np.floating] | None = None
    score: NDArray[np.floating] | None = None
    latent: NDArray[np.floating] | None = None
    components: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Check the shapes."""
        for name in ("theta", "x"):
            array = getattr(self, name)
            if array.ndim != 2:
                raise DataError(
                    f"{name} of shape (N, columns)",
                    f"shape {array.shape}",
                    "give one row per event",
                )
        for name, array in self.columns().items():
            if len(array) != len(self.x):
                raise DataError(
                    f"{len(self.x)} rows in {name}, as in x",
                    f"{len(array)}",
                    "give every array one row per event",
                )

    def __len__(self) -> int:
        """Return the number of events."""
        return len(self.x)

    def __getitem__(self, rows: slice | NDArray[np.integer] | NDArray[np.bool_]) -> Events:
        """Return the events of some rows."""
        return Events(**{name: array[rows] for name, array in self.columns().items()})

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return the arrays that are present, by name."""
        present = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: array for name, array in present if array is not None}

    @staticmethod
    def concatenate(batches: Sequence[Events]) -> Events:
        """Join batches that hold the same columns.

        Raises:
            DataError: If there is no batch, or one holds other columns.
        """
        if not batches:
            raise DataError("at least one batch", "none", "give events to join")
        names = set(batches[0].columns())
        for batch in batches:
            if set(batch.columns()) != names:
                found = f"{sorted(batch.columns())}"
                raise DataError(f"the columns {sorted(names)}", found, "give batches of one kind")
        return Events(
            **{name: np.concatenate([batch.columns()[name] for batch in batches]) for name in names}
        )
