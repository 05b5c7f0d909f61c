import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from lfi_mflow.errors import InputError, LfiMflowError, UnknownNameError
from lfi_mflow.simulation import (
    Events,
    Normal,
    Prior,
    SimulationJob,
    Uniform,
    get_simulator,
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


def test_chunks_cover_the_events():
    job = surface_job()
    assert [job.chunk_length(i) for i in range(job.n_chunks)] == [100, 100, 50]
    assert [len(events) for _, events in simulate_chunks(job, range(3))] == [100, 100, 50]
    assert surface_job(n_events=300).n_chunks == 3
    with pytest.raises(InputError, match="a chunk from 0 to 2"):
        simulate_chunk(job, 3)


def test_a_chunk_depends_on_nothing_but_its_job_and_number():
    job = surface_job()
    assert_same(simulate_chunk(job, 1), simulate_chunk(job, 1))
    # A longer job begins with the same events.
    assert_same(simulate_chunk(job, 1), simulate_chunk(surface_job(n_events=1000), 1))
    for other in (simulate_chunk(job, 0), simulate_chunk(surface_job(seed=6), 1)):
        assert not np.intersect1d(simulate_chunk(job, 1).x, other.x).size


def test_theta_comes_from_the_prior_or_is_fixed():
    events = simulate_chunk(surface_job(prior=Prior((Uniform(0.5, 0.6),))), 0)
    assert len(np.unique(events.theta)) == 100
    assert 0.5 <= events.theta.min() < events.theta.max() <= 0.6
    fixed = simulate_chunk(surface_job(prior=None, theta=(0.25,)), 0)
    assert fixed.theta.shape == (100, 1)
    assert np.unique(fixed.theta).tolist() == [0.25]


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


def test_events_of_a_wrong_shape_are_refused(plugin, line_source):
    path = plugin(line_source.replace("x=np.stack([u, self.slope * u]", "x=np.stack([u]"))
    job = SimulationJob(f"{path}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(InputError, match=r"x \(9, 2\).*x \(9, 1\).*check_simulator"):
        simulate_chunk(job, 0)


def test_a_simulator_that_is_built_already_is_used(line):
    job = SimulationJob(line, {}, n_events=9, seed=0, theta=(0.0, 1.0))
    events = simulate_chunk(job, 0, get_simulator(line, {"slope": -1.0}))
    np.testing.assert_array_equal(events.x[:, 1], -events.x[:, 0])


@pytest.mark.parametrize(
    "job", [surface_job(), surface_job(prior=None, theta=(0.25,)), surface_job(n_events=1)]
)
def test_table_round_trip(job):
    assert SimulationJob.from_table(json.loads(json.dumps(job.to_table()))) == job


def test_a_table_of_another_form():
    with pytest.raises(UnknownNameError, match="did you mean 'n_events'"):
        SimulationJob.from_table(surface_job().to_table() | {"n_event": 3})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_events": 0}, "a number of events of at least 1, found 0"),
        ({"seed": -1}, "a seed of at least 0, found -1"),
        ({"chunk_size": 0}, "a chunk size of at least 1"),
        ({"prior": None}, "either a prior or theta, found neither"),
        ({"theta": (0.0,)}, "found both"),
        ({"prior": None, "theta": (1.5,)}, "theta from -1 to 1, found 1.5"),
        ({"prior": None, "theta": (float("nan"),)}, "theta from -1 to 1, found nan"),
        ({"prior": None, "theta": (0.0, 0.0)}, r"1 values of theta \(theta\), found 2"),
        ({"prior": Prior((Uniform(-2.0, 1.0),))}, "within"),
        ({"prior": Prior((Normal(0.0, 1.0),))}, "within"),
        ({"prior": Prior((Uniform(0.0, 1.0),) * 2)}, "a prior for 1 parameters, found one for 2"),
    ],
)
def test_jobs_that_cannot_be_done(changes, message):
    with pytest.raises(InputError, match=message):
        surface_job(**changes)


def test_bad_names_and_workers():
    with pytest.raises(UnknownNameError, match="simulator"):
        SimulationJob("polynomial", {}, n_events=1, seed=0, prior=PRIOR)
    with pytest.raises(InputError, match="at least 1 worker, found 0"):
        list(simulate_chunks(surface_job(), [0], workers=0))
