"""The commands that :mod:`kills` kills: how they are started, and how their files are verified."""

from __future__ import annotations

import json
import os
import sys
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lfi_mflow.cli.main import main as run_command
from lfi_mflow.closure import ClosureReport
from lfi_mflow.data import open_events
from lfi_mflow.flows import load_model
from lfi_mflow.inference import load_posterior

__all__ = ["CASES", "Case", "checksum_of", "prepare"]

HERE = Path(__file__).parent
TRAIN = """
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
epochs = 4
batch_size = 500
learning_rate = 1e-2

[[phases]]
name = "latent"
objective = "latent-likelihood"
epochs = 4
batch_size = 500
learning_rate = 1e-2
"""
SIZES = """
model_samples = 200
test_events = 200
density_events = 200
observed_sets = 2
observed_events = 10
posterior_samples = 200
calibration_sets = 20
calibration_events = 5
calibration_draws = 50
surface_points = 200
"""


@dataclass(frozen=True)
class Case:
    """A command to be killed.

    Arguments:
        name: Its name.
        arguments: What to type; ``{made}`` is the folder with what it needs.
        outputs: The files that it writes.
        resume: Options to go on from what there is.
        start: Starts the arguments in a folder and returns the process.
    """

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    resume: tuple[str, ...] = ()
    start: Callable[[tuple[str, ...], Path], int] = field(default=lambda *_: 0)


def start_forked(arguments: tuple[str, ...], folder: Path) -> int:
    """Run a command of lfi-mflow in a child of this process; return its number."""
    child = os.fork()
    if child:
        return child
    _redirect(folder)
    status = 70
    try:
        status = run_command(list(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def start_program(arguments: tuple[str, ...], folder: Path) -> int:
    """Start a program; return the number of its process."""
    child = os.fork()
    if child:
        return child
    _redirect(folder)
    return os.execvp(arguments[0], arguments)


def _redirect(folder: Path) -> None:
    """Work in a folder and a group of processes of its own, and speak into a file beside it."""
    os.setsid()
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(folder)


WORKFLOW = (
    *(sys.executable, "-m", "snakemake", "--snakefile", str(HERE / "kills.smk"), "--cores", "1"),
    *("--nolock", "--rerun-incomplete", "--quiet", "all", "--config"),
    *("train={made}/train.toml", "sizes={made}/sizes.toml"),
    f"command={sys.executable} -m lfi_mflow.cli.main",
)
SIMULATE = ("simulate", "polynomial-surface", "--seed", "1", "-o", "events.h5")
CASES = (
    Case(
        "simulate",
        (*SIMULATE, "-n", "100000", "--chunk-size", "2500"),
        ("events.h5",),
        start=start_forked,
    ),
    Case(
        "train",
        (
            *("train", "{made}/events.h5", "--config", "{made}/train.toml", "--threads", "1"),
            *("-o", "model.mflow"),
        ),
        ("model.mflow",),
        ("--resume",),
        start=start_forked,
    ),
    Case(
        "infer",
        (
            *("infer", "{made}/model.mflow", "--observed", "{made}/observed.h5", "--method"),
            *("mcmc", "--threads", "1", "-o", "posterior.nc"),
        ),
        ("posterior.nc",),
        start=start_forked,
    ),
    Case(
        "closure",
        (
            *("closure", "{made}/model.mflow", "--config", "{made}/sizes.toml", "--threads", "1"),
            *("--metrics", "reconstruction_error,ood_auc", "-o", "closure.json"),
        ),
        ("closure.json",),
        start=start_forked,
    ),
    Case(
        "workers",
        (*SIMULATE, "-n", "2000000", "--chunk-size", "20000", "--workers", "2"),
        ("events.h5",),
        start=start_forked,
    ),
    Case(
        "workflow",
        WORKFLOW,
        ("events.h5", "observed.h5", "model.mflow", "posterior.nc", "closure.json"),
        start=start_program,
    ),
)


def checksum_of(path: Path) -> int:
    """Open a file as its readers do, verify it whole, and return a checksum of its values.

    Raises:
        LfiMflowError: If it is not whole.
    """
    if path.suffix == ".h5":
        with open_events(path) as file:
            file.verify()
            return zlib.crc32(file.digest.encode())
    if path.suffix == ".mflow":
        state = load_model(path).flow.state_dict()
        parts = [state[name].numpy().tobytes() for name in sorted(state)]
    elif path.suffix == ".nc":
        posterior = load_posterior(path)
        parts = [posterior.draws.tobytes(), posterior.log_prob.tobytes()]
    else:
        table = ClosureReport.load(path).to_table()
        parts = [json.dumps([table["metrics"], table["curves"]], sort_keys=True).encode()]
    return zlib.crc32(b"".join(parts))


def prepare(folder: Path) -> Path:
    """Make what the commands need: events, a model, observed events and configurations.

    It is done in this process, which so imports all that the commands import.
    """
    made = folder / "made"
    made.mkdir()
    (made / "train.toml").write_text(TRAIN)
    (made / "sizes.toml").write_text(SIZES)
    simulate = ("simulate", "polynomial-surface")
    commands = (
        (*simulate, "-n", "4000", "--seed", "1", "-o", "{made}/events.h5"),
        (*simulate, "-n", "20", "--theta", "0.3", "--seed", "2", "-o", "{made}/observed.h5"),
        (*CASES[1].arguments[:-1], "{made}/model.mflow"),
        (*CASES[2].arguments[:-1], "{made}/posterior.nc"),
        (*CASES[3].arguments[:-1], "{made}/closure.json"),
    )
    for arguments in commands:
        words = [word.replace("{made}", str(made)) for word in arguments]
        if run_command([*words, "--quiet"]) not in (0, 3):
            raise SystemExit(f"failed: {words}")
    return made
