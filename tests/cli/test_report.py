"""One page about a model."""

import pytest

from lfi_mflow.closure import ClosureReport, Metric
from lfi_mflow.data import open_events


@pytest.fixture
def posterior(run, study, tmp_path):
    path = tmp_path / "p.nc"
    infer = ["infer", study.model, "--observed", study.observed, "--method", "grid", "-o", path]
    assert run(*infer).status == 0
    return path


@pytest.fixture
def closure(tmp_path):
    ClosureReport({"ood_auc": Metric(0.5)}).save(tmp_path / "c.json")
    return tmp_path / "c.json"


def test_a_report_of_a_model_alone(run, study, tmp_path):
    result = run("report", study.model, "-o", tmp_path / "r.html")
    assert (result.status, result.out) == (0, f"{tmp_path / 'r.html'}: report on model\n")
    page = (tmp_path / "r.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "polynomial-surface" in page
    assert "has not been through a closure test" in page


def test_posterior_and_closure_come_in_any_order(run, study, posterior, closure, tmp_path):
    for name, results in (("a.html", [posterior, closure]), ("b.html", [closure, posterior])):
        result = run("report", study.model, *results, "-o", tmp_path / name)
        assert result.status == 0
        assert result.out.endswith("report on model, posterior, closure\n")
        page = (tmp_path / name).read_text()
        assert "has not been through a closure test" not in page
        assert "Observed events" in page


def test_what_is_no_result_is_refused(refused, study, closure, tmp_path):
    report = ["report", study.model, "-o", tmp_path / "r.html"]
    assert "a file of events" in refused(tmp_path, *report, study.events)
    assert "expected one closure" in refused(tmp_path, *report, closure, closure)
    assert "no such file" in refused(tmp_path, *report, tmp_path / "none.nc")


def test_the_posterior_of_another_model_is_refused(run, refused, study, posterior, tmp_path):
    run("simulate", "sphere", "-n", 200, "-o", tmp_path / "s.h5")
    with open_events(tmp_path / "s.h5") as file:
        assert file.metadata.parameter_names == ("phi", "sigma")
    train = ["train", tmp_path / "s.h5", "--config", study.config, "--epochs", 1]
    assert run(*train, "-o", tmp_path / "s.mflow").status == 0
    report = ["report", tmp_path / "s.mflow", posterior, "-o", tmp_path / "r.html"]
    assert "expected a posterior of the model's parameters phi, sigma" in refused(tmp_path, *report)
