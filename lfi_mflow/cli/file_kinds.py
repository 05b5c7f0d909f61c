"""Telling our files apart by their first bytes, whatever they are called."""
# ruff: noqa: PLC0415 - h5py is imported when a command runs

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lfi_mflow.errors import FileFormatError
from lfi_mflow.files import require_file

__all__ = ["FileKind", "file_kind"]

FileKind = Literal["events", "model", "posterior", "scores", "closure", "limits"]

_SCORES = "lfi-mflow scores"
_LIMITS = b"lfi-mflow limits"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def file_kind(path: Path) -> FileKind:
    """Return what kind of file of ours this is; its contents are not checked.

    Raises:
        FileFormatError: If there is no file or it is none of ours.
    """
    require_file(path, "a file")
    with path.open("rb") as handle:
        start = handle.read(64)
    if start.startswith(_HDF5):
        return _kind_of_hdf5(path)
    # A safetensors file begins with the length of its header, which is JSON.
    if start[8:9] == b"{":
        return "model"
    if start.lstrip().startswith(b"{"):
        return "limits" if _LIMITS in start else "closure"
    raise FileFormatError(
        "events or scores (.h5), a model (.mflow), a posterior (.nc), limits or a closure report "
        "(.json)",
        f"{path}, a file of another kind",
        "check the path",
    )


def _kind_of_hdf5(path: Path) -> FileKind:
    """Tell events, scores and posteriors apart; a damaged file counts by its name."""
    import h5py

    from lfi_mflow.data.watched import damage_of

    by_name: FileKind = "posterior" if path.suffix == ".nc" else "events"
    if damage_of(path) is not None:
        return by_name
    try:
        with h5py.File(path, "r", locking=False) as file:
            if file.get("posterior", getlink=True) is not None:
                return "posterior"
            return "scores" if file.attrs.get("format") == _SCORES else "events"
    except (OSError, RuntimeError):
        return by_name
