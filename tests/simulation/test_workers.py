import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from lfi_mflow.errors import InputError, LfiMflowError
from lfi_mflow.simulation import (
    Events,
    Prior,
    SimulationJob,
    Uniform,
    simulate_chunk,
    simulate_chunks,
)

PRIOR = Prior((Uniform(-1.0, 1.0),))


def surface_job(**changes) -> SimulationJob:
    values = {"n_events": 250, "seed": 5, "prior": PRIOR, "chunk_size": 100} | changes
    return SimulationJob("polynomial-surface", {}, **values)


def assert_same(first: Events, second: Events) -> None:
    assert first.x.tobytes() == second.x.tobytes()
    assert first.theta.tobytes() == second.theta.tobytes()


def test_workers_do_not_change_the_events():
    job = surface_job(n_events=950)
    order = [3, 0, 9, 5, 1, 2, 8]
    alone = list(simulate_chunks(job, order))
    shared = list(simulate_chunks(job, order, workers=2))
    assert [index for index, _ in shared] == [index for index, _ in alone] == order
    for (_, first), (_, second) in zip(alone, shared, strict=True):
        assert_same(first, second)
    assert not multiprocessing.active_children()


def test_work_in_flight_is_bounded_and_stops_with_the_iterator(line):
    prior = Prior((Uniform(-1.0, 1.0), Uniform(0.1, 2.0)))
    job = SimulationJob(line, {}, n_events=10_000, seed=0, prior=prior, chunk_size=10)
    asked = []
    chunks = simulate_chunks(job, (asked.append(i) or i for i in range(1000)), workers=2)
    index, events = next(chunks)
    assert index == 0
    assert_same(events, simulate_chunk(job, 0))
    assert len(asked) <= 5
    chunks.close()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_a_simulator_is_passed_on(plugin, line_source, workers):
    text = line_source.replace("u = rng", "raise ValueError('no beam')\n        u = rng")
    job = SimulationJob(f"{plugin(text)}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(ValueError, match="no beam"):
        list(simulate_chunks(job, [0], workers))
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_explained(plugin, line_source):
    text = "import os\n" + line_source.replace("u = rng", "os._exit(9)\n        u = rng")
    job = SimulationJob(f"{plugin(text)}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(LfiMflowError, match="a worker process died"):
        list(simulate_chunks(job, [0], workers=2))


@pytest.mark.skipif(os.name != "posix", reason="process groups are of POSIX")
def test_ctrl_c_stops_the_workers_at_once(plugin, line_source, tmp_path):
    started = tmp_path / "started"
    slow = f"import pathlib\n        pathlib.Path({str(started)!r}).touch()\n"
    slow += "        import time; time.sleep(60)\n        u = rng"
    path = plugin(line_source.replace("u = rng", slow))
    script = tmp_path / "script.py"
    script.write_text(
        "from lfi_mflow.simulation import SimulationJob, simulate_chunks\n"
        "if __name__ == '__main__':\n"
        f"    job = SimulationJob({f'{path}:Line'!r}, {{}}, 40, 0, theta=(0.0, 1.0),"
        " chunk_size=10)\n"
        "    try:\n"
        "        list(simulate_chunks(job, range(4), workers=2))\n"
        "    except KeyboardInterrupt:\n"
        "        print('stopped')\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60.0
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (out, err) == ("stopped\n", "")


def test_a_number_of_workers_that_cannot_be():
    with pytest.raises(InputError, match="at least 1 worker, found 0"):
        list(simulate_chunks(surface_job(), [0], workers=0))
