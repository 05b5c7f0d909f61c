"""What is in a file, and where it came from."""

import json

import numpy as np

from lfi_mflow.closure import ClosureReport, Metric, Target
from lfi_mflow.data import open_events


def test_events_tell_columns_seed_and_command(run, study):
    result = run("info", study.events)
    assert result.status == 0
    assert result.out.splitlines()[-1] == f"{study.events}: 2,000 events from polynomial-surface"
    facts = dict(line.split(None, 1) for line in result.out.splitlines()[:-1])
    assert facts["observables"] == "x0, x1, x2"
    assert facts["prior"] == "theta ~ uniform(-1, 1)"
    assert facts["seed"] == "1"
    assert "provenance.command" in facts


def test_json_holds_the_same(run, study):
    record = json.loads(run("info", study.events, "--json").out)
    with open_events(study.events) as file:
        assert record["sha256"] == file.digest
        assert record["n_events"] == len(file)
    assert record["kind"] == "events"


def test_a_model_tells_its_training(run, study):
    record = json.loads(run("info", study.model, "--json").out)
    assert record["kind"] == "model"
    assert (record["data_dim"], record["latent_dim"]) == (3, 2)
    assert record["weights"] > 100
    assert set(record["training"]) == {"chart", "latent"}
    assert "hausdorff" in record["density"]
    assert "2 epochs in " in run("info", study.model).out


def test_a_posterior_tells_its_numbers(run, study, tmp_path):
    path = tmp_path / "p.nc"
    infer = ["infer", study.model, "--observed", study.observed, "--method", "grid", "-o", path]
    inferred = json.loads(run(*infer, "--json").out)
    record = json.loads(run("info", path, "--json").out)
    assert record["kind"] == "posterior"
    assert record["observed_events"] == 10
    assert record["parameters"] == inferred["parameters"]
    assert f"{path}: posterior theta = " in run("info", path).out


def test_a_closure_report_tells_its_metrics(run, tmp_path):
    metrics = {"ood_auc": Metric.judged(0.5, 0.1, Target(0.99, "at_least"))}
    ClosureReport(metrics, {"seed": 3}).save(tmp_path / "c.json")
    result = run("info", tmp_path / "c.json")
    assert "metrics.ood_auc.value" in result.out
    assert result.out.endswith("closure test, 0 of 1 targets are met\n")


def test_intact_events_are_verified(run, study):
    assert "all checksums are right" in run("info", study.events, "--verify").out


def test_changed_events_are_found(refused, study, tmp_path):
    content = bytearray(study.events.read_bytes())
    with open_events(study.events) as file:
        chunk = file._datasets["x"].id.get_chunk_info(0)
    middle = chunk.byte_offset + chunk.size // 2
    content[middle] ^= 0xFF
    (tmp_path / "changed.h5").write_bytes(content)
    line = refused(tmp_path, "info", tmp_path / "changed.h5", "--verify")
    assert "expected intact events in rows" in line


def test_only_events_are_verified(refused, study, tmp_path):
    assert "leave --verify out" in refused(tmp_path, "info", study.model, "--verify")


def test_numbers_of_a_closure_report_that_are_missing(run, tmp_path):
    ClosureReport({"ood_auc": Metric(np.nan)}).save(tmp_path / "c.json")
    assert json.loads(run("info", tmp_path / "c.json", "--json").out)["metrics"]["ood_auc"][
        "value"
    ] is None  # fmt: skip
