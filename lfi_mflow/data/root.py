"""Columns of a ROOT file: TTrees and RNTuples, read by uproot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lfi_mflow.data.damage import explained_file, explained_rows
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError
from lfi_mflow.files import require_file

__all__ = ["RootTable", "open_root"]

_KINDS = ["TTree", "TNtuple", "TNtupleD", "ROOT::RNTuple", "ROOT::Experimental::RNTuple"]


class RootTable:
    """A TTree or RNTuple that is open for reading.

    Arguments:
        tree: What uproot returned for it.
        path: The file, for the error messages.

    Attributes:
        columns: The names of its branches.
    """

    columns: tuple[str, ...]

    def __init__(self, tree: Any, path: Path) -> None:
        self._tree, self._path = tree, path
        keys = list(tree.keys())
        # A branch inside a split branch is known by its path and by its own name.
        self.columns = tuple(dict.fromkeys([*keys, *(key.rpartition("/")[2] for key in keys)]))

    def __len__(self) -> int:
        """Return the number of entries."""
        return int(self._tree.num_entries)

    def read(self, names: Sequence[str], start: int, stop: int) -> dict[str, Any]:
        """Return awkward arrays of the entries of some branches.

        Raises:
            UnknownNameError: If there is no such branch; the nearest are offered.
            DataError: If the entries are damaged or of a type uproot cannot read.
        """
        for name in names:
            if name not in self.columns:
                raise UnknownNameError(
                    f"branch of {self._path}", name, self.columns, "see lfi-mflow info FILE"
                )
        with explained_rows(self._path, f"entries {start} to {stop} of {', '.join(names)}"):
            return {
                name: self._tree[name].array(entry_start=start, entry_stop=stop, library="ak")
                for name in names
            }


@contextmanager
def open_root(path: Path, tree: str | None) -> Iterator[RootTable]:
    """Open a TTree or RNTuple of a ROOT file.

    Arguments:
        path: The file.
        tree: Name of the tree; None if the file holds only one.

    Raises:
        FileFormatError: If the file is missing, truncated, not ROOT, or holds no tree.
        UnknownNameError: If there is no such tree; the nearest are offered.
        ConfigError: If no name was given and there are several trees.
    """
    import uproot  # noqa: PLC0415 - heavy, and only importing needs it

    require_file(path, "a ROOT file")
    with explained_file(path, "a ROOT file"):
        file = uproot.open(path)
    with file:
        _check_length(path, file.file.fEND)
        with explained_file(path, "a ROOT file"):
            trees = sorted(set(file.keys(filter_classname=_KINDS, cycle=False)))
            name = _choose(trees, tree, path)
            table = RootTable(file[name], path)
        yield table


def _check_length(path: Path, length: int) -> None:
    """Compare a file with the length in its header: uproot opens some truncated files."""
    size = path.stat().st_size
    if size < length:
        raise FileFormatError(
            f"a ROOT file of {length} bytes at {path}",
            f"a truncated one of {size} bytes",
            "copy the file again",
        )


def _choose(trees: Sequence[str], wanted: str | None, path: Path) -> str:
    """Return the name of the tree to read."""
    if wanted is None:
        if len(trees) == 1:
            return trees[0]
        expected = f"one TTree or RNTuple in {path}"
        if not trees:
            raise FileFormatError(expected, "none", "give a file that holds events")
        raise ConfigError(expected, f"{len(trees)}: {', '.join(trees)}", "name the tree to read")
    if wanted not in trees:
        raise UnknownNameError(f"TTree or RNTuple in {path}", wanted, trees)
    return wanted
