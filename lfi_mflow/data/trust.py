"""What is asked of an HDF5 file from a stranger before its values are read.

HDF5 is more than numbers in a file: a name may be a link to another file, values may
stand in other files or be put together from them, filters may be loaded as plug-ins, and
a header may claim any number of rows that nobody ever wrote. Nothing of it is needed
here, so that all of it is refused.
"""

from __future__ import annotations

import math
from pathlib import Path

import h5py

from lfi_mflow.data.damage import explained_file
from lfi_mflow.errors import FileFormatError

__all__ = ["find_plain", "obstacle_of", "plain_dataset", "require_memory"]

_MOST_CHUNK_BYTES = 2**30
_MOST_BYTES = 2**28
_FILTERS = frozenset(
    [
        *(h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32),
        *(h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_LZF),
    ]
)


def plain_dataset(group: h5py.Group, name: str, path: Path, remedy: str) -> h5py.Dataset:
    """Return a dataset whose values all stand in its own file.

    Arguments:
        group: Where it is.
        name: Its name, with slashes between those of the groups that it is in.
        path: The file, for the error messages.
        remedy: What to do if it is something else.

    Raises:
        FileFormatError: If there is no such dataset, it is linked to, its values stand
            elsewhere, or it claims more of them than there are.
    """
    with explained_file(path, f"an array {name} of HDF5"):
        found = find_plain(group, name)
        obstacle = "none, or a link to one" if found is None else obstacle_of(found, path)
    if obstacle is not None:
        raise FileFormatError(f"an array {name} with its values in {path}", obstacle, remedy)
    return found


def find_plain(group: h5py.Group, name: str) -> h5py.HLObject | None:
    """Return what stands under a name in this file, None if there is nothing, or a link.

    A link is not followed: it may lead to a pipe that never says anything.
    """
    found: h5py.HLObject = group
    for part in name.strip("/").split("/"):
        link = found.get(part, getlink=True) if isinstance(found, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            return None
        found = found[part]
    return found


def require_memory(dataset: h5py.Dataset, path: Path, remedy: str) -> h5py.Dataset:
    """Return a dataset that may be read whole: small, or not larger than its file.

    Raises:
        FileFormatError: If it is a large one that was compressed to nearly nothing.
    """
    size = dataset.size * dataset.id.get_type().get_size()
    if size > max(_MOST_BYTES, path.stat().st_size):
        raise FileFormatError(
            f"an array {dataset.name} not larger than its file {path}", f"{size:,} bytes", remedy
        )
    return dataset


def obstacle_of(found: h5py.HLObject, path: Path) -> str | None:
    """Say why something is not plain values, None if it is."""
    if not isinstance(found, h5py.Dataset):
        return "a group"
    if found.shape is None:
        return "an empty one"
    if found.external or found.is_virtual:
        return "one with values in other files"
    plist = found.id.get_create_plist()
    filters = {plist.get_filter(index)[0] for index in range(plist.get_nfilters())}
    if not filters <= _FILTERS:
        return f"a filter that is not known (number {max(filters - _FILTERS)})"
    return _missing(found, path)


def _missing(dataset: h5py.Dataset, path: Path) -> str | None:
    """Say which values a dataset claims that are not there, None if all are."""
    stored, itemsize = dataset.id.get_storage_size(), dataset.id.get_type().get_size()
    claim = f"a claim of {dataset.size:,} values, which are not there"
    if stored > path.stat().st_size:
        return claim
    if dataset.chunks is None:
        return None if stored >= dataset.size * itemsize else claim
    if math.prod(dataset.chunks) * itemsize > _MOST_CHUNK_BYTES:
        return f"chunks of {math.prod(dataset.chunks):,} values"
    pairs = zip(dataset.shape, dataset.chunks, strict=True)
    chunks = math.prod(-(-rows // size) for rows, size in pairs)
    return None if dataset.id.get_num_chunks() >= chunks else claim
