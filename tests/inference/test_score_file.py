import dataclasses

import h5py
import numpy as np
import pytest
import uproot

from lfi_mflow.data import ColumnMapping, EventMetadata, open_observed, write_events
from lfi_mflow.errors import (
    DataError,
    FileFormatError,
    InputError,
    ModelMismatchError,
    StorageError,
)
from lfi_mflow.inference import (
    ScoreFile,
    off_manifold_events,
    score_events,
    score_file,
    write_scores,
)
from lfi_mflow.simulation import Events, Observable, Parameter

NAMES = ("x0", "x1", "x2")


@pytest.fixture
def x(make_model):
    """Events near the manifold of the model, and three that are not."""
    rng = np.random.default_rng(5)
    near = score_events(make_model(), rng.normal(size=(300, 3))).projection.astype(float)
    near[:, 2] += 0.01 * rng.normal(size=300)
    near[[17, 100, 250]] += 3.0
    return near


@pytest.fixture
def theta():
    return np.linspace(-0.9, 0.9, 300)[:, None]


@pytest.fixture
def source(x, theta, tmp_path):
    """A function that writes events to a file and opens it."""

    def source(x=x, theta=theta, names=("theta",), **options):
        metadata = EventMetadata(tuple(map(Parameter, names)), tuple(map(Observable, NAMES)))
        write_events(tmp_path / "e.h5", metadata, [Events(theta=theta, x=x)], force=True)
        return open_observed(tmp_path / "e.h5", None, NAMES, **options)

    return source


@pytest.fixture
def output(tmp_path):
    return tmp_path / "scores.h5"


def test_a_file_holds_the_scores_of_its_events(make_model, source, output, x, theta):
    model = make_model()
    found = write_scores(model, source(), output)
    expected = score_events(model, x, theta)
    with ScoreFile(output) as file:
        assert len(file) == 300
        assert file.metadata == found
        assert set(file.columns) == {*expected.columns(), "row", "off_manifold"}
        for name, values in expected.columns().items():
            np.testing.assert_allclose(file.read(name), values, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(file.read("row"), np.arange(300))
        np.testing.assert_array_equal(file.read("row", slice(10, 13)), [10, 11, 12])
        off = np.flatnonzero(file.read("off_manifold"))
    quantiles = model.metadata.training["distance_quantiles"]
    assert off.tolist() == sorted(off_manifold_events(expected.distance, quantiles))
    assert {17, 100, 250} <= set(off.tolist())
    assert found.off_manifold_events == len(off)
    assert found.median_distance == np.sort(expected.distance)[149]
    assert (found.log_prob, found.theta, found.reference) == (True, None, "hausdorff")
    assert found.provenance["command"]


def test_small_blocks_give_the_same_file(make_model, source, output, tmp_path, monkeypatch):
    source = source()
    whole = write_scores(make_model(), source, output)
    monkeypatch.setattr(score_file, "_BLOCK", 64)
    original, calls = type(source).blocks, []

    def blocks(self):
        for rows, events in original(self):
            for start in range(0, len(rows), 70):
                yield rows[start : start + 70], events[start : start + 70]

    monkeypatch.setattr(type(source), "blocks", blocks)
    again = dataclasses.replace(source, report=type(source.report)())
    parts = write_scores(make_model(), again, tmp_path / "parts.h5", progress=calls.append)
    assert len(calls) == 5
    assert dataclasses.replace(parts, provenance={}) == dataclasses.replace(whole, provenance={})
    with ScoreFile(output) as one, ScoreFile(tmp_path / "parts.h5") as two:
        for name in one.columns:
            np.testing.assert_allclose(one.read(name), two.read(name), rtol=1e-5, atol=1e-6)


def test_theta_that_is_given_wins(make_model, source, output, x):
    model = make_model()
    found = write_scores(model, source(names=("other",)), output, theta=[0.25])
    assert found.theta == (0.25,)
    with ScoreFile(output) as file:
        expected = score_events(model, x, [0.25]).log_prob
        np.testing.assert_allclose(file.read("log_prob"), expected, rtol=1e-5, atol=1e-6)


def test_without_theta_there_is_no_density(make_model, source, output):
    found = write_scores(make_model(), source(theta=np.empty((300, 0)), names=()), output)
    assert not found.log_prob
    with ScoreFile(output) as file:
        assert "log_prob" not in file.columns


def test_a_model_without_parameters(make_model, source, output):
    model = make_model(p=0)
    assert write_scores(model, source(theta=np.empty((300, 0)), names=()), output).log_prob
    with pytest.raises(ModelMismatchError, match=r"parameters \(none\)"):
        write_scores(model, source(), output, force=True)


def test_without_a_reference_nothing_is_called_off(make_model, source, output):
    found = write_scores(make_model(quantiles=False), source(), output)
    assert found.off_manifold_events is None
    with ScoreFile(output) as file:
        assert not {"off_manifold", "tail_probability"} & set(file.columns)


def test_events_on_the_manifold(make_model, source, output, x):
    keep = np.setdiff1d(np.arange(300), [17, 100, 250])
    x[[17, 100, 250]] = x[keep[:3]]
    assert write_scores(make_model(), source(x=x), output).off_manifold_events <= 1


def test_theta_outside_the_prior_is_counted(make_model, source, output, theta):
    theta[:20] = 1.5
    assert write_scores(make_model(), source(theta=theta), output).outside_prior == 20
    source = source(theta=theta)
    assert write_scores(make_model(prior=False), source, output, force=True).outside_prior == 0


def test_events_that_are_not_finite(make_model, source, output, x, theta):
    x[5, 0], x[7, 1], theta[9] = np.nan, 1e300, np.nan
    with pytest.raises(DataError, match="2 without a finite result, the first in row 7"):
        write_scores(make_model(), source(x=np.nan_to_num(x), theta=theta), output)
    with pytest.raises(DataError, match=r"NaN or infinite ones \(x0: 1\)"):
        write_scores(make_model(), source(x=x, theta=np.nan_to_num(theta)), output)
    assert not output.exists()
    found = write_scores(make_model(), source(x=x, theta=theta, drop_nonfinite=True), output)
    assert (found.n_events, found.dropped) == (297, 3)
    with ScoreFile(output) as file:
        np.testing.assert_array_equal(file.read("row"), np.setdiff1d(np.arange(300), [5, 7, 9]))


def test_nothing_that_can_be_scored(make_model, source, output, theta):
    source = source(x=np.full((300, 3), 1e300), drop_nonfinite=True)
    with pytest.raises(DataError, match="that the model can score, found none"):
        write_scores(make_model(), source, output)


def test_a_root_file_whose_events_are_not_all_complete(make_model, output, x, tmp_path):
    with uproot.recreate(tmp_path / "e.root") as file:
        file["t"] = {
            **{name: x[:, i] for i, name in enumerate(NAMES)},
            "weird": np.where(np.arange(300) % 3 == 0, -1.0, 1.0),
            "t": np.full(300, 0.5),
        }
    columns = ("x0", "x1", "x2 + 0 * sqrt(weird)")
    mapping = ColumnMapping(None, columns, parameters=("theta = t",), weight="x0")
    source = open_observed(tmp_path / "e.root", mapping, NAMES, drop_nonfinite=True)
    assert write_scores(make_model(), source, output).dropped == 100
    with ScoreFile(output) as file:
        rows = np.flatnonzero(np.arange(300) % 3)
        np.testing.assert_array_equal(file.read("row"), rows)
        expected = score_events(make_model(), x[rows], [0.5]).log_prob
        np.testing.assert_allclose(file.read("log_prob"), expected, rtol=1e-5, atol=1e-6)
    wrong = ColumnMapping(None, NAMES, parameters=("rho = t",))
    with pytest.raises(ModelMismatchError, match="a column for 'theta', found 'rho'"):
        write_scores(
            make_model(), open_observed(tmp_path / "e.root", wrong, NAMES), output, force=True
        )


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ([0.1, 0.2], "1 values of theta"),
        ([1.5], "theta from -1 to 1"),
        ([float("nan")], "found nan"),
    ],
)
def test_theta_that_does_not_fit(make_model, source, output, point, words):
    with pytest.raises(InputError, match=words):
        write_scores(make_model(), source(), output, theta=point)
    with pytest.raises(InputError, match="theta from -2 to 2"):
        write_scores(make_model(prior=False), source(), output, theta=[2.5])


