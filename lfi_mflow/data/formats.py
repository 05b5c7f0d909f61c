"""The formats of other programs that events are read from.

A foreign file is a table: rows are events, columns have names. The end of the
file's name tells the format.

=================  =================================================================
``.root``          a TTree or RNTuple, :mod:`lfi_mflow.data.root`
``.parquet``       a table of Apache Parquet, :mod:`lfi_mflow.data.parquet`
``.lhe, .lhe.gz``  Les Houches events, :mod:`lfi_mflow.data.lhe`
``.h5, .hdf5``     a sample of MadMiner, :mod:`lfi_mflow.data.madminer`
=================  =================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from lfi_mflow.data.lhe import open_lhe
from lfi_mflow.data.madminer import open_madminer
from lfi_mflow.data.parquet import open_parquet
from lfi_mflow.data.root import open_root
from lfi_mflow.errors import ConfigError, FileFormatError

__all__ = ["Table", "open_table"]


class Table(Protocol):
    """A foreign file that is open for reading."""

    def __len__(self) -> int:
        """Return the number of rows."""
        ...

    def read(self, names: Sequence[str], start: int, stop: int) -> Mapping[str, Any]:
        """Return arrays of the rows of some columns, or raise UnknownNameError."""
        ...


_TREELESS: Mapping[str, Callable[[Path], AbstractContextManager[Table]]] = {
    ".parquet": open_parquet,
    ".lhe": open_lhe,
    ".lhe.gz": open_lhe,
    ".h5": open_madminer,
    ".hdf5": open_madminer,
}


def open_table(path: Path, tree: str | None) -> AbstractContextManager[Table]:
    """Return a foreign file, to be opened as a context manager.

    Arguments:
        path: The file.
        tree: The tree of a ROOT file; None if it holds only one.

    Raises:
        FileFormatError: If the format is not known, or the file cannot be read.
        ConfigError: If a tree is named for a format that has none.
        InputError: If the format needs a package that is not installed.
    """
    name = path.name.lower()
    if name.endswith(".root"):
        return open_root(path, tree)
    for suffix, opener in _TREELESS.items():
        if name.endswith(suffix):
            if tree is not None:
                raise ConfigError(f"no tree for {path}", repr(tree), "leave the tree out")
            return opener(path)
    *most, last = (".root", *_TREELESS)
    raise FileFormatError(
        f"a file whose name ends in {', '.join(most)} or {last}", str(path), "convert it"
    )
