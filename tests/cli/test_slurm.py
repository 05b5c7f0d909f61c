"""Jobs of a Slurm cluster of one node, which is started for these tests from Debian's packages.

apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
"""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time

import pytest

from lfi_mflow.data import EventFile
from lfi_mflow.flows import load_model

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "sinfo")
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(
        os.getuid() != 0 or not all(shutil.which(name, path=PATH) for name in PROGRAMS),
        reason="needs Slurm and munge, and root to start them",
    ),
]

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES State=UP
"""


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _wait_until(done, what, seconds=60.0):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A function that submits a command as a job."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    conf = folder / "slurm.conf"
    conf.write_text(CONFIGURATION.format(host=host, folder=folder, ports=_free_ports(2)))
    environment = {**os.environ, "SLURM_CONF": str(conf), "PATH": PATH, "OMP_NUM_THREADS": "1"}
    munge = [f"--{name}={folder / f'munge.{name[:4]}'}" for name in ("pid-file", "log-file")]
    munge += [f"--key-file={key}", f"--socket={folder}/munge.socket", f"--seed-file={folder}/seed"]
    with contextlib.ExitStack() as stack:

        def start(*command):
            with (folder / f"{command[0]}.out").open("w") as out:
                process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
            stack.enter_context(process)
            stack.callback(process.terminate)

        start("munged", "--foreground", "--force", *munge)
        _wait_until((folder / "munge.socket").exists, "munge started")
        start("slurmctld", "-D", "-f", str(conf))
        start("slurmd", "-D", "-f", str(conf), "-N", host)

        def idle():
            command = ["sinfo", "--noheader", "--format=%T"]
            found = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False
            )
            return found.stdout.split() == ["idle"]

        _wait_until(idle, "the node is idle")

        def submit(command, *options):
            line = ["sbatch", "--parsable", f"--output={folder}/job-%j.out", *options]
            script = "#!/bin/sh\nexec " + command
            result = subprocess.run(
                line, input=script, env=environment, capture_output=True, text=True, check=False
            )
            number = result.stdout.strip()
            said = folder / f"job-{number}.out"
            assert result.returncode == 0, result.stderr + (said.read_text() if number else "")
            stack.callback(subprocess.run, ["scancel", number], env=environment, check=False)
            return said

        yield submit


def test_a_training_of_two_processes_is_a_job(slurm, study, tmp_path):
    output = tmp_path / "m.mflow"
    torchrun = f"{sys.executable} -m torch.distributed.run --standalone --nproc-per-node 2"
    train = f"train {study.events} --config {study.config} --threads 1 -o {output}"
    slurm(f"{torchrun} -m lfi_mflow {train}", "--wait", "--ntasks=1", "--cpus-per-task=2")
    found, alone = (load_model(path).metadata for path in (output, study.model))
    assert found.digest == alone.digest
    for phase, of_one in zip(found.history["phases"], alone.history["phases"], strict=True):
        losses = [[epoch["validation"] for epoch in p["epochs"]] for p in (phase, of_one)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_jobs_are_workers_of_a_dask_cluster(slurm, run, tmp_path):
    pytest.importorskip("distributed", reason="needs lfi-mflow[dask]")
    address = tmp_path / "scheduler.json"
    dask = [sys.executable, "-W", "ignore", "-m", "dask"]
    file = ["--scheduler-file", str(address), "--no-dashboard"]
    local = ["--host", "127.0.0.1", "--port", "0"]
    scheduler = subprocess.Popen([*dask, "scheduler", *file, *local])
    try:
        _wait_until(address.exists, "the scheduler started")
        for _ in range(2):
            worker = shlex.join([*dask, "worker", *file, "--nthreads", "1"])
            slurm(worker, "--ntasks=1", "--cpus-per-task=1")
        simulate = ["simulate", "polynomial-surface", "-n", 3000, "--chunk-size", 500, "--seed", 1]
        assert run(*simulate, "--dask", address, "-o", tmp_path / "dask.h5").status == 0
        assert run(*simulate, "-o", tmp_path / "alone.h5").status == 0
    finally:
        scheduler.terminate()
        scheduler.wait(30)
    with EventFile(tmp_path / "dask.h5") as jobs, EventFile(tmp_path / "alone.h5") as alone:
        assert jobs.digest == alone.digest
