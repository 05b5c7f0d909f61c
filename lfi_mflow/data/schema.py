"""The layout of an event file: its attributes, its arrays, its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.damage import explained_file
from lfi_mflow.data.metadata import EventMetadata
from lfi_mflow.data.trust import plain_dataset
from lfi_mflow.data.watched import damage_of
from lfi_mflow.errors import DataError, FileFormatError, InputError
from lfi_mflow.files import require_file

__all__ = [
    "ANEW",
    "CACHE_BYTES",
    "Digest",
    "find_datasets",
    "open_hdf5",
    "read_attributes",
    "write_attributes",
]

FORMAT = "lfi-mflow events"
SCHEMA_VERSION = 1
ANEW = "write it anew with lfi-mflow simulate or lfi-mflow import"

_ARRAYS = ("theta", "x", "weight", "log_ratio", "score", "latent", "components")
CACHE_BYTES = 16 * 2**20
_DAMAGE = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


class Digest:
    """SHA-256 of the names, types, widths and values of arrays, fed block by block."""

    def __init__(self) -> None:
        self._hashes: dict[str, Any] = {}

    def update(self, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Add the next rows."""
        for name, array in arrays.items():
            if name not in self._hashes:
                self._hashes[name] = hashlib.sha256(f"{array.dtype.str}{array.shape[1:]}".encode())
            self._hashes[name].update(
                np.ascontiguousarray(array).data.cast("B") if array.size else b""
            )

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        total = hashlib.sha256()
        for name, part in sorted(self._hashes.items()):
            total.update(f"{name}:{part.hexdigest()};".encode())
        return total.hexdigest()


def open_hdf5(
    path: Path, kind: str = "event", remedy: str = ANEW, cache_bytes: int = CACHE_BYTES
) -> h5py.File:
    """Open an HDF5 file for reading.

    The file is not locked: event files are replaced as a whole, never changed,
    and cluster file systems often know no locks.

    Arguments:
        path: The file.
        kind: What it is to hold, for the error messages.
        remedy: What to do if it cannot be read.
        cache_bytes: Memory for the chunks of each array that were read last.

    Raises:
        FileFormatError: If the file is missing, truncated or not HDF5.
    """
    require_file(path, f"{'an' if kind[0] in 'aeiou' else 'a'} {kind} file")
    try:
        damage = damage_of(path)
        if damage is None:
            return h5py.File(path, "r", locking=False, rdcc_nbytes=cache_bytes)
    except PermissionError as error:
        raise FileFormatError(
            f"a readable file {path}", "permission denied", "change its permissions"
        ) from error
    except (OSError, RuntimeError) as error:
        found = _diagnose(path, str(error))
        raise FileFormatError(f"an HDF5 {kind} file at {path}", found, remedy) from error
    raise FileFormatError(f"an HDF5 {kind} file at {path}", f"a damaged one ({damage})", remedy)


def _diagnose(path: Path, message: str) -> str:
    """Say in words why HDF5 does not open a file."""
    if "truncated file" in message:
        return f"a truncated one ({path.stat().st_size} bytes are left)"
    if path.stat().st_size == 0:
        return "an empty file"
    if "signature not found" in message:
        return "a file that is not HDF5"
    return f"a damaged one ({message.splitlines()[0]})"


def write_attributes(file: h5py.File, metadata: EventMetadata, digest: str) -> None:
    """Write what the root says about the events.

    Raises:
        DataError: If it holds NaN, as the bounds of parameters in a damaged sample.
    """
    file.attrs["format"] = FORMAT
    file.attrs["schema_version"] = SCHEMA_VERSION
    file.attrs["digest"] = digest
    for key, value in metadata.to_table().items():
        try:
            file.attrs[key] = json.dumps(value, allow_nan=False)
        except ValueError as error:
            raise DataError(
                f"finite numbers in the {key} of events", f"{value}", "mend their source"
            ) from error


def read_attributes(file: h5py.File, path: Path) -> tuple[EventMetadata, str]:
    """Read the metadata and the digest.

    Raises:
        FileFormatError: If the file is not an event file or of another version.
    """
    try:
        attributes = dict(file.attrs)
    except (OSError, RuntimeError, *_DAMAGE) as error:
        raise FileFormatError(f"an event file at {path}", "damaged attributes", ANEW) from error
    if attributes.pop("format", None) != FORMAT:
        raise FileFormatError(
            f"an lfi-mflow event file at {path}", "an HDF5 file of another kind", ANEW
        )
    version = attributes.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise FileFormatError(
            f"schema version {SCHEMA_VERSION} in {path}",
            f"version {version}",
            f"use the lfi-mflow that wrote the file, or {ANEW}",
        )
    try:
        digest = str(attributes.pop("digest"))
        table = {key: json.loads(value) for key, value in attributes.items()}
        return EventMetadata.from_table(table), digest
    except (*_DAMAGE, InputError) as error:
        raise FileFormatError(
            f"the metadata of events in {path}", f"damaged attributes ({error})", ANEW
        ) from error


def find_datasets(file: h5py.File, metadata: EventMetadata, path: Path) -> dict[str, h5py.Dataset]:
    """Return the arrays of the file by name, after a check of their shapes.

    Raises:
        FileFormatError: If an array is missing or the shapes do not fit together.
    """
    with explained_file(path, "an event file"):
        names = [name for name in _ARRAYS if file.get(name, getlink=True) is not None]
    widths = {"theta": len(metadata.parameters), "x": len(metadata.observables)}
    for name in widths:
        if name not in names:
            raise FileFormatError(f"an array /{name} in {path}", "none", ANEW)
    found = {name: plain_dataset(file, name, path, ANEW) for name in names}
    shapes = {name: dataset.shape for name, dataset in found.items()}
    kinds = {name: dataset.dtype.kind for name, dataset in found.items()}
    for name, width in widths.items():
        if len(shapes[name]) != 2 or shapes[name][1] != width:
            raise FileFormatError(
                f"/{name} with {width} columns in {path}", f"shape {shapes[name]}", ANEW
            )
    rows = shapes["x"][0]
    for name, shape in shapes.items():
        if shape[:1] != (rows,) or len(shape) > 2 or kinds[name] != "f" or not widths["x"]:
            raise FileFormatError(
                f"{rows} rows of numbers in /{name} of {path}, as in /x",
                f"shape {shape} of type {found[name].dtype}",
                ANEW,
            )
    return found
