"""Events from ROOT files."""

import json

import h5py
import numpy as np
import pytest
import uproot

from lfi_mflow.data import open_events


@pytest.fixture
def root_file(tmp_path):
    """Columns px, py with a NaN, t and w."""
    rng = np.random.default_rng(1)
    columns = {name: rng.normal(size=100) for name in ("px", "py", "t", "w")}
    columns["py"][[4, 7]] = np.nan
    with uproot.recreate(tmp_path / "data.root") as file:
        file["events"] = columns
    return tmp_path / "data.root", columns


def test_expressions_parameters_and_weights(run, root_file, tmp_path):
    path, columns = root_file
    result = run(
        "import", path, "--observable", "px", "--observable", "r = sqrt(px**2 + 1)",
        "--parameter", "t", "--weight", "w", "-o", tmp_path / "e.h5",
    )  # fmt: skip
    assert result.status == 0
    assert result.out == f"{tmp_path / 'e.h5'}: 100 of 100 events\n"
    with open_events(tmp_path / "e.h5") as file:
        events = file.read()
        assert file.metadata.observable_names == ("px", "r")
    assert np.array_equal(events.x[:, 1], np.sqrt(columns["px"] ** 2 + 1))
    assert np.array_equal(events.theta[:, 0], columns["t"])
    assert np.array_equal(events.weight, columns["w"])


def test_dropped_rows_are_counted(run, refused, root_file, tmp_path):
    path, _ = root_file
    columns = ["import", path, "--observable", "px", "--observable", "py", "-o", tmp_path / "e.h5"]
    assert "2 of 100 events with NaN or infinite ones (py: 2)" in refused(tmp_path, *columns)
    result = run(*columns, "--drop-nonfinite")
    assert "98 of 100 events; 2 dropped, not finite (py: 2)" in result.out
    again = run(*columns, "--drop-nonfinite", "--force", "--json")
    record = json.loads(again.out)
    assert (record["read"], record["kept"], record["nonfinite_in"]) == (100, 98, {"py": 2})


def test_a_mapping_file_says_the_same(run, root_file, tmp_path):
    path, _ = root_file
    (tmp_path / "map.toml").write_text("observables = ['px']\nparameters = ['t']\nweight = 'w'\n")
    assert run("import", path, "--mapping", tmp_path / "map.toml", "-o", tmp_path / "a").status == 0
    options = ["--observable", "px", "--parameter", "t", "--weight", "w"]
    assert run("import", path, *options, "-o", tmp_path / "b").status == 0
    with open_events(tmp_path / "a") as a, open_events(tmp_path / "b") as b:
        assert a.digest == b.digest


def test_jagged_muons_of_a_file_of_cms(run, tmp_path, data_folder):
    columns = [
        word
        for name in ("Px", "Py", "Pz", "E")
        for muon in (0, 1)
        for word in ("--observable", f"Muon_{name}[:,{muon}]")
    ]
    path = data_folder / "cms_hzz.root"
    result = run("import", path, *columns, "-o", tmp_path / "e.h5", "--json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record["missing"] > 0
    assert record["kept"] == record["read"] - record["missing"]


@pytest.fixture
def madminer_file(tmp_path):
    """A sample of MadMiner with one parameter and two benchmarks."""
    with h5py.File(tmp_path / "sample.h5", "w") as file:
        for key, value in {
            "parameters/names": np.array([b"cw"], dtype="S256"),
            "parameters/val_ranges": np.array([[-2.0, 2.0]]),
            "benchmarks/names": np.array([b"sm", b"bsm"], dtype="S256"),
            "benchmarks/values": np.array([[0.0], [1.5]]),
            "observables/names": np.array([b"pt", b"eta"], dtype="S256"),
            "samples/observations": np.array([[1.0, 2.0], [3.0, 4.0]]),
            "samples/weights": np.array([[0.1, 0.2], [0.3, 0.4]]),
        }.items():
            file[key] = value
    return tmp_path / "sample.h5"


def test_a_benchmark_of_madminer(run, refused, madminer_file, tmp_path):
    output = ["-o", tmp_path / "e.h5"]
    result = run("import", madminer_file, "--benchmark", "bsm", *output)
    assert result.out == f"{tmp_path / 'e.h5'}: 2 of 2 events\n", result.err
    with open_events(tmp_path / "e.h5") as file:
        events = file.read()
    assert events.x.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert events.theta.tolist() == [[1.5], [1.5]]
    assert events.weight.tolist() == [0.2, 0.4]
    again = ["import", madminer_file, *output, "--force"]
    assert "did you mean 'sm'" in refused(tmp_path, *again, "--benchmark", "sn")
    assert "leave it out" in refused(tmp_path, *again, "--benchmark", "sm", "--weight", "w")
    assert "give --observable" in refused(tmp_path, *again)
    root = ["import", tmp_path / "none.root", "-o", tmp_path / "f.h5", "--benchmark", "sm"]
    assert "a MadMiner file at" in refused(tmp_path, *root)
