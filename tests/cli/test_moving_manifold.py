"""A simulator whose manifold depends on its parameters, from simulation to the refusal and back."""

import json

import pytest

from lfi_mflow_simulators import lorenz

LORENZ = ["--set", "free=rho", "--set", "window=[2, 4]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("moving")


@pytest.fixture(scope="module")
def files(folder):
    return {name: folder / name for name in ("e.h5", "o.h5", "m.mflow", "run.toml")}


def test_a_conditional_chart_is_trained(run, study, files):
    simulate = ["simulate", f"{lorenz.__file__}:Lorenz", *LORENZ]
    assert run(*simulate, "-n", 1500, "-o", files["e.h5"]).status == 0
    assert run(*simulate, "-n", 5, "--theta", 30, "-o", files["o.h5"]).status == 0
    tiny = study.config.read_text()
    files["run.toml"].write_text("[settings]\nconditional_chart = true\n" + tiny)
    train = ["train", files["e.h5"], "--config", files["run.toml"], "--threads", 1]
    result = run(*train, "--latent-dim", 2, "-o", files["m.mflow"], "--json")
    assert result.status == 0, result.err
    assert json.loads(result.out)["validation_distance"] > 0


def test_its_dimension_has_to_be_said(refused, files, tmp_path):
    """The simulator does not claim one manifold for all parameters."""
    train = ["train", files["e.h5"], "--config", files["run.toml"], "-o", tmp_path / "m.mflow"]
    assert "give --latent-dim n" in refused(tmp_path, *train)


def test_its_likelihood_ratio_is_refused_unless_asked_for(run, refused, files, tmp_path):
    infer = ["infer", files["m.mflow"], "--observed", files["o.h5"], "--method", "grid"]
    line = refused(tmp_path, *infer, "-o", tmp_path / "p.nc")
    assert "densities on different manifolds have no likelihood ratio" in line
    assert "--moving-manifold" in line
    result = run(*infer, "--moving-manifold", "-o", tmp_path / "p.nc", "--json")
    assert result.status == 0, result.err
    rho = json.loads(result.out)["parameters"]["rho"]
    assert 27 <= rho["q16"] < rho["q84"] <= 33


def test_its_scores_need_theta(run, refused, files, tmp_path):
    score = ["score", files["m.mflow"], files["o.h5"], "-o", tmp_path / "s.h5"]
    result = run(*score, "--theta", 30, "--json")
    assert result.status == 0, result.err
    assert json.loads(result.out)["median_distance"] > 0
    (tmp_path / "s.h5").unlink()


def test_closure_says_what_cannot_be_tested(run, files, tmp_path):
    sizes = tmp_path / "sizes.toml"
    sizes.write_text("test_events = 50\nsurface_points = 50\n")
    closure = ["closure", files["m.mflow"], "--config", sizes, "--threads", 1]
    closure += ["--simulator", f"{lorenz.__file__}:Lorenz"]
    result = run(*closure, "-o", tmp_path / "c.json", "--json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record["metrics"]["reconstruction_error"]["value"] > 0
    reason = "the model's manifold depends on theta, so that there is no likelihood ratio"
    assert record["skipped"]["sbc_p_value"] == reason
