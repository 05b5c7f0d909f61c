"""What readers of other programs' files raise, in one clear line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lfi_mflow.errors import DataError, FileFormatError, LfiMflowError

__all__ = ["explained_file", "explained_rows"]


@contextmanager
def explained_file(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a library raises on opening a damaged file into one line.

    Arguments:
        path: The file.
        kind: What it is to be, such as ``"a ROOT file"``.

    Raises:
        FileFormatError: In place of any error that is not ours.
    """
    try:
        yield
    except LfiMflowError:
        raise
    except Exception as error:  # the libraries raise many kinds
        raise FileFormatError(
            f"{kind} at {path}",
            f"one that cannot be read ({_first_line(error)})",
            "check the path, or copy the file again",
        ) from error


@contextmanager
def explained_rows(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library raises on reading damaged rows into one line.

    Arguments:
        path: The file.
        what: What is read, such as ``"entries 0 to 10 of px"``.

    Raises:
        DataError: In place of any error that is not ours.
    """
    try:
        yield
    except LfiMflowError:
        raise
    except Exception as error:  # the libraries raise many kinds
        raise DataError(
            f"readable {what} in {path}",
            f"{type(error).__name__}: {_first_line(error)}",
            "check the file with the program that wrote it, or copy it again",
        ) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
