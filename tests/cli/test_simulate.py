"""Events of a simulator in a file."""

import json
import signal

import numpy as np
import pytest

from lfi_mflow.data import open_events
from lfi_mflow.simulation import DaskWorkers, ThisProcess

SLOW = '''
import time
import numpy as np
from lfi_mflow.simulation import Events, Observable, Parameter

class Slow:
    """A simulator that takes its time."""
    name = "slow"
    parameters = (Parameter("a", -1.0, 1.0),)
    observables = (Observable("x"), Observable("y"))
    manifold_dim = 1

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def simulate(self, theta, rng):
        time.sleep(self.seconds)
        return Events(theta=theta, x=rng.normal(size=(len(theta), 2)) + theta)
'''


@pytest.fixture
def plugin(tmp_path):
    """A simulator in a file of the user's own."""
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    return f"{path}:Slow"


def test_events_come_from_the_prior_within_the_bounds(run, tmp_path):
    result = run("simulate", "polynomial-surface", "-n", 500, "-o", tmp_path / "e.h5")
    assert result.status == 0
    assert result.out.startswith(f"{tmp_path / 'e.h5'}: 500 events of polynomial-surface in ")
    with open_events(tmp_path / "e.h5") as file:
        theta = file.read().theta
    assert theta.min() < -0.9
    assert theta.max() > 0.9


def test_json_is_all_of_stdout(run, tmp_path):
    result = run(
        "simulate", "sphere", "-n", 50, "--set", "dim=2", "-o", tmp_path / "e.h5", "--json"
    )
    record = json.loads(result.out)
    assert record["n_events"] == 50
    assert record["output"] == str(tmp_path / "e.h5")
    with open_events(tmp_path / "e.h5") as file:
        assert len(file.metadata.observables) == 3


def test_theta_and_prior_are_taken(run, tmp_path):
    simulate = ["simulate", "sphere", "-n", 20, "--seed", 4]
    run(*simulate, "--theta", "-0.5,0.3", "-o", tmp_path / "a.h5")
    prior = "phi ~ uniform(0, 0.1); sigma ~ uniform(0.2, 0.3)"
    run(*simulate, "--prior", prior, "-o", tmp_path / "b.h5")
    with open_events(tmp_path / "a.h5") as a, open_events(tmp_path / "b.h5") as b:
        assert np.array_equal(a.read().theta, np.tile([-0.5, 0.3], (20, 1)))
        assert np.all(b.read().theta >= [0, 0.2])
        assert np.all(b.read().theta <= [0.1, 0.3])


def test_the_prior_can_stand_in_a_file(run, refused, tmp_path):
    prior = tmp_path / "prior.toml"
    prior.write_text('[prior]\ntheta = "uniform(0.2, 0.4)"\n')
    run("simulate", "polynomial-surface", "-n", 100, "--prior", prior, "-o", tmp_path / "e.h5")
    with open_events(tmp_path / "e.h5") as file:
        theta = file.read().theta
    assert 0.2 <= theta.min() < theta.max() <= 0.4
    prior.write_text('theta = "uniform(0.2, 0.4)"\n')
    simulate = ("simulate", "polynomial-surface", "-n", 100, "-o", tmp_path / "f.h5")
    assert "one table [prior]" in refused(tmp_path, *simulate, "--prior", prior)
    prior.write_text('[prior]\nthetta = "uniform(0.2, 0.4)"\n')
    assert "did you mean 'theta'?" in refused(tmp_path, *simulate, "--prior", prior)


def test_the_seed_says_which_events(run, tmp_path, plugin):
    files = {}
    for name, seed, workers in (("a", 1, 1), ("b", 1, 2), ("c", 2, 1)):
        path = tmp_path / f"{name}.h5"
        options = ["--seed", seed, "--workers", workers, "--chunk-size", 100, "-o", path]
        assert run("simulate", plugin, "-n", 250, *options).status == 0
        with open_events(path) as file:
            files[name] = file.digest
    assert files["a"] == files["b"] != files["c"]


def test_an_output_is_replaced_only_by_force(run, refused, tmp_path):
    simulate = ["simulate", "polynomial-surface", "-n", 20, "-o", tmp_path / "e.h5"]
    assert run(*simulate).status == 0
    assert "add --force" in refused(tmp_path, *simulate, "--seed", 2)
    assert run(*simulate, "--seed", 2, "--force").status == 0
    with open_events(tmp_path / "e.h5") as file:
        assert file.metadata.seed == 2


def test_nothing_is_simulated_for_an_output_that_exists(run, tmp_path):
    (tmp_path / "e.h5").write_bytes(b"old")
    result = run("simulate", "no-such-simulator", "-n", 20, "-o", tmp_path / "e.h5")
    assert "add --force" in result.err


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_the_chunks_and_says_how_to_go_on(start, run, tmp_path, plugin, workers):
    path = tmp_path / "e.h5"
    simulate = ["simulate", plugin, "-n", 4, "--seed", 5, "--chunk-size", 1]
    slowly = [*simulate, "--set", "seconds=0.3", "--workers", workers]
    process = start(*slowly, "-o", path)
    while not list(tmp_path.glob(".e.h5.partial/chunk-*.npz")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    (line,) = [line for line in err.splitlines() if line.startswith("Interrupted: ")]
    assert "run the same command again" in line
    assert line.endswith(f"go on with: lfi-mflow {' '.join(map(str, slowly))} -o {path}")
    assert "Traceback" not in err
    assert not path.exists()

    resumed = run(*slowly, "-o", path, "--json")
    undisturbed = run(*simulate, "-o", tmp_path / "u.h5", "--json")
    assert json.loads(resumed.out)["resumed_at"] >= 1
    assert json.loads(undisturbed.out)["resumed_at"] == 0
    with open_events(path) as a, open_events(tmp_path / "u.h5") as b:
        assert a.digest == b.digest
    assert not list(tmp_path.glob(".*"))


def test_processes_and_dask_exclude_each_other(refused, tmp_path):
    options = ["--workers", 2, "--dask", "tcp://127.0.0.1:9", "-o", tmp_path / "e.h5"]
    line = refused(tmp_path, "simulate", "polynomial-surface", "-n", 10, *options)
    assert "either --workers or --dask, found both" in line


def test_a_dask_address_is_where_the_chunks_go(run, tmp_path, monkeypatch):
    """Without a cluster: what the command hands over."""
    asked = []

    def simulate(self, job, indices, store):
        asked.append(self.address)
        return ThisProcess().simulate(job, indices, store)

    monkeypatch.setattr(DaskWorkers, "simulate", simulate)
    options = ["--seed", 1, "--dask", "tcp://head:8786", "-o", tmp_path / "e.h5"]
    assert run("simulate", "polynomial-surface", "-n", 10, *options).status == 0
    assert asked == ["tcp://head:8786"]


def test_unweighted_events(run, refused, tmp_path):
    command = ["simulate", "higgs-eft", "-n", 20, "--theta", "0,0", "--unweighted"]
    assert run(*command, "-o", tmp_path / "e.h5").status == 0
    with open_events(tmp_path / "e.h5") as file:
        assert "weight" not in file.columns
        assert file.metadata.settings["sampling"] == "unweighted"
    other = ["simulate", "sphere", "-n", 20, "--unweighted", "-o", tmp_path / "s.h5"]
    assert "a setting of sphere, found 'sampling'" in refused(tmp_path, *other)
