"""Checkpoint files."""

import pickle
from pathlib import Path

import pytest
import torch

from lfi_mflow.errors import ConfigError, FileFormatError, StorageError
from lfi_mflow.training import Checkpoint, CheckpointFile, drop_checkpoint


@pytest.fixture
def checkpoint():
    weights = {"w": torch.arange(3.0).double() / 3, "mask": torch.tensor([True, False])}
    return Checkpoint(1, weights, {"w": torch.ones(3)}, {"state": {}}, {"phases": []})


@pytest.fixture
def file(tmp_path):
    run = {"configuration": {"seed": 3, "phases": [{"epochs": 2}]}, "events": "ab12"}
    return CheckpointFile(tmp_path / "run.ckpt", run)


def test_round_trip(file, checkpoint):
    assert not file.exists()
    file.save(checkpoint)
    assert file.exists()
    loaded = file.load()
    assert loaded.phase == 1
    assert loaded.flow["w"].dtype == torch.float64
    assert all(torch.equal(loaded.flow[name], value) for name, value in checkpoint.flow.items())
    assert (loaded.optimiser, loaded.history) == ({"state": {}}, {"phases": []})
    file.remove()
    file.remove()
    assert not file.exists()


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"configuration": {"seed": 4, "phases": [{"epochs": 2}]}, "events": "ab12"}, "configurat"),
        ({"configuration": {"seed": 3, "phases": [{"epochs": 9}]}, "events": "ab12"}, "configurat"),
        ({"configuration": {"seed": 3, "phases": [{"epochs": 2}]}, "events": "cd34"}, "events"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(file, checkpoint, other, what):
    file.save(checkpoint)
    with pytest.raises(ConfigError, match=rf"run\.ckpt.*another {what}.*without --resume"):
        CheckpointFile(file.path, other).load()


@pytest.mark.parametrize("kept", [0, 1, 50, 0.3, 0.7, 0.99, -1])
def test_a_truncated_file(file, checkpoint, kept):
    file.save(checkpoint)
    content = file.path.read_bytes()
    file.path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(FileFormatError, match=r"run\.ckpt.*damaged.*without --resume"):
        file.load()


@pytest.mark.parametrize(
    "content",
    [None, 3, [], {}, torch.zeros(3), {"run": 3}, {"run": {}}, {"run": {}, "phase": 0, "more": 1}],
    ids=str,
)
def test_a_file_of_torch_with_something_else(file, content):
    torch.save(content, file.path)
    with pytest.raises(FileFormatError, match="a checkpoint"):
        file.load()


class _Bomb:
    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was executed')",))


@pytest.mark.parametrize("write", ["pickle", "torch", "text"])
def test_no_code_is_executed(file, write):
    if write == "torch":
        torch.save({"run": file.run, "flow": _Bomb()}, file.path)
    else:
        text = pickle.dumps(_Bomb(), protocol=2) if write == "pickle" else b"hello\n" * 50
        file.path.write_bytes(text)
    with pytest.raises(FileFormatError, match="a checkpoint"):
        file.load()


def test_the_old_checkpoint_stays_when_the_disk_is_full(file, checkpoint, monkeypatch):
    file.save(checkpoint)
    before = file.path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="disk is full"):
        file.save(checkpoint)
    assert file.path.read_bytes() == before
    assert [path.name for path in file.path.parent.iterdir()] == ["run.ckpt"]


def test_a_checkpoint_is_dropped_once(file, checkpoint):
    file.save(checkpoint)
    drop_checkpoint(file.path)
    assert not file.exists()
    drop_checkpoint(file.path)