def test_parameters_of_another_model(make_model, source, output):
    with pytest.raises(ModelMismatchError, match=r"the model's parameters theta .* found phi"):
        write_scores(make_model(), source(names=("phi",)), output)


def test_a_file_is_replaced_only_by_force(make_model, source, output):
    output.write_bytes(b"old")
    with pytest.raises(InputError, match="--force"):
        write_scores(make_model(), source(), output)
    write_scores(make_model(), source(), output, force=True)
    with ScoreFile(output) as file:
        assert len(file) == 300


def test_the_old_file_stays_when_the_disk_is_full(make_model, source, output, monkeypatch):
    output.write_bytes(b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(score_file, "streamed_median", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_scores(make_model(), source(), output, force=True)
    assert output.read_bytes() == b"old"
    assert sorted(path.name for path in output.parent.iterdir()) == ["e.h5", "scores.h5"]


@pytest.fixture
def damaged(make_model, source, output):
    """A function that changes a score file."""

    def damaged(change):
        write_scores(make_model(), source(), output, force=True)
        with h5py.File(output, "r+") as file:
            change(file)
        return output

    return damaged


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda file: file.attrs.__setitem__("format", "x"), "an HDF5 file of another kind"),
        (lambda file: file.attrs.__setitem__("schema_version", 9), "found version 9"),
        (lambda file: file.attrs.__setitem__("metadata", "{"), "damaged attributes"),
        (lambda file: file.attrs.__setitem__("metadata", "{}"), "damaged attributes"),
        (lambda file: file.__delitem__("row"), "damaged attributes"),
        (lambda file: file["row"].resize(3, axis=0), "one of other rows"),
    ],
)
def test_files_that_are_none(damaged, change, words):
    with pytest.raises(FileFormatError, match=words):
        ScoreFile(damaged(change))


def test_a_truncated_file_and_a_missing_one(damaged, output, tmp_path):
    path = damaged(lambda file: None)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(FileFormatError, match=r"an HDF5 score file at .* a truncated one"):
        ScoreFile(path)
    with pytest.raises(FileFormatError, match=r"a score file at .* no such file"):
        ScoreFile(tmp_path / "none.h5")


def test_damaged_values_and_unknown_columns(damaged, output):
    path = damaged(lambda file: None)
    with h5py.File(path, "r") as file:
        chunk = file["distance"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 0xFF
    path.write_bytes(content)
    with ScoreFile(path) as file:
        with pytest.raises(DataError, match="damaged"):
            file.read("distance")
        with pytest.raises(InputError, match="one of the columns"):
            file.read("distances")
