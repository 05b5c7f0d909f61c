"""The arrays in a posterior file: the groups of arviz, and the SHA-256 of all they say."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import h5py
import numpy as np
from numpy.typing import NDArray

from lfi_mflow.data.schema import Digest
from lfi_mflow.data.trust import find_plain, plain_dataset, require_memory
from lfi_mflow.errors import FileFormatError

__all__ = ["DIGEST", "GROUPS", "REMEDY", "digest", "read_arrays", "write_group"]

DIGEST = "lfi_mflow_sha256"
"""The attribute with the SHA-256."""

GROUPS = {
    "posterior": ("chain", "draw"),
    "sample_stats": ("chain", "draw"),
    "observed_data": ("event", "observable"),
}
"""The groups with their dimensions."""

REMEDY = "make it again with lfi-mflow infer"


def write_group(file: h5netcdf.File, name: str, variables: Mapping[str, NDArray[Any]]) -> None:
    """Write variables over the leading ones of the dimensions of a group."""
    dimensions = GROUPS[name]
    group = file.create_group(name)
    group.attrs["inference_library"] = "lfi-mflow"
    shape = max((values.shape for values in variables.values()), key=len)
    for dimension, size in zip(dimensions, shape, strict=True):
        group.dimensions[dimension] = size
        group.create_variable(dimension, (dimension,), data=np.arange(size))
    for variable, values in variables.items():
        data = np.ascontiguousarray(values)
        group.create_variable(variable, tuple(dimensions[: values.ndim]), data=data)


def read_arrays(file: h5py.File, path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    """Read the arrays of each group, but for the numbers of rows and columns.

    Raises:
        FileFormatError: If a group is missing, or an array has not its values in the file.
    """
    found: dict[str, dict[str, NDArray[Any]]] = {}
    for name, dimensions in GROUPS.items():
        group = find_plain(file, name)
        if not isinstance(group, h5py.Group):
            raise FileFormatError(f"a group {name} in the posterior {path}", "none", REMEDY)
        found[name] = {}
        for key in sorted(set(group) - set(dimensions)):
            dataset = require_memory(plain_dataset(group, key, path, REMEDY), path, REMEDY)
            found[name][key] = np.asarray(dataset[...])
    return found


def digest(header: str, arrays: Mapping[str, Mapping[str, NDArray[Any]]]) -> str:
    """Return the SHA-256 of all that a file says."""
    total = hashlib.sha256(header.encode())
    for group in GROUPS:
        values = Digest()
        values.update(arrays[group])
        total.update(values.hexdigest().encode())
    return total.hexdigest()
