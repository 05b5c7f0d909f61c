"""Event files from samples of MadMiner, at one of their benchmarks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lfi_mflow.data.importing import ImportReport, imported_blocks, write_imported
from lfi_mflow.data.madminer import MadMinerTable, open_madminer
from lfi_mflow.data.mapping import ColumnMapping
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.errors import DataError
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events, Observable

__all__ = ["import_benchmark"]


def import_benchmark(
    path: Path | str,
    output: Path | str,
    benchmark: str,
    *,
    observables: Sequence[str] = (),
    force: bool = False,
    drop_nonfinite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Convert a sample of MadMiner to an event file, block by block.

    Every event gets the parameters of the benchmark as theta, with their ranges as
    bounds, and its weight there. If the sample has a morphing setup, the events also
    get their component weights, and the metadata notes the powers of theta that
    belong to them, as ``morphing_components``.

    Arguments:
        path: The sample.
        output: The event file to write.
        benchmark: The name of the benchmark.
        observables: The columns of x, as in :class:`ColumnMapping`; all if none is named.
        force: Replace an event file that exists.
        drop_nonfinite: Drop and count events with NaN or infinite values.
        progress: Called with the number of rows read so far.

    Raises:
        FileFormatError: If the file is no such sample, or is damaged.
        UnknownNameError: If there is no such benchmark or observable.
        DataError: If values are not finite, or no event is left.
        StorageError: If the disk is full; an old file stays as it was.
    """
    path = Path(path)
    with open_madminer(path) as sample:
        mapping = _mapping(sample, path, benchmark, observables)

        def blocks(report: ImportReport) -> Iterator[Events]:
            for rows, events in imported_blocks(
                path, mapping, drop_nonfinite=drop_nonfinite, report=report
            ):
                components = sample.components(int(rows[0]), int(rows[-1]) + 1)
                if components is None:
                    yield events
                else:
                    yield replace(events, components=components[rows - rows[0]])

        metadata = EventMetadata(
            parameters=sample.parameters,
            observables=tuple(Observable(column.name) for column in mapping.observable_columns),
            provenance=provenance() | _origin(sample, path, benchmark, mapping),
        )
        return write_imported(output, metadata, blocks, force=force, progress=progress)


def _mapping(
    sample: MadMinerTable, path: Path, benchmark: str, observables: Sequence[str]
) -> ColumnMapping:
    """Return the columns of the events at a benchmark."""
    theta = sample.benchmark(benchmark)
    if not np.isfinite(theta).all():
        raise DataError(
            f"a finite point of benchmark {benchmark!r} in {path}",
            f"{theta.tolist()}",
            "choose another benchmark",
        )
    return ColumnMapping(
        None,
        tuple(observables) or tuple(f"{name} = `{name}`" for name in sample.observables),
        tuple(
            f"{parameter.name} = {float(value)!r}"
            for parameter, value in zip(sample.parameters, theta, strict=True)
        ),
        f"`weight.{benchmark}`",
    )


def _origin(
    sample: MadMinerTable, path: Path, benchmark: str, mapping: ColumnMapping
) -> dict[str, str]:
    """Say where the events come from."""
    origin = {
        "imported_from": str(path),
        "benchmark": benchmark,
        "mapping": json.dumps(mapping.to_table()),
    }
    if sample.powers is not None:
        origin["morphing_components"] = json.dumps(sample.powers.tolist())
    return origin
