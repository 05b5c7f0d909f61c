"""One training by several processes that torchrun starts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lfi_mflow.cli.console import log, show_result, speaks
from lfi_mflow.cli.main import main
from lfi_mflow.flows import load_model

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def start_two():
    """Start a command on two processes, its stdout and stderr in files."""
    started = []

    def start(folder, *arguments):
        with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
            process = subprocess.Popen(
                [*TORCHRUN, "-m", "lfi_mflow", *map(str, arguments)],
                stdout=out,
                stderr=err,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def _rank_1_of(process):
    """Find the process that torchrun gave the number 1."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for child in map(int, children):
        if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes():
            return child
    raise AssertionError(children)


def _wait_for(words, path, process):
    while words not in path.read_text():
        assert process.poll() is None, path.read_text()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc")
def test_a_lost_process_ends_the_run_and_resume_finishes_it(start_two, run, study, tmp_path):
    """The model is that of one process; files and words come from the first process alone."""
    config = tmp_path / "run.toml"
    config.write_text('precision = "double"\n' + study.config.read_text())
    output = tmp_path / "m.mflow"
    train = ["train", study.events, "--config", config, "--threads", 1]
    longer = [*train, "--epochs", 12]
    process = start_two(tmp_path, *longer, "-o", output)
    _wait_for("chart epoch 2/12", tmp_path / "err", process)
    os.kill(_rank_1_of(process), signal.SIGKILL)
    assert process.wait(60) != 0
    said = (tmp_path / "err").read_text()
    assert "Error: process 0 of the training stopped, because another one was lost" in said
    assert "start the same torchrun command with --resume" in said
    assert said.count("chart epoch 2/12") == 1
    assert (tmp_path / ".m.mflow.checkpoint").exists()
    assert not output.exists()

    resumed = start_two(tmp_path, *longer, "--resume", "--json", "-o", output)
    assert resumed.wait(240) == 0, (tmp_path / "err").read_text()
    assert "chart epoch 1/12" not in (tmp_path / "err").read_text()
    record = json.loads((tmp_path / "out").read_text())  # said once
    assert sorted(p.name for p in tmp_path.iterdir()) == ["err", "m.mflow", "out", "run.toml"]

    alone = tmp_path / "alone.mflow"
    expected = run(*longer, "--json", "-o", alone)
    for phase, of_one in zip(record["phases"], json.loads(expected.out)["phases"], strict=True):
        assert phase["validation"] == pytest.approx(of_one["validation"], rel=1e-6)
    state, of_one = (load_model(path).flow.state_dict() for path in (output, alone))
    for name, value in state.items():
        torch.testing.assert_close(value, of_one[name], rtol=1e-4, atol=1e-6)


@pytest.fixture
def second(monkeypatch):
    """This process is the second that torchrun started."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.usefixtures("second")
def test_only_the_first_process_speaks(capsys):
    assert not speaks()
    log("a line")
    show_result("a result", {}, as_json=False)
    assert main(["train", "none.h5", "-o", "m.mflow"]) == 2
    assert capsys.readouterr() == ("", "")


def test_a_process_alone_speaks(capsys):
    assert speaks()
    log("a line")
    assert capsys.readouterr().err == "a line\n"
