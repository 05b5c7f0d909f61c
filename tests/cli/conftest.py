"""A small trained model, made once by the command line itself, and a way to run commands."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lfi_mflow.cli.main import main

TINY = """
[settings.chart]
hidden = 8
layers = 1
blocks = 1

[settings.latent]
transforms = 1
hidden = 8
bins = 4

[[phases]]
name = "chart"
objective = "reconstruction"
epochs = 2
batch_size = 200
learning_rate = 1e-2

[[phases]]
name = "latent"
objective = "latent-likelihood"
epochs = 2
batch_size = 200
learning_rate = 1e-2
"""

SIZES = """
model_samples = 200
test_events = 100
density_events = 100
observed_sets = 1
observed_events = 5
posterior_samples = 100
calibration_sets = 10
calibration_events = 5
calibration_draws = 50
surface_points = 100
"""


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """Small work on one thread; the waiting policy that commands set is kept from other tests."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture
def run(capsys):
    """Run a command in this process: its status, stdout and stderr."""

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return SimpleNamespace(status=status, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def refused(run):
    """Run a command that is to fail with one clear line, and leave every file as it was."""

    def refused(folder, *arguments, status=2):
        before = snapshot(folder)
        result = run(*arguments)
        assert result.status == status, result
        assert result.out == ""
        assert snapshot(folder) == before
        lines = [line for line in result.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1
        assert result.err.splitlines()[-1] == lines[0]
        return lines[0]

    return refused


@pytest.fixture
def start():
    """Start a command in a process of its own, with pipes for stdout and stderr."""
    with contextlib.ExitStack() as stack:

        def start(*arguments, code="from lfi_mflow.cli.main import main; raise SystemExit(main())"):
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return the contents of all files below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """A folder with events, a configuration, a trained model and observed events."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "sizes.toml").write_text(SIZES)
    files = SimpleNamespace(
        folder=folder,
        config=folder / "tiny.toml",
        sizes=folder / "sizes.toml",
        events=folder / "events.h5",
        observed=folder / "observed.h5",
        model=folder / "model.mflow",
    )
    simulate = ["simulate", "polynomial-surface", "--seed", "1"]
    commands = (
        [*simulate, "-n", "2000", "-o", files.events],
        [*simulate, "-n", "10", "--theta", "0.3", "-o", files.observed],
        ["train", files.events, "--config", files.config, "--threads", "1", "-o", files.model],
    )
    for command in commands:
        assert main([str(argument) for argument in command]) == 0
    return files
