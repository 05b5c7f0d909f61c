"""Event files at other parameters, by new weights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.store import EventFile, write_events
from lfi_mflow.errors import DataError
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events, WeightSummary
from lfi_mflow.simulation.morphing import morphed_events, morphing_powers, warn_if_poor
from lfi_mflow.simulation.runner import check_theta

__all__ = ["MorphedFile", "morph_events"]

Progress = Callable[[int], None]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class MorphedFile:
    """What morphing a file gave.

    Arguments:
        n_events: Number of events.
        effective_sample_size: What they are worth at the new parameters.
    """

    n_events: int
    effective_sample_size: float


def morph_events(
    path: Path | str,
    output: Path | str,
    theta: NDArray[np.floating] | tuple[float, ...],
    *,
    rates: Array | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> MorphedFile:
    """Carry the events of a file to other parameters by weights, block by block.

    Arguments:
        path: The event file; its events carry component weights.
        output: The event file to write.
        theta: The parameters to go to, with shape (p,).
        rates: Components of the cross-section, with shape (C,); None estimates them,
            up to a factor, by the sums of the components of the events.
        force: Replace an output that exists.
        progress: Called with the number of rows done so far.

    Warns:
        UserWarning: If the effective sample size is below 10 % of the events.

    Raises:
        InputError: If the output exists, or theta is outside the bounds of the parameters.
        DataError: If the events have no component weights or those of no quadratic
            polynomial, or fewer than 50 are effective.
        StorageError: If the disk is full; an old file stays as it was.
    """
    path, target = Path(path), np.asarray(theta, dtype=float)
    with EventFile(path) as file:
        check_theta(tuple(float(value) for value in target), file.metadata.parameters)
        order = _order(file)
        if rates is None:
            rates = sum(block[:, order].sum(axis=0) for block in file.column_blocks("components"))

        def moved(events: Events) -> Events:
            components = np.asarray(events.components)[:, order]
            return morphed_events(dataclasses.replace(events, components=components), target, rates)

        # The weights first: nothing is written of a sample that is worth nothing.
        summary = WeightSummary.of(np.asarray(moved(block).weight) for block in file.blocks())
        warn_if_poor(summary, target)
        metadata = dataclasses.replace(
            file.metadata,
            prior=None,
            provenance=_without_powers(file.metadata.provenance)
            | provenance()
            | {"morphed_from": str(path), "morphed_to": json.dumps(target.tolist())},
        )
        blocks = _counted((moved(block) for block in file.blocks()), progress)
        written = write_events(output, metadata, blocks, force=force)
    return MorphedFile(written, summary.effective_sample_size)


def _counted(blocks: Iterator[Events], progress: Progress | None) -> Iterator[Events]:
    """Yield blocks and tell how many rows are done."""
    done = 0
    for events in blocks:
        yield events
        done += len(events)
        if progress is not None:
            progress(done)


def _order(file: EventFile) -> list[int]:
    """Return the columns of the components in the order of the monomials of theta.

    Raises:
        DataError: If there are no components, or those of another polynomial.
    """
    if "components" not in file.columns:
        raise DataError(
            f"events with component weights in {file.path}",
            "none",
            "simulate or import events that have them, such as those of higgs-eft",
        )
    wanted = [tuple(row) for row in morphing_powers(len(file.metadata.parameters)).tolist()]
    stated = file.metadata.provenance.get("morphing_components")
    columns = next(iter(file.column_blocks("components", 1))).shape[1]
    powers = wanted if stated is None else [tuple(row) for row in json.loads(stated)]
    if columns != len(wanted) or sorted(powers) != sorted(wanted):
        raise DataError(
            f"the {len(wanted)} component weights of a quadratic polynomial in {file.path}",
            f"{columns} of another one",
            "reweight the events with the program that made them",
        )
    return [powers.index(power) for power in wanted]


def _without_powers(origin: Mapping[str, str]) -> dict[str, str]:
    """Leave out the order of components: they are written in that of the monomials."""
    return {key: value for key, value in origin.items() if key != "morphing_components"}
