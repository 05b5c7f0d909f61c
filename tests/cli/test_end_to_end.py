"""The main job: simulate, train, infer, test, report, and ask what is in each file."""

import json

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("job")


@pytest.fixture
def ask(run):
    """Run a command and return what it prints as JSON."""

    def ask(*arguments):
        result = run(*arguments, "--json")
        assert result.status == 0, result.err
        return json.loads(result.out)

    return ask


def test_the_whole_job(ask, study, folder):
    events, model = folder / "events.h5", folder / "model.mflow"
    posterior, closure, page = (folder / name for name in ("p.nc", "c.json", "report.html"))
    observed = folder / "observed.h5"
    simulate = ("simulate", "polynomial-surface")
    assert ask(*simulate, "-n", 4000, "--seed", 1, "-o", events)["n_events"] == 4000
    ask(*simulate, "-n", 20, "--theta", 0, "--seed", 2, "-o", observed)
    trained = ask("train", events, "--config", study.config, "--seed", 1, "-o", model)
    assert trained["validation_distance"] < 1.0
    inferred = ask("infer", model, "--observed", observed, "--seed", 3, "-o", posterior)
    assert abs(inferred["parameters"]["theta"]["mean"]) < 1.0
    metrics = (
        "manifold_distance,reconstruction_error,ood_auc,sbc_p_value,coverage_95,tarp_p_value,"
        "lc2st_p_value,likelihood_calibration,off_manifold_p_value,distance_theta_dependence"
    )
    tested = ask(
        "closure", model, "--config", study.sizes, "--metrics", metrics, "--seed", 4, "-o", closure
    )
    assert set(tested["metrics"]) == set(metrics.split(","))
    assert ask("report", model, posterior, closure, "-o", page)["parts"] == [
        "model", "posterior", "closure"
    ]  # fmt: skip
    kinds = {path.name: ask("info", path)["kind"] for path in (events, model, posterior, closure)}
    assert list(kinds.values()) == ["events", "model", "posterior", "closure"]
    names = {"events.h5", "observed.h5", "model.mflow", "p.nc", "c.json", "report.html"}
    assert {path.name for path in folder.iterdir()} == names


def test_observed_events_of_a_root_file(ask, study, tmp_path, data_folder):
    mapping = tmp_path / "map.toml"
    mapping.write_text("tree = 'events'\nobservables = ['feature_a', 'feature_b', 'feature_c']\n")
    path = data_folder / "observed_events.root"
    infer = ("infer", study.model, "--observed", path, "--mapping", mapping)
    record = ask(*infer, "-o", tmp_path / "p.nc")
    assert record["n_events"] == 200
    assert record["parameters"]["theta"]["r_hat"] < 1.05
