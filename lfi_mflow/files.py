"""Writing files so that nobody ever sees half of one.

Every output is written under a temporary name in the same folder and renamed
when it is complete: a killed command leaves either the old file or the new one.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lfi_mflow.errors import FileFormatError, InputError, StorageError

__all__ = ["atomic_output", "check_output", "require_file"]


def require_file(path: Path, kind: str) -> Path:
    """Return ``path`` if it is a file that can be read.

    Raises:
        FileFormatError: If there is no such file.
    """
    if path.is_dir():
        raise FileFormatError(f"{kind} at {path}", "a folder", "name the file itself")
    if not path.is_file():
        raise FileFormatError(f"{kind} at {path}", "no such file", "check the path")
    return path


def check_output(path: Path, *, force: bool) -> Path:
    """Fail early when ``path`` exists already or its folder cannot take a file.

    Raises:
        InputError: If the file exists and ``force`` is false, or the folder is
            missing or read-only.
    """
    if path.is_dir():
        raise InputError("an output file", f"the folder {path}", "give a file name")
    if path.exists() and not force:
        raise InputError(
            f"no file at {path}", "one that exists", "choose another name or add --force"
        )
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"a folder {folder}", "none", f"create it with: mkdir -p {folder}")
    if not os.access(folder, os.W_OK):
        raise InputError(f"a writable folder {folder}", "a read-only one", "choose another")
    return path


@contextmanager
def atomic_output(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block succeeds.

    Raises:
        StorageError: If the disk is full or refuses to be written to. ``path``
            is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with explain_storage_errors(path):
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def explain_storage_errors(path: Path) -> Iterator[None]:
    """Turn the system's errors on writing ``path`` into one clear line."""
    try:
        yield
    except OSError as error:
        reason = _storage_reason(error)
        if reason is None:
            raise
        raise StorageError(
            f"could not write {path}: {reason}; free some space or choose another folder, "
            "then run the same command again"
        ) from error


def _storage_reason(error: OSError) -> str | None:
    """Say why writing failed, or None if the error is of another kind.

    HDF5 reports the system's error number only inside its message.
    """
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EROFS: "the file system is read-only",
        errno.EACCES: "permission denied",
        errno.EFBIG: "the file size limit is reached",
        errno.EIO: "the disk reports an input/output error",
    }
    for number, reason in reasons.items():
        if error.errno == number or f"errno = {number}," in str(error):
            return reason
    return None
