import awkward as ak
import numpy as np
import pytest
import uproot

from lfi_mflow.data.root import open_root
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError

COLUMNS = {
    "x": np.array([1.0, 2.0, 3.0, 4.0]),
    "n": np.array([1, 2, 3, 4], dtype=np.int32),
    "pt": ak.Array([[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0]]),
}
TYPES = {"x": "float64", "n": "int32", "pt": "var * float64"}


@pytest.fixture(params=["mktree", "mkrntuple"])
def path(request, tmp_path):
    """A ROOT file with 'events' as a TTree and as an RNTuple, written in two steps."""
    path = tmp_path / "file.root"
    with uproot.recreate(path) as file:
        writer = getattr(file, request.param)("events", TYPES)
        for rows in (slice(0, 3), slice(3, 4)):
            writer.extend({name: column[rows] for name, column in COLUMNS.items()})
    return path


def test_columns_and_entries(path):
    with open_root(path, "events") as table:
        assert set(COLUMNS) <= set(table.columns)
        assert len(table) == 4
        block = table.read(("x", "n", "pt"), 1, 4)
    assert block["x"].tolist() == [2.0, 3.0, 4.0]
    assert block["n"].tolist() == [2, 3, 4]
    assert block["pt"].tolist() == [[], [3.0], [4.0, 5.0, 6.0]]


def test_the_only_tree_needs_no_name(path):
    with open_root(path, None) as table:
        assert len(table) == 4


def test_an_unknown_tree(path):
    with (
        pytest.raises(UnknownNameError, match="'event'; did you mean 'events'"),
        open_root(path, "event"),
    ):
        pass


def test_an_unknown_branch(path):
    with open_root(path, None) as table, pytest.raises(UnknownNameError, match="mean 'pt'"):
        table.read(("pT",), 0, 1)


def test_two_trees_need_a_name(path):
    with uproot.update(path) as file:
        file.mktree("other", {"y": "float64"})
    with pytest.raises(ConfigError, match="2: events, other"), open_root(path, None):
        pass


def test_no_tree(tmp_path):
    with uproot.recreate(tmp_path / "file.root") as file:
        file["text"] = "nothing else"
    with (
        pytest.raises(FileFormatError, match="found none"),
        open_root(tmp_path / "file.root", None),
    ):
        pass


@pytest.mark.parametrize("content", [b"", b"px,py\n", b"root" + b"\xff" * 500])
def test_a_file_of_another_kind(tmp_path, content):
    (tmp_path / "file.root").write_bytes(content)
    with (
        pytest.raises(FileFormatError, match="a ROOT file"),
        open_root(tmp_path / "file.root", None),
    ):
        pass


def test_a_missing_file(tmp_path):
    with (
        pytest.raises(FileFormatError, match="no such file"),
        open_root(tmp_path / "none.root", None),
    ):
        pass


@pytest.mark.parametrize("name", ["cms_hzz.root", "zmumu.root", "observed_events.root"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.95])
def test_a_truncated_real_file_is_one_clear_error(data_folder, tmp_path, name, part):
    content = (data_folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(part * len(content))])

    def read():
        with open_root(path, "events") as table:
            table.read(tuple(table.columns), 0, len(table))

    with pytest.raises(FileFormatError) as caught:
        read()
    assert "\n" not in str(caught.value)
