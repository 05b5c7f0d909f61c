"""The list of simulators."""

import json

from lfi_mflow import simulation
from lfi_mflow.errors import InputError


def test_the_registered_simulators_are_listed(run):
    result = run("simulators")
    assert result.status == 0
    line = next(line for line in result.out.splitlines() if "polynomial-surface" in line)
    assert line.split() == ["polynomial-surface", "theta", "in", "[-1,", "1]", *line.split()[5:]]
    assert line.split()[-4:] == ["likelihood,", "manifold", "3", "2"]
    assert result.out.endswith(f"{len(simulation.available_simulators())} simulators\n")


def test_json_names_parameters_and_observables(run):
    records = {row["name"]: row for row in json.loads(run("simulators", "--json").out)}
    record = records["polynomial-surface"]
    assert record["parameters"] == [{"name": "theta", "low": -1.0, "high": 1.0}]
    assert record["observables"] == ["x0", "x1", "x2"]
    assert record["manifold_dim"] == 2


def test_a_broken_plugin_hides_no_other(run, monkeypatch):
    original = simulation.get_simulator

    def get(name, settings=None):
        if name == "sphere":
            raise InputError("a whole plug-in", "half of one", "mend it")
        return original(name, settings)

    monkeypatch.setattr(simulation, "get_simulator", get)
    result = run("simulators", "--json")
    assert result.status == 0
    assert "Warning: sphere cannot be used: expected a whole plug-in" in result.err
    assert "polynomial-surface" in result.out
