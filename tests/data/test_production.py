import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest

from lfi_mflow.data import open_events, produce
from lfi_mflow.data.spool import open_spool
from lfi_mflow.errors import DataError, InputError, Interrupted, StorageError
from lfi_mflow.simulation.priors import Prior, Uniform
from lfi_mflow.simulation.registry import get_simulator
from lfi_mflow.simulation.runner import SimulationJob

RUN = """
import json, sys
from lfi_mflow.data import produce
from lfi_mflow.errors import LfiMflowError
from lfi_mflow.simulation.runner import SimulationJob
if __name__ == "__main__":
    job = SimulationJob.from_table(json.loads(sys.argv[1]))
    try:
        produce(job, sys.argv[2], workers=int(sys.argv[3]), force=True)
    except LfiMflowError as error:
        print(error)
        sys.exit(error.exit_status)
"""


@pytest.fixture
def make_job(simulator_file):
    def make(**changes):
        options = {
            "simulator": f"{simulator_file}:Toy",
            "settings": {},
            "n_events": 1_050,
            "seed": 3,
            "prior": Prior((Uniform(-1.0, 1.0),)),
            "chunk_size": 100,
        }
        return SimulationJob(**(options | changes))

    return make


@pytest.fixture
def start(tmp_path):
    """A function that runs a production in a process of its own."""
    script = tmp_path / "run.py"
    script.write_text(RUN, encoding="utf-8")
    started = []

    def start(job, path, workers=1):
        command = [sys.executable, script, json.dumps(job.to_table()), path, str(workers)]
        with (tmp_path / "output.txt").open("w") as output:
            # A session of its own, so that the workers can be ended with it.
            process = subprocess.Popen(command, stdout=output, start_new_session=True)
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def spool_of(path):
    return path.with_name(f".{path.name}.partial")


def wait_for_chunks(process, path, count):
    deadline = time.monotonic() + 60
    while len(list(spool_of(path).glob("chunk-*.npz"))) < count:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def values(path):
    with h5py.File(path) as file:
        return {name: dataset[()].tobytes() for name, dataset in file.items()}


def test_the_file_holds_the_job(tmp_path, make_job):
    seen = []
    job = make_job()
    production = produce(job, tmp_path / "events.h5", progress=seen.append)
    assert production.path == tmp_path / "events.h5"
    assert (production.n_events, production.resumed_at, production.nonfinite) == (1_050, 0, 0)
    assert seen == [*range(0, 1_001, 100), 1_050]
    with open_events(tmp_path / "events.h5") as file:
        file.verify()
        events, metadata = file.read(), file.metadata
    assert len(events) == 1_050
    assert metadata.parameter_names == ("mu",)
    assert metadata.observable_names == ("a", "b")
    assert metadata.manifold_dim == 1
    assert (metadata.simulator, metadata.seed) == (job.simulator, 3)
    assert Prior.from_table(metadata.prior) == job.prior
    assert metadata.counts == {}
    assert "version_numpy" in metadata.provenance
    np.testing.assert_allclose((events.x**2).sum(axis=1), 1.0)
    assert len(np.unique(events.theta)) == 1_050
    assert not spool_of(tmp_path / "events.h5").exists()


def test_workers_do_not_change_the_bytes(tmp_path, make_job):
    produce(make_job(), tmp_path / "one.h5")
    produce(make_job(), tmp_path / "two.h5", workers=2)
    assert values(tmp_path / "one.h5") == values(tmp_path / "two.h5")


def test_a_fixed_theta(tmp_path, make_job):
    produce(make_job(prior=None, theta=(0.25,)), tmp_path / "events.h5")
    with open_events(tmp_path / "events.h5") as file:
        assert np.unique(file.read().theta).tolist() == [0.25]
        assert file.metadata.prior is None


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_is_resumed_with_the_same_bytes(tmp_path, make_job, start, workers):
    path, reference = tmp_path / "events.h5", tmp_path / "reference.h5"
    path.write_bytes(b"the old file")
    job = make_job(settings={"seconds": 0.05})
    process = start(job, path, workers)
    wait_for_chunks(process, path, 3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_bytes() == b"the old file"
    # What a kill in the middle of a write leaves behind must not matter.
    (spool_of(path) / "chunk-00000009.tmp").write_bytes(b"half a chunk")
    leftover = tmp_path / ".events.h5.0a1b2c3d.tmp"
    leftover.write_bytes(b"half a file")
    production = produce(job, path, force=True)
    assert 300 <= production.resumed_at < 1_050
    produce(job, reference)
    assert values(path) == values(reference)
    assert not spool_of(path).exists()
    assert not leftover.exists()


def test_ctrl_c_says_how_to_continue(tmp_path, make_job, start):
    path = tmp_path / "events.h5"
    job = make_job(settings={"seconds": 0.05})
    process = start(job, path, workers=2)
    wait_for_chunks(process, path, 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == Interrupted.exit_status
    output = (tmp_path / "output.txt").read_text(encoding="utf-8")
    assert "run the same command again to continue at event" in output
    assert not path.exists()
    assert produce(job, path).resumed_at >= 200


def test_an_interrupted_run_reports_its_progress(tmp_path, make_job):
    def interrupt(done):
        if done == 400:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=r"after 400 of 1050 events; .* at event 400"):
        produce(make_job(), tmp_path / "events.h5", progress=interrupt)
    seen = []
    assert produce(make_job(), tmp_path / "events.h5", progress=seen.append).resumed_at == 400
    assert seen[:2] == [400, 500]


def interrupted(job, path):
    def interrupt(done):
        if done >= 400:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        produce(job, path, progress=interrupt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed was 3, is 4"),
        ({"chunk_size": 50}, "chunk_size was 100, is 50"),
        ({"n_events": 2_000}, "n_events was 1050, is 2000"),
        ({"settings": {"seconds": 0.001}}, "settings was"),
        ({"prior": Prior((Uniform(0.0, 1.0),))}, "prior was"),
        ({"prior": None, "theta": (0.5,)}, "theta was None"),
    ],
)
def test_another_job_does_not_continue(tmp_path, make_job, change, message):
    path = tmp_path / "events.h5"
    interrupted(make_job(), path)
    with pytest.raises(InputError, match=message) as caught:
        produce(make_job(**change), path)
    assert f"rm -r {spool_of(path)}" in str(caught.value)
    assert produce(make_job(), path).resumed_at == 400


