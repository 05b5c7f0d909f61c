"""Bad input gets one clear line and exit status 2; nothing is written, nothing is lost.

Ctrl-C is tested with the commands that can be resumed, in test_simulate.py and test_train.py.
"""

import resource
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
import uproot

from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.simulation import Events, Observable, Parameter


@pytest.fixture
def damaged(study, tmp_path):
    """A folder with a copy of the events, and a function that damages one of them."""

    def damaged(change):
        path = tmp_path / "damaged.h5"
        path.write_bytes(study.events.read_bytes())
        change(path)
        return path

    return damaged


@pytest.fixture
def commands(study, tmp_path):
    """Every command that reads events, from a file."""

    def commands(path):
        output = ["-o", tmp_path / "out"]
        return {
            "train": ["train", path, "--config", study.config, *output],
            "infer": ["infer", study.model, "--observed", path, *output],
            "score": ["score", study.model, path, *output],
            "info": ["info", path],
        }

    return commands


READERS = pytest.mark.parametrize("verb", ["train", "infer", "score", "info"])


@READERS
def test_a_missing_file(refused, commands, tmp_path, verb):
    line = refused(tmp_path, *commands(tmp_path / "none.h5")[verb])
    assert "none.h5, found no such file" in line


@READERS
def test_a_truncated_file(refused, commands, damaged, tmp_path, verb):
    path = damaged(lambda path: path.write_bytes(path.read_bytes()[:20_000]))
    line = refused(tmp_path, *commands(path)[verb])
    assert "found a truncated one (20000 bytes are left)" in line


@READERS
def test_a_file_that_is_not_hdf5(refused, commands, damaged, tmp_path, verb):
    path = damaged(lambda path: path.write_text("theta,x0,x1,x2\n0,1,2,3\n"))
    line = refused(tmp_path, *commands(path)[verb])
    assert "a file that is not HDF5" in line or "a file of another kind" in line


@READERS
def test_an_hdf5_file_of_something_else(refused, commands, tmp_path, verb):
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(3)
    line = refused(tmp_path, *commands(path)[verb])
    assert "an HDF5 file of another kind" in line


@READERS
def test_another_schema_version(refused, commands, damaged, tmp_path, verb):
    def change(path):
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = 99

    line = refused(tmp_path, *commands(damaged(change))[verb])
    assert "expected schema version 1" in line
    assert "found version 99" in line


def test_a_model_that_is_none(refused, study, tmp_path):
    output = ["-o", tmp_path / "out"]
    refused(tmp_path, "infer", study.events, "--observed", study.observed, *output)
    refused(tmp_path, "closure", study.observed, *output)
    refused(tmp_path, "report", study.observed, *output)


def test_a_truncated_model(refused, study, tmp_path):
    path = tmp_path / "half.mflow"
    path.write_bytes(study.model.read_bytes()[:3000])
    for command in (["infer", path, "--observed", study.observed], ["closure", path]):
        assert "half.mflow" in refused(tmp_path, *command, "-o", tmp_path / "out")


@pytest.fixture
def spoiled(study, tmp_path):
    """Events with three NaN and one infinite value."""
    with open_events(study.events) as file:
        events, metadata = file.read(), file.metadata
    events.x[[3, 5, 8], 1] = np.nan
    events.x[11, 2] = np.inf
    write_events(tmp_path / "spoiled.h5", metadata, [events], force=False)
    return tmp_path / "spoiled.h5"


def test_features_that_are_not_finite(refused, commands, spoiled, tmp_path):
    line = refused(tmp_path, *commands(spoiled)["train"])
    assert "3 in x1, 1 in x2" in line
    assert "--drop-nonfinite" in line
    line = refused(tmp_path, *commands(spoiled)["infer"])
    assert "x1: 3, x2: 1" in line
    assert "--drop-nonfinite" in line


def test_features_that_are_dropped_are_counted(run, commands, spoiled):
    trained = run(*commands(spoiled)["train"], "--drop-nonfinite")
    assert trained.status == 0
    assert "Warning: events with NaN or infinite values were left out (x1: 3, x2: 1)" in trained.err
    assert "1,996 events" in trained.out


def test_theta_outside_the_bounds(refused, tmp_path):
    simulate = ["simulate", "polynomial-surface", "-n", 10, "-o", tmp_path / "e.h5"]
    line = refused(tmp_path, *simulate, "--theta", "1.5")
    assert "expected theta from -1 to 1, found 1.5" in line
    line = refused(tmp_path, *simulate, "--theta", "0,0")
    assert "expected 1 values of theta (theta), found 2" in line
    assert "numbers between commas" in refused(tmp_path, *simulate, "--theta", "a")
    assert "within [-1, 1]" in refused(tmp_path, *simulate, "--prior", "uniform(-3, 1)")
    both = refused(tmp_path, *simulate, "--prior", "uniform(0, 1)", "--theta", "0")
    assert "either --theta or --prior" in both


