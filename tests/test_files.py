import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lfi_mflow.errors import FileFormatError, InputError, StorageError
from lfi_mflow.files import (
    atomic_output,
    check_output,
    explain_storage_errors,
    locked_output,
    read_json,
    require_file,
)

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


HOLDER = (
    "import sys; from pathlib import Path; from lfi_mflow.files import atomic_output\n"
    "with atomic_output(Path(sys.argv[1])) as temporary:\n"
    "    temporary.write_text('half'); print('writing', flush=True); sys.stdin.read()"
)


@pytest.fixture
def start_writer(tmp_path):
    """Start a process that is in the middle of writing a file."""
    started = []

    def start_writer():
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, tmp_path / "a.txt"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "writing\n"
        return process

    yield start_writer
    for process in started:
        process.kill()
        process.communicate()


def test_one_process_writes_at_a_time(tmp_path, start_writer):
    path = tmp_path / "a.txt"
    process = start_writer()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=rf"another that is at work \(process {process.pid} on"):
        write_half(path, ValueError("bad"))
    assert sorted(tmp_path.iterdir()) == before
    process.communicate()
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_no_lock_and_its_rests_are_removed(tmp_path, start_writer):
    path = tmp_path / "a.txt"
    other = tmp_path / ".b.txt.01234567.tmp"
    other.write_text("of another output")
    for _ in range(2):
        process = start_writer()
        process.kill()
        process.wait()
    assert len(list(tmp_path.glob(".a.txt.*.tmp"))) == 1  # the second removed that of the first
    with atomic_output(path) as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_locks_of_one_process_may_be_nested(tmp_path):
    path = tmp_path / "a.txt"
    with locked_output(path), locked_output(path):
        with atomic_output(path) as temporary:
            temporary.write_text("new")
        assert (tmp_path / ".a.txt.lock").exists()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_without_locks_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    path = tmp_path / "a.txt"
    with atomic_output(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"not JSON", "no JSON"),
        (b"[1, 2]", r"JSON of another kind \(list\)"),
        (b'{"a": ' * 100_000, "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
    ],
)
def test_json_of_strangers(tmp_path, content, found):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=found):
        read_json(path, "a report", "write it again")


def test_json_that_does_not_fit_in_memory(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_json(path, "a report", "write it again") == {"a": 1}
    os.truncate(path, 2**40)  # a hole: it takes no space
    with pytest.raises(FileFormatError, match="a file of 1,099,511,627,776 bytes"):
        read_json(path, "a report", "write it again")
