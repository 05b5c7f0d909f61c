import errno
from importlib.util import find_spec

import numpy as np
import pytest
import uproot

from lfi_mflow.data import (
    ColumnMapping,
    EventMetadata,
    export,
    export_events,
    import_events,
    open_events,
    write_events,
)
from lfi_mflow.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    InputError,
    StorageError,
)
from lfi_mflow.simulation import Events, Observable, Parameter

NO_ARROW = pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
KINDS = [
    ("e.root", "ttree"),
    ("e.root", "rntuple"),
    pytest.param("e.parquet", "parquet", marks=NO_ARROW),
]
MAPPING = ColumnMapping(None, ("px", "py", "η = `η`"), ("theta", "rho"), "weight")


@pytest.fixture
def full(make_events):
    """A function that makes events with all arrays."""

    def full(n):
        rng = np.random.default_rng(3)
        return make_events(
            n,
            weight=rng.normal(size=n),
            log_ratio=rng.normal(size=n),
            score=rng.normal(size=(n, 2)),
            latent=rng.normal(size=(n, 1)),
            components=rng.normal(size=(n, 3)),
        )

    return full


@pytest.fixture
def path(tmp_path, metadata, full):
    write_events(tmp_path / "e.h5", metadata, [full(100)], force=False)
    return tmp_path / "e.h5"


@pytest.mark.parametrize(("name", "kind"), KINDS)
@pytest.mark.parametrize(("block", "blocks"), [(1, 100), (1500, 8), (10**6, 1)])
def test_blocks_are_written_one_by_one(path, monkeypatch, name, kind, block, blocks):
    monkeypatch.setattr(export, "_BLOCK_BYTES", block)
    whole, seen = path.with_name(name), []
    export_events(path, whole, kind=kind, progress=seen.append)
    assert (len(seen), seen[-1]) == (blocks, 100)
    events, read = import_events(whole, MAPPING)
    assert read.counts() == {"read": 100, "missing": 0, "nonfinite": 0}
    with open_events(path) as file:
        assert np.array_equal(events.x, file.read().x)


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_what_is_exported_is_imported_again(path, full, same_events, name, kind):
    report = export_events(path, path.with_name(name), kind=kind)
    assert (report.kind, report.events) == (kind, 100)
    events, _ = import_events(path.with_name(name), MAPPING)
    expected = full(100)
    same_events(events, Events(expected.theta, expected.x, expected.weight))


@pytest.mark.parametrize("kind", ["ttree", "rntuple"])
def test_every_array_has_its_branches(path, full, tmp_path, kind):
    report = export_events(path, tmp_path / "out.root", kind=kind, tree="higgs")
    assert report.columns == {
        "theta": ("theta", "rho"),
        "x": ("px", "py", "η"),
        "weight": ("weight",),
        "log_ratio": ("log_ratio",),
        "score": ("score_theta", "score_rho"),
        "latent": ("latent_0",),
        "components": ("component_0", "component_1", "component_2"),
    }
    expected = full(100).columns()
    with uproot.open(tmp_path / "out.root") as file:
        tree = file["higgs"]
        assert set(tree.keys()) == {name for group in report.columns.values() for name in group}
        assert ("RNTuple" in type(tree).__name__) == (kind == "rntuple")
        for array, names in report.columns.items():
            table = np.stack([tree[name].array(library="np") for name in names], axis=1)
            np.testing.assert_array_equal(table, expected[array].reshape(100, -1))


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_single_precision_stays_single(tmp_path, name, kind):
    x = np.random.default_rng(1).normal(size=(10, 1)).astype(np.float32)
    metadata = EventMetadata((), (Observable("a"),))
    write_events(tmp_path / "e.h5", metadata, [Events(np.empty((10, 0)), x)], force=False)
    export_events(tmp_path / "e.h5", tmp_path / name, kind=kind)
    if kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        column = parquet.read_table(tmp_path / name)["a"].to_numpy()
    else:
        with uproot.open(tmp_path / name) as file:
            column = file["events"]["a"].array(library="np")
    assert column.dtype == np.float32
    assert column.tobytes() == x.tobytes()


def test_an_existing_file_needs_force(path, tmp_path):
    output = tmp_path / "e.root"
    output.write_bytes(b"precious")
    with pytest.raises(InputError, match="--force"):
        export_events(path, output)
    assert output.read_bytes() == b"precious"
    assert export_events(path, output, force=True).events == 100
    assert output.read_bytes()[:4] == b"root"


@pytest.mark.parametrize(
    ("output", "options", "kind", "words"),
    [
        ("e.csv", {}, FileFormatError, r"ends in \.root or \.parquet, found .*e\.csv"),
        ("e.parquet", {"kind": "ttree"}, ConfigError, "expected parquet in .*found ttree"),
        ("e.root", {"kind": "parquet"}, ConfigError, "expected ttree or rntuple"),
        ("e.root", {"tree": "a/b"}, ConfigError, "found 'a/b'"),
        ("e.root", {"tree": ""}, ConfigError, "found ''"),
    ],
)
def test_outputs_that_cannot_be(path, tmp_path, output, options, kind, words):
    with pytest.raises(kind, match=words):
        export_events(path, tmp_path / output, **options)
    assert list(tmp_path.iterdir()) == [path]


def test_two_columns_of_one_name(tmp_path):
    metadata = EventMetadata((Parameter("m"),), (Observable("m"),))
    events = Events(np.zeros((3, 1)), np.zeros((3, 1)))
    write_events(tmp_path / "e.h5", metadata, [events], force=False)
    with pytest.raises(DataError, match="'m' twice"):
        export_events(tmp_path / "e.h5", tmp_path / "e.root")


def test_names_that_an_rntuple_cannot_hold(tmp_path):
    metadata = EventMetadata((), (Observable("mu.pt"),))
    events = Events(np.zeros((3, 0)), np.ones((3, 1)))
    write_events(tmp_path / "e.h5", metadata, [events], force=False)
    with pytest.raises(DataError, match=r"'mu\.pt'; take a TTree"):
        export_events(tmp_path / "e.h5", tmp_path / "e.root", kind="rntuple")
    export_events(tmp_path / "e.h5", tmp_path / "e.root")
    read, _ = import_events(tmp_path / "e.root", ColumnMapping("events", ("mu.pt",)))
    assert read.x.tolist() == [[1.0]] * 3


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_damage_in_the_middle_leaves_the_old_file(path, tmp_path, monkeypatch, name, kind):
    output = tmp_path / name
    output.write_bytes(b"old")
    monkeypatch.setattr(export, "_BLOCK_BYTES", 1500)
    calls = []

    def full_disk(done):
        calls.append(done)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="the disk is full"):
        export_events(path, output, kind=kind, force=True, progress=full_disk)
    assert output.read_bytes() == b"old"
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["e.h5", name])
