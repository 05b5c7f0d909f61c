import numpy as np
import pytest

from lfi_mflow.data import ColumnMapping, import_events, importing
from lfi_mflow.data import parquet as lfi_parquet
from lfi_mflow.data.parquet import open_parquet
from lfi_mflow.errors import ConfigError, DataError, FileFormatError, UnknownNameError

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS = {
    "x": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "n": [0, 1, 2, 3, 4, 5, 6],
    "w": [1.0, None, 3.0, 4.0, 5.0, 6.0, 7.0],
    "pt": [[1.0, 2.0], [], None, [3.0, 4.0], [5.0, None], [6.0, 7.0], [8.0, 9.0, 10.0]],
    "flag": [True, False, True, True, True, True, True],
    "label": ["a", "b", "c", "d", "e", "f", "g"],
}


@pytest.fixture(params=[1, 3, 100])
def path(request, tmp_path):
    """Seven rows in row groups of one, three, or all rows."""
    table = arrow.table(COLUMNS)
    parquet.write_table(table, tmp_path / "e.parquet", row_group_size=request.param)
    return tmp_path / "e.parquet"


def test_rows_across_row_groups(path):
    with open_parquet(path) as table:
        assert len(table) == 7
        assert table.columns == tuple(COLUMNS)
        for start in range(7):
            for stop in range(start + 1, 8):
                block = table.read(("x", "pt"), start, stop)
                assert block["x"].tolist() == COLUMNS["x"][start:stop]
                assert block["pt"].tolist() == COLUMNS["pt"][start:stop]


def test_nulls_of_many_rows_stay_in_their_places(tmp_path):
    rng = np.random.default_rng(1)
    x = np.where(rng.random(50_000) < 0.3, None, rng.normal(size=50_000))
    lists = [None if i % 7 == 3 else [i, None][: i % 3] for i in range(50_000)]
    table = arrow.table({"x": x.tolist(), "y": lists})
    parquet.write_table(table, tmp_path / "e.parquet", row_group_size=30_000, data_page_size=10_000)
    with open_parquet(tmp_path / "e.parquet") as file:
        for start, stop in [(0, 20_001), (20_001, 45_000), (45_000, 50_000)]:
            block = file.read(("x", "y"), start, stop)
            assert block["x"].tolist() == x[start:stop].tolist()
            assert block["y"].tolist() == lists[start:stop]


@pytest.mark.parametrize("values", [1, 5, 1_000])
def test_missing_elements_are_dropped_and_counted(path, monkeypatch, values):
    monkeypatch.setattr(importing, "_BLOCK_VALUES", values)
    mapping = ColumnMapping(None, ("x + n", "second = pt[:,1]", "flag"), ("m = -0.5",), "w")
    events, report = import_events(path, mapping)
    assert events.x.tolist() == [[0, 2, 1], [6, 4, 1], [10, 7, 1], [12, 9, 1]]
    assert events.theta.tolist() == [[-0.5]] * 4
    assert events.weight.tolist() == [1.0, 4.0, 6.0, 7.0]
    assert report.counts() == {"read": 7, "missing": 3, "nonfinite": 0}
    assert report.missing_in == {"second": 3, "w": 1}


def test_a_column_that_is_not_there(path):
    with pytest.raises(UnknownNameError, match="did you mean 'flag'"):
        import_events(path, ColumnMapping(None, ("flags",)))


@pytest.mark.parametrize("name", ["label", "pt"])
def test_a_column_that_is_no_number(path, name):
    with pytest.raises(DataError, match=f"one number per event in branch '{name}'"):
        import_events(path, ColumnMapping(None, (name,)))


def test_a_type_that_cannot_be_read(tmp_path):
    column = arrow.array([1, 2], type=arrow.timestamp("s"))
    parquet.write_table(arrow.table({"t": column, "x": [1.0, 2.0]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="one number per event in branch 't'"):
        import_events(tmp_path / "e.parquet", ColumnMapping(None, ("t",)))
    events, _ = import_events(tmp_path / "e.parquet", ColumnMapping(None, ("x",)))
    assert events.x.tolist() == [[1.0], [2.0]]


def test_a_tree_has_no_place(path):
    with pytest.raises(ConfigError, match="leave the tree out"):
        import_events(path, ColumnMapping("events", ("x",)))


def test_no_rows(tmp_path):
    table = arrow.table({"x": np.empty(0)})
    parquet.write_table(table, tmp_path / "e.parquet")
    with pytest.raises(DataError, match="found none; check the file"):
        import_events(tmp_path / "e.parquet", ColumnMapping(None, ("x",)))


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_one_clear_error(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileFormatError, match="a Parquet file at") as caught:
        import_events(path, ColumnMapping(None, ("x",)))
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        import_events(tmp_path / "none.parquet", ColumnMapping(None, ("x",)))


def test_damaged_rows_are_one_clear_error(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "e.parquet"
    parquet.write_table(arrow.table({"x": rng.normal(size=5000)}), path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[20:3000] = bytes(2980)
    path.write_bytes(content)
    with pytest.raises(DataError, match="readable rows 0 to 5000 of x") as caught:
        import_events(path, ColumnMapping(None, ("x",)))
    assert "\n" not in str(caught.value)


def test_a_row_group_that_would_not_fit_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(lfi_parquet, "_MOST_VALUES", 1000)
    path = tmp_path / "bomb.parquet"
    parquet.write_table(arrow.table({"x": [0.0] * 1001}), path)
    with pytest.raises(FileFormatError, match="found one of 1,001"), open_parquet(path):
        pass
    parquet.write_table(arrow.table({"x": [[0.0] * 501] * 2}), path)
    with pytest.raises(FileFormatError, match="found one of 1,002"), open_parquet(path):
        pass
