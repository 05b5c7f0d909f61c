"""Parameters that are known for each event: p(x | theta, c) with c observed.

A detector condition, a redshift or a beam energy differs from event to event and is
measured with it. A model trained with (theta, c) as its parameters is then asked at the
c of each event and at one theta for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lfi_mflow.errors import DataError, InputError
from lfi_mflow.inference.blocks import Block

__all__ = ["KnownParameters"]


@dataclass(frozen=True)
class KnownParameters:
    """Columns of theta that each event brings with it.

    Arguments:
        columns: Their K indices among the p parameters of the flow.
        others: The p - K indices of the parameters that the events share.
        values: Their values for D sets of N events, with shape (D, N, K).
    """

    columns: tuple[int, ...]
    others: tuple[int, ...]
    values: Tensor

    @classmethod
    def of(cls, known: Mapping[int, Tensor], theta_dim: int, like: Tensor) -> KnownParameters:
        """Check what is known of each event.

        Arguments:
            known: Index of a parameter -> its value for each event, with shape (N,), or
                (D, N) for D sets.
            theta_dim: Number p of parameters of the flow.
            like: The events, with shape (N, d) or (D, N, d).

        Raises:
            InputError: If there is no such parameter, none is left, or a shape differs.
            DataError: If a value is not finite.
        """
        columns = tuple(sorted(known))
        others = tuple(index for index in range(theta_dim) if index not in known)
        if not all(0 <= index < theta_dim for index in columns) or not others:
            raise InputError(
                f"known parameters among 0 to {theta_dim - 1}, and one that is not known",
                str(list(columns)),
                "give the indices of the columns of theta that the events know",
            )
        for index in columns:
            _check(index, known[index], tuple(like.shape[:-1]))
        values = [torch.as_tensor(known[index]).to(like) for index in columns]
        stacked = torch.stack(values, dim=-1)
        return cls(columns, others, stacked.reshape(-1, *stacked.shape[-2:]))

    def part(self, events: Tensor) -> KnownParameters:
        """Return what is known of the events of some indices."""
        return KnownParameters(self.columns, self.others, self.values[:, events])

    def complete(self, theta: Tensor, block: Block) -> Tensor:
        """All parameters of each pair: the shared ones (D', T', p - K) -> (D', T', N', p)."""
        known = self.values[block.sets, None, block.events]
        shape = (*theta.shape[:2], known.shape[2])
        both = torch.cat([known.expand(*shape, -1), theta.unsqueeze(2).expand(*shape, -1)], dim=-1)
        order = (*self.columns, *self.others)
        return both[..., [order.index(column) for column in range(len(order))]]


def _check(index: int, values: Tensor, shape: tuple[int, ...]) -> None:
    """Fail unless there is one finite value per event."""
    found = torch.as_tensor(values)
    if tuple(found.shape) != shape:
        raise InputError(
            f"values of the known parameter {index} with shape {shape}",
            f"shape {tuple(found.shape)}",
            "give one value per event",
        )
    bad = torch.nonzero(~torch.isfinite(found.reshape(-1)))
    if len(bad):
        raise DataError(
            f"finite values of the known parameter {index}",
            f"{len(bad)} that are not, the first in row {int(bad[0, 0])}",
            "leave these events out",
        )
