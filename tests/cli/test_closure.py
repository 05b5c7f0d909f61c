"""The closure test of a model."""

import json

import pytest

from lfi_mflow.closure import METRICS, ClosureReport


@pytest.fixture
def closure(run, study, tmp_path):
    """Run a small closure test."""

    def closure(*arguments, metrics="reconstruction_error,manifold_distance"):
        output = tmp_path / "closure.json"
        sizes = ["--config", study.sizes, "--metrics", metrics, "--threads", 1]
        return run("closure", study.model, *sizes, "-o", output, *arguments), output

    return closure


def test_metrics_are_shown_against_their_targets(closure):
    result, output = closure()
    assert result.status == 0
    report = ClosureReport.load(output)
    assert set(report.metrics) == {"reconstruction_error", "manifold_distance"}
    line = next(line for line in result.out.splitlines() if line.startswith("reconstruction_error"))
    assert "<= 0.0012" in line
    assert line.split()[-1] == "NO"
    verdict = "0 of 2 targets are met (missed: manifold_distance, reconstruction_error)"
    assert verdict in result.out


def test_a_missed_target_is_a_failure_only_if_one_says_so(closure):
    assert closure("--strict")[0].status == 1
    assert closure("--strict", "--force", metrics="sbc_p_value")[0].status == 0


def test_a_coverage_has_a_target_on_both_sides(closure):
    result, _ = closure(metrics="coverage_68,off_manifold_p_value")
    line = next(line for line in result.out.splitlines() if line.startswith("coverage_68"))
    assert "~ 0.6827" in line
    assert "off_manifold_p_value" in result.out


def test_json_is_the_report_without_its_curves(closure):
    result, output = closure("--json")
    record, report = json.loads(result.out), json.loads(output.read_text())
    assert record["metrics"] == report["metrics"]
    assert record["failed"] == ["manifold_distance", "reconstruction_error"]
    assert "curves" not in record


def test_the_seed_makes_it_reproducible(closure):
    values = []
    for seed in (1, 1, 2):
        result, _ = closure("--seed", seed, "--force", "--json", metrics="manifold_distance")
        values.append(json.loads(result.out)["metrics"]["manifold_distance"]["value"])
    assert values[0] == values[1] != values[2]


def test_the_settings_of_the_simulator_are_those_of_the_model(run, study, tmp_path):
    events, model = tmp_path / "e.h5", tmp_path / "m.mflow"
    run("simulate", "sphere", "--set", "dim=2", "-n", 300, "-o", events)
    assert run("train", events, "--config", study.config, "--epochs", 1, "-o", model).status == 0
    check = ["closure", model, "--config", study.sizes, "--metrics", "reconstruction_error"]
    assert run(*check, "-o", tmp_path / "c.json").status == 0
    assert run(*check, "--set", "dim=1", "-o", tmp_path / "d.json").status == 2
    circle = run(*check, "--simulator", "sphere", "--set", "dim=1", "-o", tmp_path / "d.json")
    assert circle.status == 2
    named = run(*check, "--simulator", "sphere", "-o", tmp_path / "d.json")
    assert named.status == 0  # to name it says that it may run, not that its settings are others


def test_an_unknown_metric_is_found_before_the_work(refused, study, tmp_path):
    check = ["closure", study.model, "-o", tmp_path / "c.json"]
    assert "did you mean 'ood_auc'?" in refused(tmp_path, *check, "--metrics", "ood_acu")
    assert METRICS[0] in refused(tmp_path, *check, "--metrics", ",")
