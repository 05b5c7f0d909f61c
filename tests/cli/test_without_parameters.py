"""A simulator without parameters goes through every command that makes sense for it."""

import json

import pytest

from lfi_mflow.data import open_events
from lfi_mflow.flows import load_model
from lfi_mflow_simulators import lorenz


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lorenz")


def test_from_simulation_to_report(run, study, folder):
    events, model, closure = folder / "e.h5", folder / "m.mflow", folder / "c.json"
    simulator = f"{lorenz.__file__}:Lorenz"
    sizes = folder / "sizes.toml"
    sizes.write_text("test_events = 50\nsurface_points = 50\n")
    commands = (
        ["simulate", simulator, "-n", 1500, "--set", "window=[10, 1000]", "-o", events],
        ["train", events, "--config", study.config, "--threads", 1, "-o", model],
        [
            "closure",
            model,
            "--simulator",
            simulator,
            "--config",
            sizes,
            "--threads",
            1,
            "-o",
            closure,
        ],
        ["report", model, closure, "-o", folder / "r.html"],
        ["score", model, events, "-o", folder / "s.h5"],
    )
    records = {}
    for command in commands:
        result = run(*command, "--json")
        assert result.status == 0, result.err
        records[command[0]] = json.loads(result.out)
    assert records["closure"]["metrics"]["reconstruction_error"]["value"] > 0
    assert records["closure"]["skipped"]["sbc_p_value"] == "the model has no parameters"
    assert records["score"]["log_prob"] is True
    with open_events(events) as file:
        assert file.read().theta.shape == (1500, 0)
    assert load_model(model).flow.theta_dim == 0
    for path in (events, model, folder / "s.h5"):
        result = run("info", path)
        assert result.status == 0
        facts = dict(line.partition("  ")[::2] for line in result.out.splitlines())
        assert facts["parameters"].strip() == "none"
        assert "prior" not in facts


def test_there_is_nothing_to_infer(refused, folder, tmp_path):
    infer = ["infer", folder / "m.mflow", "--observed", folder / "e.h5", "-o", tmp_path / "p.nc"]
    line = refused(tmp_path, *infer)
    assert "expected a model with parameters to infer, found one without" in line
    assert "lfi-mflow score" in line


def test_theta_of_a_simulator_without_parameters(refused, tmp_path):
    simulate = ["simulate", f"{lorenz.__file__}:Lorenz", "-n", 5, "-o", tmp_path / "e.h5"]
    assert "0 values of theta" in refused(tmp_path, *simulate, "--theta", "28")
