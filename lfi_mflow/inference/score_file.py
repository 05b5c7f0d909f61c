"""The scores of a file of events, in a file: written and read block by block.

A score file is HDF5. It holds one row per event that was scored: ``/row``, the
row of the event in its file (they are all there, in order, unless events were
left out), and the arrays of :class:`lfi_mflow.inference.Scores` with
``/off_manifold``, which is 1 where the event is off the manifold. Which ones are
is decided of all events together (Benjamini & Hochberg), as by
:func:`lfi_mflow.inference.off_manifold_events`, but without all of them in memory.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfi_mflow.config import from_table
from lfi_mflow.data import ObservedSource
from lfi_mflow.data.columns import CHUNK_ROWS, create_column
from lfi_mflow.data.schema import open_hdf5
from lfi_mflow.data.sink import Sink, create_hdf5
from lfi_mflow.data.trust import plain_dataset
from lfi_mflow.errors import DataError, FileFormatError, InputError
from lfi_mflow.files import atomic_output, check_output
from lfi_mflow.flows.model_file import Model
from lfi_mflow.inference.ranks import rejection_threshold, streamed_median
from lfi_mflow.inference.scores import score_batch
from lfi_mflow.provenance import provenance
from lfi_mflow.simulation import Events, Prior

__all__ = ["ScoreFile", "ScoreMetadata", "write_scores"]

FORMAT = "lfi-mflow scores"
SCHEMA_VERSION = 1
LEVEL = 0.01
"""Expected share of false ones among the events that are called off the manifold."""

_BLOCK = 4 * CHUNK_ROWS
_REMEDY = "make it again with lfi-mflow score"
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class ScoreMetadata:
    """What a score file says of itself.

    Arguments:
        model: Name of the model's preset.
        model_digest: SHA-256 of the events the model was trained on.
        events: The file of the events.
        observables: Names of the columns of ``/projection``.
        parameters: Names of the parameters.
        theta: The parameters that ``/log_prob`` is at; None if each event has its
            own, or there is no log_prob.
        reference: The measure that the density refers to.
        log_prob: Whether there is ``/log_prob``.
        n_events: Number of events that were scored.
        dropped: Number of rows that were left out.
        median_distance: Median distance to the manifold, in the units of the observables.
        off_manifold_events: Number of events off the manifold, None if not tested.
        outside_prior: Number of events whose theta is outside the training prior.
        provenance: Versions, command and time.
    """

    model: str
    model_digest: str
    events: str
    observables: tuple[str, ...]
    parameters: tuple[str, ...]
    theta: tuple[float, ...] | None
    reference: str
    log_prob: bool
    n_events: int
    dropped: int
    median_distance: float
    off_manifold_events: int | None
    outside_prior: int = 0
    provenance: dict[str, str] = field(default_factory=provenance)


def write_scores(
    model: Model,
    source: ObservedSource,
    output: Path | str,
    *,
    theta: Sequence[float] | None = None,
    force: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ScoreMetadata:
    """Score the events of a file into another, block by block.

    Arguments:
        model: A trained model.
        source: The events, see :func:`lfi_mflow.data.open_observed`.
        output: The score file to write.
        theta: Where the density of all events is evaluated; None for each event's
            own theta. Where there is neither, the density is left out.
        force: Replace a file that exists.
        progress: Called with the number of rows read so far.

    Raises:
        ModelMismatchError: If the parameters in the file are not those of the model.
        InputError: If theta does not fit the model or is outside its training
            prior, or the output exists.
        DataError: If an event is not finite or cannot be scored, and the source
            does not drop such events.
        StorageError: If the disk is full; an old file stays as it was.
    """
    output = check_output(Path(output), force=force)
    if theta is None:
        source.require_parameters(model.metadata.events.parameter_names)
    else:
        _check_theta(model, tuple(theta))
    run = _Run(model, source, None if theta is None else tuple(map(float, theta)))
    with atomic_output(output) as temporary, create_hdf5(temporary) as (file, sink):
        writer = _Writer(file, sink)
        for rows, columns in run.blocks():
            writer.append({"row": rows, **columns})
            if progress is not None:
                progress(source.report.read)
        metadata = run.summarise(writer)
        file.attrs["format"] = FORMAT
        file.attrs["schema_version"] = SCHEMA_VERSION
        file.attrs["metadata"] = json.dumps(dataclasses.asdict(metadata), allow_nan=False)
    return metadata


class _Run:
    """Scores the events of a source and counts what is worth knowing."""

    def __init__(
        self, model: Model, source: ObservedSource, theta: tuple[float, ...] | None
    ) -> None:
        self._model, self._source, self._theta = model, source, theta
        table = model.metadata.events.prior
        self._prior = None if table is None else Prior.from_table(table)
        self._scored = self._outside = 0

    def blocks(self) -> Iterator[tuple[NDArray[np.intp], dict[str, NDArray[Any]]]]:
        """Yield rows and scores of the events that can be scored."""
        for rows, events in self._source.blocks():
            theta = self._theta_of(events)
            scores = score_batch(self._model, events.x, theta)
            keep = scores.finite()
            if not keep.all():
                self._refuse(rows[~keep])
            if theta is not None and self._prior is not None:
                points = np.asarray(theta[keep], dtype=np.float64)
                self._outside += int(np.count_nonzero(~self._prior.contains(points)))
            self._scored += int(keep.sum())
            yield rows[keep], {name: array[keep] for name, array in scores.columns().items()}
        if not self._scored:
            raise DataError(
                f"events in {self._source.path} that the model can score",
                "none",
                "check where they come from",
            )

    def summarise(self, writer: _Writer) -> ScoreMetadata:
        """Mark the events that are off the manifold, and say what was found."""
        metadata, source = self._model.metadata, self._source
        return ScoreMetadata(
            model=metadata.preset,
            model_digest=metadata.digest,
            events=str(source.path),
            observables=metadata.events.observable_names,
            parameters=metadata.events.parameter_names,
            theta=self._theta,
            reference=self._model.flow.reference,
            log_prob=writer.has("log_prob"),
            n_events=self._scored,
            dropped=source.report.read - self._scored,
            median_distance=streamed_median(lambda: writer.read("distance")),
            off_manifold_events=writer.mark_off_manifold(),
            outside_prior=self._outside,
        )

    def _theta_of(self, events: Events) -> NDArray[np.floating] | None:
        """Return the theta of each event, None if it is not known."""
        p = self._model.flow.theta_dim
        if self._theta is not None:
            return np.broadcast_to(np.array(self._theta), (len(events), p))
        return events.theta if events.theta.shape[1] == p else None

    def _refuse(self, rows: NDArray[np.intp]) -> None:
        """Raise because of events without a finite score, unless they may be dropped."""
        if not self._source.drop_nonfinite:
            raise DataError(
                f"events in {self._source.path} that the model can score",
                f"{len(rows)} without a finite result, the first in row {rows[0]}",
                "check x and theta in these rows, or add --drop-nonfinite to leave them out",
            )


class _Writer:
    """Appends blocks of columns to an open file, and reads them again."""

    def __init__(self, file: h5py.File, sink: Sink) -> None:
        self._file, self._sink = file, sink

    def append(self, columns: dict[str, NDArray[Any]]) -> None:
        """Write the next rows."""
        for name, array in columns.items():
            if name not in self._file:
                create_column(self._file, name, array, array.dtype.newbyteorder("<"))
            dataset = self._file[name]
            start = len(dataset)
            dataset.resize(start + len(array), axis=0)
            dataset[start:] = array
        self._sink.raise_error()

    def has(self, name: str) -> bool:
        """Return whether there is a column of a name."""
        return name in self._file

    def read(self, name: str) -> Iterator[NDArray[Any]]:
        """Yield the values of a column in blocks."""
        dataset = self._file[name]
        for start in range(0, len(dataset), _BLOCK):
            yield dataset[start : start + _BLOCK]

    def mark_off_manifold(self) -> int | None:
        """Write which events are off the manifold and return their number, None if unknown."""
        if not self.has("tail_probability"):
            return None
        threshold = rejection_threshold(lambda: self.read("tail_probability"), LEVEL)
        count = 0
        for values in self.read("tail_probability"):
            off = values <= threshold if threshold else np.zeros(len(values), dtype=bool)
            count += int(off.sum())
            self.append({"off_manifold": off.astype(np.int8)})
        return count


class ScoreFile:
    """A score file that is open for reading; use it as a context manager.

    Arguments:
        path: The file.

    Attributes:
        metadata: What the file says of itself.
        columns: The names of its arrays.

    Raises:
        FileFormatError: If the file is missing, truncated, not a score file, or
            of another schema version.
    """

    metadata: ScoreMetadata

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._file = open_hdf5(self.path, "score", _REMEDY)
        try:
            self.metadata = _read_metadata(self._file, self.path)
            self.columns = tuple(self._file)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> ScoreFile:
        """Return the file itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Return the number of events."""
        return self.metadata.n_events

    def read(self, column: str, rows: slice | None = None) -> NDArray[Any]:
        """Return a column, or some rows of it.

        Raises:
            InputError: If there is no such column.
            DataError: If the rows are damaged.
        """
        if column not in self.columns:
            raise InputError(
                f"one of the columns {', '.join(self.columns)}", repr(column), "choose another"
            )
        try:
            dataset = plain_dataset(self._file, column, self.path, _REMEDY)
            return np.asarray(dataset[rows or slice(None)])
        except OSError as error:
            raise DataError(
                f"intact scores in {self.path}",
                f"damaged ones ({str(error).splitlines()[0]})",
                _REMEDY,
            ) from error


def _read_metadata(file: h5py.File, path: Path) -> ScoreMetadata:
    """Read the attributes and check that the file is whole."""
    try:
        found = file.attrs.get("format"), file.attrs.get("schema_version")
        if found == (FORMAT, SCHEMA_VERSION):
            table = json.loads(file.attrs["metadata"])
            metadata = from_table(ScoreMetadata, table, f"the metadata of {path}")
            if plain_dataset(file, "row", path, _REMEDY).shape == (metadata.n_events,):
                return metadata
    except (*_DAMAGE, InputError) as error:
        raise FileFormatError(
            f"a score file at {path}", f"damaged attributes ({error})", _REMEDY
        ) from error
    kind = "one of other rows" if found[0] == FORMAT else "an HDF5 file of another kind"
    raise FileFormatError(
        f"a score file of schema version {SCHEMA_VERSION} at {path}",
        f"version {found[1]}" if found[0] == FORMAT and found[1] != SCHEMA_VERSION else kind,
        _REMEDY,
    )


def _check_theta(model: Model, theta: tuple[float, ...]) -> None:
    """Fail if a parameter point does not fit the model or its training prior."""
    events = model.metadata.events
    names = events.parameter_names
    if len(theta) != len(names):
        raise InputError(
            f"{len(names)} values of theta ({', '.join(names)})", f"{len(theta)}", "one for each"
        )
    # Outside the training prior the model extrapolates, and says nothing of it.
    low = [row.low for row in events.parameters]
    high = [row.high for row in events.parameters]
    if events.prior is not None:
        prior = Prior.from_table(events.prior)
        low, high = prior.low.tolist(), prior.high.tolist()
    for name, value, least, most in zip(names, theta, low, high, strict=True):
        # Written so that NaN is outside.
        if not (least <= value <= most and np.isfinite(value)):
            raise InputError(
                f"{name} from {least:g} to {most:g}, as the model was trained",
                f"{value:g}",
                "choose a value inside",
            )
