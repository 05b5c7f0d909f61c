import h5py
import numpy as np
import pytest

from lfi_mflow.data import open_events, write_events
from lfi_mflow.data.schema import Digest
from lfi_mflow.errors import FileFormatError, LfiMflowError


@pytest.fixture
def path(tmp_path, metadata, make_events):
    path = tmp_path / "events.h5"
    write_events(path, metadata, [make_events(40_000)], force=False)
    return path


def test_a_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        open_events(tmp_path / "none.h5")


def test_a_folder(tmp_path):
    with pytest.raises(FileFormatError, match="a folder"):
        open_events(tmp_path)


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "an empty file"), (b"px,py\n1,2\n" * 99, "not HDF5")]
)
def test_a_file_of_another_kind(tmp_path, content, found):
    path = tmp_path / "events.h5"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=found):
        open_events(path)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.999])
def test_a_truncated_file(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileFormatError, match="truncated"):
        open_events(path)


def test_an_unreadable_file(path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(FileFormatError, match="permission"):
        open_events(path)


def test_hdf5_of_another_kind(tmp_path):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros((3, 3))
    with pytest.raises(FileFormatError, match="another kind"):
        open_events(path)


def test_another_schema_version(path):
    with h5py.File(path, "r+") as file:
        file.attrs["schema_version"] = 2
    with pytest.raises(FileFormatError, match=r"schema version 1 .* found version 2"):
        open_events(path)


@pytest.mark.parametrize("key", ["digest", "observables", "parameters"])
def test_missing_attributes(path, key):
    with h5py.File(path, "r+") as file:
        del file.attrs[key]
    with pytest.raises(FileFormatError, match="damaged attributes"):
        open_events(path)


@pytest.mark.parametrize("value", ["{not json", "3", np.zeros(3)])
def test_senseless_attributes(path, value):
    with h5py.File(path, "r+") as file:
        file.attrs["observables"] = value
    with pytest.raises(FileFormatError, match="damaged attributes"):
        open_events(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("x", None, "array /x"),
        ("theta", None, "array /theta"),
        ("theta", np.zeros((39_999, 2)), "40000 rows"),
        ("theta", np.zeros((40_000, 3)), "2 columns"),
        ("x", np.zeros((40_000, 2)), "3 columns"),
        ("x", np.zeros(40_000), "3 columns"),
        ("weight", np.zeros(7), "40000 rows"),
        ("weight", np.zeros((40_000, 1, 1)), "40000 rows"),
        ("weight", np.zeros(40_000, dtype=complex), "complex"),
    ],
)
def test_arrays_that_do_not_fit(path, name, array, message):
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if array is not None:
            file[name] = array
    with pytest.raises(FileFormatError, match=message):
        open_events(path)


def test_a_group_in_the_place_of_an_array(path):
    with h5py.File(path, "r+") as file:
        del file["x"]
        file.create_group("x")
    with pytest.raises(FileFormatError, match="found a group"):
        open_events(path)


def test_no_flipped_byte_goes_unnoticed_or_is_anything_but_an_input_error(path):
    """The metadata of HDF5 has checksums too: a flip is found, or it hit unused space."""
    content = path.read_bytes()
    with open_events(path) as file:
        events = file.read()
    rng = np.random.default_rng(5)
    messages = []
    for position in [*range(0, 400, 7), *rng.integers(0, len(content), 150)]:
        damaged = bytearray(content)
        damaged[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with open_events(path) as file:
                file.verify()
                np.testing.assert_array_equal(file.read().x, events.x)
        except LfiMflowError as error:
            messages.append(str(error))
    assert len(messages) > 150
    assert not any("\n" in message for message in messages)


def test_the_digest_depends_on_values_names_types_and_shapes_only():
    def digest(*blocks):
        total = Digest()
        for block in blocks:
            total.update(block)
        return total.hexdigest()

    values = np.arange(12.0).reshape(6, 2)
    whole = digest({"x": values})
    assert digest({"x": values[:1]}, {"x": values[1:]}) == whole
    assert digest({"x": np.asfortranarray(values)}) == whole
    others = [
        {"theta": values},
        {"x": values.reshape(4, 3)},
        {"x": values.astype(np.float32)},
        {"x": -values},
    ]
    assert len({whole, *map(digest, others)}) == 5
