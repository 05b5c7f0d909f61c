import numpy as np
import pytest
import uproot

from lfi_mflow.data import (
    ColumnMapping,
    EventMetadata,
    open_observed,
    read_observed,
    write_events,
)
from lfi_mflow.errors import ConfigError, DataError, ModelMismatchError, UnknownNameError
from lfi_mflow.simulation import Events, Observable, Parameter

NAMES = ("x0", "x1")


@pytest.fixture
def write(tmp_path):
    """A function that writes events of some observables to an event file."""

    def write(x, names=NAMES):
        metadata = EventMetadata((), tuple(map(Observable, names)))
        x = np.asarray(x, dtype=float)
        write_events(tmp_path / "obs.h5", metadata, [Events(np.empty((len(x), 0)), x)], force=False)
        return tmp_path / "obs.h5"

    return write


@pytest.fixture
def root_file(tmp_path):
    with uproot.recreate(tmp_path / "obs.root") as file:
        file.mktree("events", {"x0": "float64", "x1": "float64", "b-1": "float64"})
        columns = {"x0": [1.0, 2.0], "x1": [3.0, 4.0], "b-1": [5.0, 6.0]}
        file["events"].extend({name: np.array(column) for name, column in columns.items()})
    return tmp_path / "obs.root"


def test_an_event_file(write):
    events, report = read_observed(write([[1, 2], [3, 4]]), None, NAMES)
    assert events.x.tolist() == [[1, 2], [3, 4]]
    assert report.counts() == {"read": 2, "missing": 0, "nonfinite": 0}


def test_a_parquet_file_has_its_columns_by_name(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"x1": [3.0, None, 6.0], "x0": [1.0, 2.0, 5.0]})
    parquet.write_table(table, tmp_path / "obs.parquet")
    events, report = read_observed(tmp_path / "obs.parquet", None, NAMES)
    assert events.x.tolist() == [[1, 3], [5, 6]]
    assert report.counts() == {"read": 3, "missing": 1, "nonfinite": 0}


@pytest.mark.parametrize("names", [("x1", "x0"), ("x0",), ("x0", "x1", "x2"), ("a", "b")])
def test_an_event_file_of_other_observables(write, names):
    with pytest.raises(ModelMismatchError, match="observables"):
        read_observed(write([[1, 2]]), None, names)


def test_nonfinite_observables(write):
    path = write([[1, 2], [np.nan, 4], [5, np.inf], [np.nan, 8]])
    with pytest.raises(DataError, match=r"x0: 2, x1: 1"):
        read_observed(path, None, NAMES)
    events, report = read_observed(path, None, NAMES, drop_nonfinite=True)
    assert len(report.rows) == len(events) == report.kept
    assert len(report.rows) < report.read
    assert events.x.tolist() == [[1, 2]]
    assert (report.read, report.kept, report.nonfinite) == (4, 1, 3)


def test_no_finite_event(write):
    with pytest.raises(DataError, match="none is left"):
        read_observed(write([[np.nan, 4]]), None, NAMES, drop_nonfinite=True)


def test_columns_of_the_same_names_need_no_mapping(root_file):
    events, _ = read_observed(root_file, None, ("b-1", "x0"))
    assert events.x.tolist() == [[5.0, 1.0], [6.0, 2.0]]
    assert events.theta.shape == (2, 0)
    with pytest.raises(UnknownNameError, match="'x2'; did you mean"):
        read_observed(root_file, None, ("x0", "x2"))


def test_a_mapping_stands_in_the_order_of_the_model(root_file):
    mapping = ColumnMapping("events", ("2*x1", "x0"), parameters=("absent",), weight="x0")
    events, _ = read_observed(root_file, mapping, NAMES)
    assert events.x.tolist() == [[6.0, 1.0], [8.0, 2.0]]
    assert events.weight.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("columns", [("x0",), ("x0", "x1", "x0 + x1"), ("x1 = x1", "x0 = x0")])
def test_a_mapping_of_other_observables(root_file, columns):
    with pytest.raises(ModelMismatchError):
        read_observed(root_file, ColumnMapping(None, columns), NAMES)


def test_blocks_come_with_their_rows(write):
    x = np.arange(200_000.0).reshape(-1, 2)
    x[[3, 70_000], 0] = np.nan
    source = open_observed(write(x), None, NAMES, drop_nonfinite=True)
    assert source.n_rows == 100_000
    blocks = list(source.blocks())
    assert len(blocks) == 2
    rows = np.concatenate([rows for rows, _ in blocks])
    np.testing.assert_array_equal(rows, np.setdiff1d(np.arange(100_000), [3, 70_000]))
    np.testing.assert_array_equal(np.concatenate([events.x for _, events in blocks]), x[rows])
    assert (source.report.read, source.report.kept) == (100_000, 99_998)


def test_no_block_comes_after_a_value_that_is_not_finite(write):
    x = np.zeros((100_000, 2))
    x[[3, 70_000], 0] = np.nan
    blocks = open_observed(write(x), None, NAMES).blocks()
    with pytest.raises(DataError, match=r"x0: 2"):
        next(blocks)


def test_the_parameters_of_a_file_are_those_of_the_model_or_unknown(write, root_file):
    open_observed(write([[1, 2]]), None, NAMES).require_parameters(["theta"])
    mapping = ColumnMapping("events", NAMES, parameters=("t = x0",))
    source = open_observed(root_file, mapping, NAMES)
    source.require_parameters(["t"])
    assert [events.theta.tolist() for _, events in source.blocks()] == [[[1.0], [2.0]]]
    for names in (["theta"], ["t", "rho"], []):
        with pytest.raises(ModelMismatchError, match="parameters"):
            source.require_parameters(names)


@pytest.mark.parametrize("tree", ["events", "events_with_background"])
def test_the_observed_events_of_the_paper(data_folder, tree):
    path = data_folder / "observed_events.root"
    columns = ("feature_a", "feature_b", "feature_c")
    events, report = read_observed(path, ColumnMapping(tree, columns), ("x0", "x1", "x2"))
    with uproot.open(path) as file:
        truth = np.stack([file[tree][name].array(library="np") for name in columns], axis=1)
    assert events.x.shape == (200, 3)
    assert report.kept == report.read == 200
    np.testing.assert_array_equal(events.x, truth)
    with pytest.raises(ConfigError, match="events, events_with_background"):
        read_observed(path, ColumnMapping(None, columns), ("x0", "x1", "x2"))


def test_conditions_of_an_event_file(tmp_path):
    metadata = EventMetadata(
        tuple(Parameter(name, 0.0, 9.0) for name in "abc"), tuple(map(Observable, NAMES))
    )
    events = Events(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), np.zeros((2, 2)))
    write_events(tmp_path / "obs.h5", metadata, [events], force=False)
    read, _ = read_observed(tmp_path / "obs.h5", None, NAMES, conditions=("c", "a"))
    assert read.theta.tolist() == [[3, 1], [6, 4]]
    with pytest.raises(ModelMismatchError, match=r"condition\(s\) d among the columns of theta"):
        read_observed(tmp_path / "obs.h5", None, NAMES, conditions=("d",))


def test_conditions_of_a_foreign_file(root_file):
    mapping = ColumnMapping(None, NAMES, parameters=("c = 2 * `b-1`", "other = x0"))
    for given, name in ((mapping, "c"), (None, "b-1")):
        events, _ = read_observed(root_file, given, NAMES, conditions=(name,))
        factor = 2 if given else 1
        assert events.theta.tolist() == [[5 * factor], [6 * factor]]
        assert events.x.tolist() == [[1, 3], [2, 4]]
