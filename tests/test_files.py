import errno
import os
from pathlib import Path

import pytest

from lfi_mflow.errors import FileFormatError, InputError, StorageError
from lfi_mflow.files import atomic_output, check_output, explain_storage_errors, require_file

FULL = Path("/dev/full")


def write_half(path, error):
    """Fail in the middle of writing."""
    with atomic_output(path) as temporary:
        temporary.write_text("half")
        raise error


def test_require_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a")
    assert require_file(path, "a text") == path
    with pytest.raises(FileFormatError, match=r"a text at .*b\.txt, found no such file"):
        require_file(tmp_path / "b.txt", "a text")
    with pytest.raises(FileFormatError, match="found a folder"):
        require_file(tmp_path, "a text")


def test_check_output(tmp_path):
    path = tmp_path / "a.txt"
    assert check_output(path, force=False) == path
    path.write_text("a")
    assert check_output(path, force=True) == path
    with pytest.raises(InputError, match="add --force"):
        check_output(path, force=False)
    with pytest.raises(InputError, match="found the folder"):
        check_output(tmp_path, force=True)
    with pytest.raises(InputError, match="mkdir -p"):
        check_output(tmp_path / "none" / "a.txt", force=False)


def test_check_output_in_a_read_only_folder(tmp_path, monkeypatch):
    # Faked, because the super-user may write everywhere.
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="a writable folder"):
        check_output(tmp_path / "a.txt", force=False)


def test_output_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_output(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EACCES, "Permission denied"), "permission denied"),
        (OSError("Can't write (file write failed: errno = 28, error message = ...)"), "full"),
    ],
)
def test_a_full_disk_is_one_clear_line(tmp_path, error, reason):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(StorageError, match=rf"could not write .*{reason}.*same command again"):
        write_half(path, error)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")
def test_the_system_itself_says_full(tmp_path):
    with pytest.raises(StorageError, match="the disk is full"), explain_storage_errors(tmp_path):
        FULL.write_text("a")


def test_other_errors_are_not_disguised(tmp_path):
    with pytest.raises(InterruptedError), explain_storage_errors(tmp_path / "a"):
        raise InterruptedError(errno.EINTR, "interrupted")