def test_a_prior_that_the_model_has_not_seen(refused, study, tmp_path):
    line = refused(
        tmp_path, "infer", study.model, "--observed", study.observed,
        "--prior", "theta ~ uniform(-2, 1)", "-o", tmp_path / "p.nc",
    )  # fmt: skip
    assert "within [-1, 1], found uniform(-2, 1)" in line


def write_columns(path, names):
    """Write an event file with some observables."""
    metadata = EventMetadata((Parameter("theta"),), tuple(Observable(name) for name in names))
    rng = np.random.default_rng(0)
    events = Events(theta=rng.normal(size=(50, 1)), x=rng.normal(size=(50, len(names))))
    write_events(path, metadata, [events], force=False)


@pytest.mark.parametrize("names", [("x0", "x1"), ("x0", "x1", "x2", "x3"), ("px", "py", "pz")])
def test_other_columns_than_those_of_the_model(refused, commands, tmp_path, names):
    write_columns(tmp_path / "other.h5", names)
    line = refused(tmp_path, *commands(tmp_path / "other.h5")["infer"])
    assert "expected the model's observables x0, x1, x2" in line
    assert f"found {', '.join(names)}" in line


def test_a_simulator_with_other_columns_than_those_of_the_model(refused, study, tmp_path):
    line = refused(
        tmp_path, "closure", study.model, "--simulator", "sphere", "-o", tmp_path / "c.json"
    )
    assert "the model that was trained" not in line
    assert "expected a simulator with the model's observables x0, x1, x2" in line


def test_an_array_of_another_width_than_its_names(refused, commands, damaged, tmp_path):
    def change(path):
        with h5py.File(path, "r+") as file:
            del file["x"]
            file["x"] = np.zeros((2000, 2))

    line = refused(tmp_path, *commands(damaged(change))["train"])
    assert "expected /x with 3 columns" in line


def test_an_unknown_simulator(refused, tmp_path):
    line = refused(tmp_path, "simulate", "polynomial-surfac", "-n", 10, "-o", tmp_path / "e.h5")
    assert "did you mean 'polynomial-surface'?" in line


def test_an_unknown_setting_of_a_simulator(refused, tmp_path):
    simulate = ["simulate", "sphere", "-n", 10, "-o", tmp_path / "e.h5"]
    assert "did you mean 'dim'?" in refused(tmp_path, *simulate, "--set", "dims=2")
    assert "--set key=value" in refused(tmp_path, *simulate, "--set", "dim")


