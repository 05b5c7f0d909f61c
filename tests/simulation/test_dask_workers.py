"""The workers of a Dask cluster make the same events, and may die."""

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lfi_mflow.data import EventFile, produce
from lfi_mflow.data.spool import Spool
from lfi_mflow.errors import InputError, LfiMflowError
from lfi_mflow.simulation import (
    DaskWorkers,
    Prior,
    SimulationJob,
    Uniform,
    dask_workers,
    simulate_chunks,
)

distributed = pytest.importorskip("distributed", reason="needs lfi-mflow[dask]")

# Dask leaves sockets and event loops to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two worker processes; a nanny replaces one that dies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=None
        ) as cluster:
            yield cluster


@pytest.fixture
def job(line):
    prior = Prior((Uniform(-1.0, 1.0), Uniform(0.1, 2.0)))
    return SimulationJob(line, {}, n_events=95, seed=3, prior=prior, chunk_size=10)


def assert_same(found, expected):
    assert [index for index, _ in found] == [index for index, _ in expected]
    for (_, one), (_, two) in zip(found, expected, strict=True):
        assert one.x.tobytes() == two.x.tobytes()
        assert one.theta.tobytes() == two.theta.tobytes()


def test_the_events_are_those_of_one_process(cluster, job):
    order = [3, 0, 9, 5]
    assert_same(
        list(simulate_chunks(job, order, DaskWorkers(cluster.scheduler_address))),
        list(simulate_chunks(job, order)),
    )


class Elsewhere(Spool):
    """A folder that workers look for in another place, as on machines that share no disk."""

    def __init__(self, folder, there):
        super().__init__(folder)
        self.there, self.saved = there, []

    def save(self, index, events):
        self.saved.append(index)
        super().save(index, events)

    def __reduce__(self):
        return Spool, (self.there,)


@pytest.mark.parametrize("there", [".", "absent", "other"])
def test_a_chunk_is_stored_wherever_the_workers_are(cluster, job, tmp_path, there):
    """By the worker; by this process, of what it is sent; or sent when it is missed."""
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "other").mkdir()
    store = Elsewhere(tmp_path / "here", tmp_path / "here" / there)
    order = [3, 0, 9, 5]
    workers = DaskWorkers(cluster.scheduler_address)
    found = list(simulate_chunks(job, order, workers, store))
    assert_same(found, list(simulate_chunks(job, order)))
    assert_same([(index, store.load(index)) for index in order], found)
    assert store.saved == ([] if there == "." else order)


@pytest.mark.skipif(sys.platform != "linux", reason="malloc of glibc")
@pytest.mark.parametrize(
    ("variables", "reused"),
    [
        ({}, True),
        ({"MALLOC_TRIM_THRESHOLD_": "65536"}, True),
        ({"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}, False),
    ],
    ids=["no-nanny", "nanny", "chosen"],
)
def test_memory_is_used_again_where_a_nanny_would_give_it_back(variables, reused):
    """Pages of arrays that come and go are asked for once, unless the user says otherwise."""
    code = (
        "import resource, numpy as np\n"
        "from lfi_mflow.simulation.dask_workers import _let_memory_be_used_again\n"
        "_let_memory_be_used_again()\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def work(): np.ones(10**6).sum()\n"
        "for _ in range(3): work()\n"
        "before = faults()\n"
        "for _ in range(20): work()\n"
        "print(faults() - before)\n"
    )
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    # 8 MB, 20 times, in pages of 4 kB; huge pages are fewer faults
    assert (int(ran.stdout) < 20) is reused


def test_a_scheduler_file_is_an_address(cluster, job, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(f'{{"address": "{cluster.scheduler_address}"}}')
    found = list(DaskWorkers(str(path)).simulate(job, [1]))
    assert_same(found, list(simulate_chunks(job, [1])))


def test_the_file_is_whole_and_the_same_when_a_worker_is_killed(
    cluster, plugin, line_source, tmp_path
):
    text = "import time\n" + line_source.replace("u = rng", "time.sleep(0.05)\n        u = rng")
    job = SimulationJob(f"{plugin(text)}:Line", {}, 300, 3, theta=(0.5, 1.0), chunk_size=10)
    pids = [worker.pid for worker in cluster.workers.values()]

    def kill(done):
        if done == 40:
            os.kill(pids[0], signal.SIGKILL)

    workers = DaskWorkers(cluster.scheduler_address)
    made = produce(job, tmp_path / "dask.h5", workers=workers, progress=kill)
    produce(job, tmp_path / "alone.h5")
    assert made.n_events == 300
    assert not Path(f"/proc/{pids[0]}/cmdline").exists()
    with EventFile(tmp_path / "dask.h5") as dask, EventFile(tmp_path / "alone.h5") as alone:
        dask.verify()
        assert dask.digest == alone.digest
        assert dask.read().x.tobytes() == alone.read().x.tobytes()


def test_work_in_flight_is_bounded_and_dropped_with_the_iterator(cluster, job):
    asked = []
    chunks = DaskWorkers(cluster.scheduler_address).simulate(
        job, (asked.append(i) or i for i in range(10))
    )
    next(chunks)
    assert len(asked) <= 5
    chunks.close()


def test_an_error_of_a_simulator_is_passed_on(cluster, plugin, line_source):
    text = line_source.replace("u = rng", "raise ValueError('no beam')\n        u = rng")
    job = SimulationJob(f"{plugin(text)}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(ValueError, match="no beam"):
        list(simulate_chunks(job, [0], DaskWorkers(cluster.scheduler_address)))


def test_workers_with_another_version_are_refused(cluster, job, monkeypatch):
    monkeypatch.setattr(dask_workers, "version", lambda name: f"9.{name}")
    with pytest.raises(InputError, match=r"lfi-mflow 9\.lfi-mflow.*install the same versions"):
        list(simulate_chunks(job, [0], DaskWorkers(cluster.scheduler_address)))


def test_a_chunk_that_kills_every_worker_is_an_error(cluster, plugin, line_source):
    text = "import os\n" + line_source.replace("u = rng", "os._exit(9)\n        u = rng")
    job = SimulationJob(f"{plugin(text)}:Line", {}, n_events=9, seed=0, theta=(0.0, 1.0))
    with pytest.raises(LfiMflowError, match="has ended several Dask workers"):
        list(simulate_chunks(job, [0], DaskWorkers(cluster.scheduler_address)))


def test_nobody_at_the_address(job, monkeypatch):
    monkeypatch.setattr(dask_workers, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(InputError, match=r"a Dask scheduler at tcp://127\.0\.0\.1:9, found none"):
        list(simulate_chunks(job, [0], DaskWorkers("tcp://127.0.0.1:9")))
    with pytest.raises(InputError, match=r"Dask scheduler at none\.json, found no such file"):
        list(simulate_chunks(job, [0], DaskWorkers("none.json")))


def test_dask_is_asked_for_where_it_is_missing(job, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'lfi-mflow\[dask\]'"):
        list(simulate_chunks(job, [0], DaskWorkers("tcp://127.0.0.1:9")))
