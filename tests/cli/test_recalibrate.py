"""From joint ratios to a recalibrated estimator, on the command line."""

import json
from types import SimpleNamespace

import pytest

from lfi_mflow.cli.main import main
from lfi_mflow.closure import ClosureReport
from lfi_mflow.flows import load_model

TINY = """
model = "alices"

[settings.network]
hidden = 16
blocks = 1

[[phases]]
name = "ratio"
objective = "alices"
epochs = 5
batch_size = 100
learning_rate = 1e-2
settings = { alpha = 0.5 }
"""
SIZES = "ratio_events = 500"


@pytest.fixture(scope="module")
def ratio(tmp_path_factory):
    """A folder with events, observed events and a ratio estimator."""
    folder = tmp_path_factory.mktemp("ratio")
    (folder / "tiny.toml").write_text(TINY)
    (folder / "sizes.toml").write_text(SIZES)
    events, observed, model = (folder / name for name in ("e.h5", "o.h5", "m.mflow"))
    simulate = ["simulate", "polynomial-surface", "--seed", "1"]
    commands = (
        [*simulate, "-n", "5000", "--set", "reference=-1", "-o", events],
        [*simulate, "-n", "10", "--theta", "0.3", "-o", observed],
        ["train", events, "--config", folder / "tiny.toml", "--threads", "1", "-o", model],
    )
    for command in commands:
        assert main([str(argument) for argument in command]) == 0
    return SimpleNamespace(
        folder=folder, events=events, observed=observed, model=model, sizes=folder / "sizes.toml"
    )


def test_a_model_is_recalibrated(run, ratio, tmp_path):
    output = tmp_path / "better.mflow"
    command = ["recalibrate", ratio.model, "--events", 2000, "--threads", 1, "-o", output]
    result = run(*command, "--seed", 3)
    assert result.status == 0
    assert "log r is now" in result.out
    again = json.loads(run(*command, "--seed", 3, "--force", "--json").out)
    mended = load_model(output)
    assert mended.flow.slope.item() == pytest.approx(again["slope"])
    assert mended.flow.offset.item() == pytest.approx(again["offset"])
    assert mended.metadata.training["recalibration"]["seed"] == 3
    other = json.loads(run(*command, "--seed", 4, "--force", "--json").out)
    assert other["slope"] != again["slope"]


def test_only_ratio_estimators_are(refused, study, tmp_path):
    line = refused(tmp_path, "recalibrate", study.model, "-o", tmp_path / "better.mflow")
    assert "the model is no ratio estimator" in line


@pytest.mark.parametrize("method", ["mcmc", "grid"])
def test_infer_needs_no_other_option(run, ratio, tmp_path, method):
    output = tmp_path / "posterior.nc"
    result = run(
        *("infer", ratio.model, "--observed", ratio.observed, "--method", method),
        *("--threads", 1, "--json", "-o", output),
    )
    assert result.status == 0
    record = json.loads(result.out)
    assert -1 < record["parameters"]["theta"]["mean"] < 1
    assert record["off_manifold_p_value"] is None


def test_closure_report_and_info_know_what_it_is(run, ratio, tmp_path):
    closure, report = tmp_path / "closure.json", tmp_path / "report.html"
    metrics = "ratio_calibration,ratio_normalisation,manifold_distance,log_density_error"
    sizes = ["--config", ratio.sizes, "--metrics", metrics, "--threads", 1]
    result = run("closure", ratio.model, *sizes, "-o", closure)
    assert result.status == 0
    assert "not tested: manifold_distance, because the model generates no events" in result.err
    assert "not tested: log_density_error, because the model has no density" in result.err
    found = ClosureReport.load(closure)
    assert set(found.metrics) == {"ratio_calibration", "ratio_normalisation"}
    assert set(found.curves) == {"reliability"}
    assert run("report", ratio.model, closure, "-o", report).status == 0
    page = report.read_text()
    assert "none: likelihood ratios of 3 observables" in page
    assert "Normalisation of the ratio" in page
    assert run("report", ratio.model, "-o", report, "--force").status == 0
    assert "none: likelihood ratios only" in run("info", ratio.model).out


def test_what_a_ratio_cannot_say_is_refused(refused, ratio, study, tmp_path):
    line = refused(tmp_path, "score", ratio.model, ratio.observed, "-o", tmp_path / "scores.h5")
    assert "a model with an encoder, found one without (RatioEstimator)" in line
    train = ["train", ratio.events, "--model", "nre-c"]
    line = refused(tmp_path, *train, "--latent-dim", 2, "-o", tmp_path / "m.mflow")
    assert "n = d = 3 in a ratio estimator, found n = 2" in line
    train = ["train", study.events, "--model", "alice", "-o", tmp_path / "m.mflow"]
    assert "--set reference=-1" in refused(tmp_path, *train)
