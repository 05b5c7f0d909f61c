import h5py
import numpy as np
import pytest

from lfi_mflow.data.columns import CHUNK_ROWS, create_column


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "columns.h5", "w") as file:
        yield file


@pytest.mark.parametrize(
    ("values", "compressed"),
    [
        (np.random.default_rng(0).normal(size=(CHUNK_ROWS, 3)), False),
        (np.random.default_rng(0).normal(size=CHUNK_ROWS).astype("f4"), False),
        (np.ones(CHUNK_ROWS), True),
        (np.random.default_rng(0).integers(17, size=(1_000, 64)).astype(float), True),
        (np.empty((CHUNK_ROWS, 0)), False),
        (np.ones((0, 2)), False),
    ],
    ids=["features", "single-precision", "constant", "pixels", "no-columns", "no-rows"],
)
def test_only_what_becomes_much_smaller_is_compressed(file, values, compressed):
    column = create_column(file, "x", values, values.dtype)
    assert (column.compression == "lzf") is compressed
    assert column.shuffle is compressed
    assert column.fletcher32
    column.resize(len(values), axis=0)
    if values.size:
        column[:] = values
    file.flush()
    np.testing.assert_array_equal(file["x"][()], values)
    if compressed:
        assert column.id.get_storage_size() < 0.75 * values.nbytes


def test_the_values_decide_not_their_batches(tmp_path, metadata, make_events):
    """The choice is made by the first chunk, which does not depend on the batches."""
    from lfi_mflow.data import write_events  # noqa: PLC0415

    events = make_events(CHUNK_ROWS + 10)
    events.x[CHUNK_ROWS // 2 :] = 0.5
    events.x[: CHUNK_ROWS // 2] = np.arange(CHUNK_ROWS // 2)[:, None] % 3
    for name, size in (("whole", len(events)), ("parts", 100)):
        batches = [events[start : start + size] for start in range(0, len(events), size)]
        write_events(tmp_path / name, metadata, batches, force=False)
    with h5py.File(tmp_path / "whole") as one, h5py.File(tmp_path / "parts") as two:
        assert one["x"].compression == two["x"].compression == "lzf"
        for column in one:
            assert one[column].id.get_storage_size() == two[column].id.get_storage_size()
