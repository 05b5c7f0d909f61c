"""``lfi-mflow morph``: events at other parameters on the command line."""

import json

import numpy as np
import pytest

from lfi_mflow.data import open_events
from lfi_mflow.simulation import effective_sample_size
from lfi_mflow_simulators.higgs_eft import HiggsEFT


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    from lfi_mflow.cli.main import main  # noqa: PLC0415 - not before the conftest sets it up

    path = tmp_path_factory.mktemp("morph") / "events.h5"
    assert main(["simulate", "higgs-eft", "-n", "1000", "--seed", "1", "-o", str(path)]) == 0
    return path


def test_events_are_morphed_by_their_simulator(run, events, tmp_path):
    result = run("morph", events, "--theta", "0.5,0", "--json", "-o", tmp_path / "m.h5")
    assert result.status == 0
    assert "Warning" not in result.err
    with open_events(events) as file:
        expected = HiggsEFT().morph(file.read(), (0.5, 0.0))
    with open_events(tmp_path / "m.h5") as file:
        found = file.read()
    np.testing.assert_allclose(found.weight, expected.events.weight)
    assert np.all(found.theta == np.array([0.5, 0.0]))
    size = json.loads(result.out)["effective_sample_size"]
    assert size == pytest.approx(effective_sample_size(found.weight))
    line = run("morph", events, "--theta", "0.5,0", "--force", "-o", tmp_path / "m.h5").out
    assert f"1,000 events at theta = (0.5, 0), worth {size:,.0f}" in line


def test_a_poor_sample_is_warned_of_in_one_line(run, tmp_path):
    scale = ["--set", "theta_scale=10", "--theta", "1,1"]
    path, output = tmp_path / "far.h5", tmp_path / "m.h5"
    simulate = ["simulate", "higgs-eft", "-n", "2000", "--set", "sampling=unweighted"]
    assert run(*simulate, *scale, "-o", path).status == 0
    result = run("morph", path, "--theta", "0,0", "-o", output)
    assert result.status == 0
    warnings = [line for line in result.err.splitlines() if line.startswith("Warning")]
    assert len(warnings) == 1
    assert "of its 2000 events; simulate at a nearer theta" in warnings[0]


def test_mistakes(refused, events, study, tmp_path):
    output = ["-o", tmp_path / "m.h5"]
    line = refused(tmp_path, "morph", events, "--theta", "1.5,0", *output)
    assert "theta1 from -1 to 1, found 1.5" in line
    assert "give --theta" in refused(tmp_path, "morph", events, *output)
    assert "2 values of theta" in refused(tmp_path, "morph", events, "--theta", "1", *output)
    line = refused(tmp_path, "morph", study.events, "--theta", "0.5", *output)
    assert "component weights" in line
