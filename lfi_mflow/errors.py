"""The exceptions of lfi-mflow.

::

    LfiMflowError
    ├── InputError                 what the user gave cannot be used      exit status 2
    │   ├── ConfigError            a configuration or an option
    │   ├── UnknownNameError       a name that is not registered (offers the nearest)
    │   ├── FileFormatError        a file that is missing, truncated or of another format
    │   ├── DataError              values in a file: non-finite, wrong shape, outside the prior
    │   └── ModelMismatchError     a model and data that do not belong together
    ├── StorageError               the disk is full or cannot be written   exit status 1
    ├── TrainingError              training cannot go on                   exit status 1
    │   └── LostProcessError       another process of the training died
    └── Interrupted                stopped by a signal, state is saved     exit status 128 + signal

Every message is one line that says what was expected, what was found and what
to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar

__all__ = [
    "ConfigError",
    "DataError",
    "FileFormatError",
    "InputError",
    "Interrupted",
    "LfiMflowError",
    "LostProcessError",
    "ModelMismatchError",
    "StorageError",
    "TrainingError",
    "UnknownNameError",
]


class LfiMflowError(Exception):
    """Base of all errors that lfi-mflow raises on purpose."""

    exit_status: ClassVar[int] = 1


class InputError(LfiMflowError):
    """What the user gave cannot be used.

    Arguments:
        expected: What would have been accepted.
        found: What was given instead; name the file, the column and the row.
        remedy: What to do about it.
    """

    exit_status: ClassVar[int] = 2

    def __init__(self, expected: str, found: str, remedy: str) -> None:
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(f"expected {expected}, found {found}; {remedy}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        """Pickle by the three parts, so that errors cross process borders."""
        return type(self), (self.expected, self.found, self.remedy)


class ConfigError(InputError):
    """A configuration or an option cannot be used."""


class UnknownNameError(InputError):
    """A name is not among the known ones.

    Arguments:
        kind: What the name stands for, such as ``"simulator"``.
        name: The name that was given.
        known: The names that exist; the nearest are offered.
        remedy: What to do when no name is near.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(known)
        self._advice = remedy
        near = difflib.get_close_matches(name, self.known, n=3, cutoff=0.5)
        if near:
            advice = "did you mean " + " or ".join(repr(match) for match in near) + "?"
        else:
            advice = remedy or "known are: " + (", ".join(self.known) or "none")
        super().__init__(f"the name of a {kind}", repr(name), advice)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...], str]]:  # type: ignore[override]
        """Pickle by the arguments of this class, not of its base."""
        return type(self), (self.kind, self.name, self.known, self._advice)


class FileFormatError(InputError):
    """A file is missing, truncated, or not what its name promises."""


class DataError(InputError):
    """Values in a file cannot be used."""


class ModelMismatchError(InputError):
    """A model and data do not belong together."""


class StorageError(LfiMflowError):
    """A file could not be written; what was there before is untouched."""


class TrainingError(LfiMflowError):
    """Training cannot go on: losses or gradients are not finite."""


class LostProcessError(TrainingError):
    """Another process of a training on several processes died."""


class Interrupted(LfiMflowError):  # noqa: N818 - it is a state, not a mistake
    """The user stopped a run; the message says how to go on."""

    exit_status: ClassVar[int] = 130