def test_an_unknown_key_in_toml(refused, study, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("latent_dims = 2\n")
    line = refused(tmp_path, "train", study.events, "--config", path, "-o", tmp_path / "m")
    assert "found 'latent_dims'; did you mean 'latent_dim'?" in line
    path.write_text("test_event = 2\n")
    line = refused(tmp_path, "closure", study.model, "--config", path, "-o", tmp_path / "c")
    assert "did you mean 'test_events'" in line
    path.write_text("observable = ['x']\n")
    line = refused(tmp_path, "import", "f.root", "--mapping", path, "-o", tmp_path / "e")
    assert "did you mean 'observables'?" in line


def test_toml_that_is_none(refused, study, tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("epochs = = 2\n")
    line = refused(tmp_path, "train", study.events, "--config", path, "-o", tmp_path / "m")
    assert "expected TOML in" in line


@pytest.mark.parametrize("n", [0, -5])
def test_no_events(refused, tmp_path, n):
    line = refused(tmp_path, "simulate", "polynomial-surface", "-n", n, "-o", tmp_path / "e.h5")
    assert f"expected a number of events of at least 1, found {n}" in line


def test_an_observed_set_without_events(refused, study, tmp_path):
    with h5py.File(study.observed) as source, h5py.File(tmp_path / "none.h5", "w") as target:
        for key, value in source.attrs.items():
            target.attrs[key] = value
        for name, dataset in source.items():
            target.create_dataset(name, data=dataset[:0])
    with uproot.recreate(tmp_path / "none.root") as file:
        file.mktree("t", {f"x{i}": "float64" for i in range(3)})
    for name, found in (("none.h5", "none is left"), ("none.root", "none")):
        infer = ["infer", study.model, "--observed", tmp_path / name, "-o", tmp_path / "p.nc"]
        assert f"{name}, found {found}; check" in refused(tmp_path, *infer)


def test_more_events_than_there_are(refused, study, tmp_path):
    line = refused(
        tmp_path, "infer", study.model, "--observed", study.observed, "--events", 11,
        "-o", tmp_path / "p.nc",
    )  # fmt: skip
    assert "expected at least 11 events" in line


@pytest.fixture
def root_file(tmp_path):
    """A ROOT file with two trees."""
    path = tmp_path / "data.root"
    rng = np.random.default_rng(3)
    with uproot.recreate(path) as file:
        file["events"] = {f"feature_{name}": rng.normal(size=100) for name in "abc"}
        file["others"] = {"a": rng.normal(size=100)}
    return path


def test_a_branch_that_does_not_exist(refused, study, root_file, tmp_path):
    options = ["--tree", "events", "--observable", "feature_d", "-o", tmp_path / "out"]
    line = refused(tmp_path, "import", root_file, *options)
    assert "found 'feature_d'; did you mean 'feature_" in line
    infer = ["infer", study.model, "--observed", root_file]
    two = ["--observable", "feature_a", "--observable", "feature_b"]
    assert "did you mean 'feature_" in refused(tmp_path, *infer, *two, *options)


def test_a_tree_that_does_not_exist(refused, root_file, tmp_path):
    options = ["--observable", "feature_a", "-o", tmp_path / "out"]
    line = refused(tmp_path, "import", root_file, "--tree", "event", *options)
    assert "did you mean 'events'" in line
    line = refused(tmp_path, "import", root_file, *options)
    assert "events" in line
    assert "others" in line


def test_the_wrong_number_of_branches(refused, study, root_file, tmp_path):
    options = ["--tree", "events", "--observable", "feature_a", "-o", tmp_path / "out"]
    line = refused(tmp_path, "infer", study.model, "--observed", root_file, *options)
    assert "expected 3 columns for the observables x0, x1, x2, found 1" in line


def test_columns_from_nowhere_or_from_everywhere(refused, root_file, tmp_path):
    output = ["-o", tmp_path / "out"]
    assert "give --observable or --mapping" in refused(tmp_path, "import", root_file, *output)
    (tmp_path / "map.toml").write_text("observables = ['feature_a']\n")
    both = ["--mapping", tmp_path / "map.toml", "--observable", "feature_a"]
    assert "found both" in refused(tmp_path, "import", root_file, *both, *output)


def test_a_file_of_an_unknown_format(refused, tmp_path):
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")
    options = ["--observable", "a", "-o", tmp_path / "out"]
    line = refused(tmp_path, "import", tmp_path / "data.csv", *options)
    assert "whose name ends in .root" in line


def test_a_folder_that_does_not_exist(refused, study, tmp_path):
    line = refused(tmp_path, "train", study.events, "-o", tmp_path / "none" / "m.mflow")
    assert "mkdir -p" in line


def test_a_device_that_is_not_there(refused, study, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    line = refused(tmp_path, "train", study.events, "--device", "cuda", "-o", tmp_path / "m")
    assert "use --device auto" in line


@contextmanager
def full_disk(size):
    """Let this process write no large file, as a full disk would.

    Around the command alone: pytest may be writing to a file of its own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_simulating(run, tmp_path):
    simulate = ["simulate", "polynomial-surface", "-n", 3000, "-o", tmp_path / "e.h5"]
    with full_disk(40_000):
        result = run(*simulate, "--chunk-size", 1000)
    assert result.status == 1
    assert "Error: could not write" in result.err.splitlines()[-1]
    assert "run the same command again" in result.err
    assert [path.name for path in tmp_path.iterdir()] == [".e.h5.partial"]


@pytest.mark.parametrize(
    ("command", "size"),
    [
        ("train", 10_000),
        ("closure", 100),
        ("report", 1000),
    ],
)
def test_a_full_disk(run, study, tmp_path, command, size):
    output = tmp_path / "out"
    output.write_bytes(b"old")
    arguments = {
        "train": [study.events, "--config", study.config],
        "closure": [study.model, "--config", study.sizes, "--metrics", "reconstruction_error"],
        "report": [study.model],
    }
    with full_disk(size):
        result = run(command, *arguments[command], "-o", output, "--force")
    assert result.status == 1, result
    assert result.out == ""
    line = result.err.splitlines()[-1]
    assert line.startswith(f"Error: could not write {tmp_path}")
    assert "the file size limit is reached" in line
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert output.read_bytes() == b"old"


def test_a_full_disk_while_inferring(start, study, tmp_path):
    code = (
        "import resource, sys; from lfi_mflow.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); sys.exit(main())"
    )
    infer = ["infer", study.model, "--observed", study.observed, "--method", "grid"]
    process = start(*infer, "-o", tmp_path / "p.nc", code=code)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(f"Error: could not write {tmp_path / 'p.nc'}")
    assert list(tmp_path.iterdir()) == []