def test_changed_code_does_not_continue(tmp_path, make_job, simulator_file):
    interrupted(make_job(), tmp_path / "events.h5")
    code = simulator_file.read_text(encoding="utf-8")
    simulator_file.write_text(code.replace("np.sin", "np.cos"), encoding="utf-8")
    with pytest.raises(InputError, match="the code of the simulator"):
        produce(make_job(), tmp_path / "events.h5")


def test_another_job_may_start_where_nothing_was_finished(tmp_path, make_job):
    def interrupt(done):
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        produce(make_job(), tmp_path / "events.h5", progress=interrupt)
    assert produce(make_job(seed=4), tmp_path / "events.h5").n_events == 1_050


@pytest.mark.parametrize(
    "damage", [lambda c: c[: len(c) // 2], lambda c: c[:-300] + b"x" + c[-299:]]
)
def test_a_damaged_chunk_is_simulated_again(tmp_path, make_job, damage):
    path = tmp_path / "events.h5"
    interrupted(make_job(), path)
    chunk = spool_of(path) / "chunk-00000002.npz"
    chunk.write_bytes(damage(chunk.read_bytes()))
    assert produce(make_job(), path).resumed_at == 300
    produce(make_job(), tmp_path / "reference.h5")
    assert values(path) == values(tmp_path / "reference.h5")


def test_workers_in_other_folders_find_the_spool(tmp_path, make_job, monkeypatch):
    monkeypatch.chdir(tmp_path)
    job = make_job()
    with open_spool(Path("events.h5"), job, get_simulator(job.simulator)) as spool:
        assert spool.folder == spool_of(tmp_path / "events.h5")


def test_a_second_run_keeps_out(tmp_path, make_job, start):
    path = tmp_path / "events.h5"
    job = make_job(settings={"seconds": 0.05})
    process = start(job, path)
    wait_for_chunks(process, path, 1)
    with pytest.raises(InputError, match="another that is at work"):
        produce(job, path)


def test_an_existing_file_needs_force(tmp_path, make_job):
    path = tmp_path / "events.h5"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match="--force"):
        produce(make_job(), path)
    assert path.read_bytes() == b"old"
    assert produce(make_job(), path, force=True).n_events == 1_050


def test_nonfinite_events_are_an_error(tmp_path, make_job):
    job = make_job(settings={"nan_below": -0.5})
    with pytest.raises(DataError, match=r"of 100 with NaN .*\(b: .*--drop-nonfinite"):
        produce(job, tmp_path / "events.h5")
    # The finished chunks are there, and are still an error.
    with pytest.raises(DataError, match="NaN"):
        produce(job, tmp_path / "events.h5")
    assert not (tmp_path / "events.h5").exists()


def test_nonfinite_events_are_dropped_and_counted(tmp_path, make_job):
    path = tmp_path / "events.h5"
    production = produce(make_job(settings={"nan_below": -0.5}), path, drop_nonfinite=True)
    produce(make_job(), tmp_path / "all.h5")
    with open_events(path) as file, open_events(tmp_path / "all.h5") as complete:
        events, every = file.read(), complete.read()
        assert file.metadata.counts == {"nonfinite": production.nonfinite}
    kept = every.theta[:, 0] >= -0.5
    assert production.nonfinite == (~kept).sum() > 0
    assert production.n_events == kept.sum()
    np.testing.assert_array_equal(events.x, every.x[kept])


def test_a_full_disk_keeps_the_finished_chunks(tmp_path, make_job, monkeypatch):
    savez, calls = np.savez, []

    def full(*args, **columns):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        savez(*args, **columns)

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageError, match="the disk is full"):
        produce(make_job(), tmp_path / "events.h5")
    monkeypatch.undo()
    assert not list(spool_of(tmp_path / "events.h5").glob("*.tmp"))
    assert produce(make_job(), tmp_path / "events.h5").resumed_at == 500
