"""Telling files apart by their first bytes."""

import h5py
import pytest

from lfi_mflow.cli.file_kinds import file_kind
from lfi_mflow.closure import ClosureReport
from lfi_mflow.errors import FileFormatError
from lfi_mflow.inference.score_file import FORMAT


def test_our_files_are_known_whatever_they_are_called(study, tmp_path):
    ClosureReport({}).save(tmp_path / "a")
    with h5py.File(tmp_path / "b", "w") as file:
        file.create_group("posterior")
    (tmp_path / "c").write_bytes(study.model.read_bytes())
    (tmp_path / "d").write_bytes(study.events.read_bytes())
    with h5py.File(tmp_path / "e", "w") as file:
        file.attrs["format"] = FORMAT
    kinds = [file_kind(tmp_path / name) for name in "abcde"]
    assert kinds == ["closure", "posterior", "model", "events", "scores"]


def test_a_truncated_file_counts_by_its_name(study, tmp_path):
    for name, kind in (("half.h5", "events"), ("half.nc", "posterior")):
        (tmp_path / name).write_bytes(study.events.read_bytes()[:20_000])
        assert file_kind(tmp_path / name) == kind


@pytest.mark.parametrize("content", [b"", b"theta,x\n", b"\x89PNG\r\n\x1a\n", b"[1, 2]"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(FileFormatError, match="a file of another kind"):
        file_kind(tmp_path / "file")


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        file_kind(tmp_path / "none")
    with pytest.raises(FileFormatError, match="a folder"):
        file_kind(tmp_path)
