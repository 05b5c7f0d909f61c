"""Writing files so that nobody ever sees half of one.

Every output is written under a temporary name in the same folder and renamed
when it is complete: a killed command leaves either the old file or the new one.
Only one process writes an output at a time. It holds a lock that the system drops
when the process ends, however it ends, and deletes what a killed one has left.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lfi_mflow.errors import FileFormatError, InputError, StorageError

__all__ = ["atomic_output", "check_output", "locked_output", "read_json", "require_file"]

_MOST_JSON_BYTES = 2**28

# The outputs that this process has locked: what it writes inside a lock is its own.
_locked: set[Path] = set()


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


def read_json(path: Path, kind: str, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds an object, of a size that fits in memory.

    Raises:
        FileFormatError: If it is missing, too large, or holds something else.
    """
    require_file(path, kind)
    expected, size = f"{kind} in {path}", path.stat().st_size
    if size > _MOST_JSON_BYTES:
        raise FileFormatError(expected, f"a file of {size:,} bytes", remedy)
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(expected, f"no JSON ({error})", remedy) from error
    if not isinstance(table, dict):
        raise FileFormatError(expected, f"JSON of another kind ({type(table).__name__})", remedy)
    return table


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
        InputError: If another process writes ``path``.
        StorageError: If the disk is full or refuses to be written to. ``path``
            is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with locked_output(path):
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
def locked_output(path: Path) -> Iterator[None]:
    """Keep other processes from writing ``path``, and tidy up after one that was killed.

    The lock is one of the system (flock) on a file beside the output. Where a file
    system knows no locks, or the folder cannot be written, nothing is locked. Locks of
    one process may be nested.

    Raises:
        InputError: If another process writes ``path``.
    """
    key = path.parent.resolve() / path.name
    side = path.with_name(f".{path.name}.lock")
    handle = None if key in _locked else _acquire(path, side)
    if handle is None:
        yield
        return
    _locked.add(key)
    try:
        for left in path.parent.glob(f".{glob.escape(path.name)}.????????.tmp"):
            left.unlink(missing_ok=True)
        yield
    finally:
        _locked.remove(key)
        with suppress(OSError):
            side.unlink()  # before the lock is given back: no other may have taken it
        os.close(handle)


def _acquire(path: Path, side: Path) -> int | None:
    """Return the open lock file, None where there are no locks."""
    while True:
        try:
            handle = os.open(side, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError:
            return None  # whatever is wrong with the folder, writing the output will say
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 200).decode(errors="replace").strip()
            os.close(handle)
            if not isinstance(error, BlockingIOError):
                side.unlink(missing_ok=True)
                return None
            raise InputError(
                f"one run that writes {path}",
                f"another that is at work ({holder or 'unknown'})",
                "wait for it to end, or choose another name",
            ) from error
        if _is_file(handle, side):
            with suppress(OSError):
                os.truncate(handle, 0)
                os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
            return handle
        os.close(handle)  # the holder before has just deleted this one: take a new one


def _is_file(handle: int, path: Path) -> bool:
    """Whether an open file is still the one of that name."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


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
