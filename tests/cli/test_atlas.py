"""A model with an atlas, from simulation to report."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from lfi_mflow.cli.train import _say_what_was_revived
from lfi_mflow.inference import ScoreFile

CONFIG = """
model = "vq-flow"

[settings.quantiser]
charts = 4
hidden = 8

[settings.chart]
base = "realnvp"
layers = 2
hidden = 16

[settings.latent]
transforms = 1
hidden = 16
bins = 4
components = 2

[[phases]]
name = "quantiser"
objective = "vector-quantisation"
epochs = 1
batch_size = 200

[[phases]]
name = "chart"
objective = "membership"
epochs = 8
batch_size = 100
learning_rate = 1e-2

[[phases]]
name = "latent"
objective = "latent-likelihood"
epochs = 4
batch_size = 100
learning_rate = 1e-2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("atlas")


@pytest.fixture
def model(folder, run):
    """A trained model, made once by the commands, with events beside it."""
    path = folder / "model.mflow"
    if not path.exists():
        (folder / "run.toml").write_text(CONFIG)
        simulate = ("simulate", "sphere", "--seed", 1)
        run(*simulate, "-n", 2000, "-o", folder / "events.h5")
        run(*simulate, "-n", 10, "--theta", "0.3,0.5", "-o", folder / "observed.h5")
        options = ("--config", folder / "run.toml", "--threads", 1)
        result = run("train", folder / "events.h5", *options, "-o", path, "--json")
        record = json.loads(result.out)
        assert [phase["name"] for phase in record["phases"]] == ["quantiser", "chart", "latent"]
        assert record["validation_distance"] < 0.1
    return path


def test_info_and_models_know_it(model, run):
    assert "vq-flow" in run("models").out
    record = json.loads(run("info", model, "--json").out)
    assert record["model"] == "vq-flow"
    assert record["latent_dim"] == 1


def test_posteriors_come_from_the_mixture(model, run, folder):
    output = ("-o", folder / "posterior.nc", "--force", "--threads", 1, "--json")
    options = ("--observed", folder / "observed.h5", "--method", "grid")
    result = run("infer", model, *options, *output)
    assert result.status == 0, result.err
    found = json.loads(result.out)["parameters"]
    assert abs(found["phi"]["mean"] - 0.3) < 5 * found["phi"]["sd"]
    assert 0.02 < found["phi"]["sd"] < 0.6


def test_scores_have_a_chart_and_coordinates(model, run, folder):
    path = folder / "scores.h5"
    options = ("-o", path, "--force", "--threads", 1)
    result = run("score", model, folder / "observed.h5", *options)
    assert result.status == 0, result.err
    with ScoreFile(path) as file:
        latent, log_prob = file.read("latent"), file.read("log_prob")
    assert latent.shape == (10, 2)
    assert set(np.unique(latent[:, 0])) <= {0.0, 1.0, 2.0, 3.0}
    assert np.isfinite(log_prob).all()


def test_closure_and_report_show_the_atlas(model, run, folder):
    (folder / "sizes.toml").write_text(
        "model_samples = 200\ntest_events = 100\ndensity_events = 100\nsurface_points = 100\n"
    )
    names = "manifold_distance,reconstruction_error,log_density_error,ood_auc"
    sizes = ("--config", folder / "sizes.toml", "--metrics", names, "--threads", 1)
    closure = folder / "closure.json"
    result = run("closure", model, *sizes, "-o", closure, "--force", "--json")
    assert result.status in (0, 1), result.err
    metrics = json.loads(closure.read_text())["metrics"]
    assert metrics["reconstruction_error"]["value"] < 0.1
    assert metrics["log_density_error"]["value"] < 2.0
    page = folder / "report.html"
    assert run("report", model, closure, "-o", page, "--force").status == 0
    text = page.read_text()
    assert 'id="atlas"' in text
    assert "of 4 charts reproduce" in text


def test_more_charts_than_events_are_one_line(model, folder, refused):
    config = folder / "many.toml"
    config.write_text(CONFIG.replace("charts = 4", "charts = 5000"))
    options = ("--config", config, "--threads", 1, "-o", folder / "many.mflow")
    line = refused(folder, "train", folder / "events.h5", *options)
    assert "at least as many different events as charts (5000), found 1800" in line
    assert "lower charts" in line


def test_revived_charts_are_reported(capsys):
    """Those of the epoch whose weights were kept."""
    epochs = [{"validation_parts": {"usage": 0.7, "revived": count}} for count in (0.0, 2.0, 5.0)]
    quantiser = {"name": "quantiser", "best_epoch": 1, "epochs": epochs}
    other = {"name": "latent", "best_epoch": 0, "epochs": [{"validation_parts": {}}]}
    _say_what_was_revived(SimpleNamespace(history={"phases": [quantiser, other]}))
    said = capsys.readouterr().err
    assert "phase 'quantiser': charts without events were moved 2 times" in said
    assert "latent" not in said
