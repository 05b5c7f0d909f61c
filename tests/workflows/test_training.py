"""The record of a training, and what the closure test makes of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lfi_mflow.cli.main import main
from lfi_mflow.errors import UnknownNameError
from lfi_mflow.flows import load_model, weights_digest
from lfi_mflow_simulators.polynomial_surface import PolynomialSurface

RUN = """
[settings.chart]
hidden = 8
layers = 1
blocks = 1

[settings.latent]
transforms = 1
hidden = 8
bins = 4

[[phases]]
name = "all"
objective = "{objective}"
epochs = 1
batch_size = 200
learning_rate = {rate}
"""

CHART = """
[[phases]]
name = "chart"
objective = "reconstruction"
epochs = 1

"""


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "events.h5"
    assert main(["simulate", "polynomial-surface", "-n", "600", "-o", str(path)]) == 0
    return path


@pytest.fixture
def train(script, events, tmp_path):
    """Train as the rule does; the path of the record."""

    def run(objective="likelihood", rate="1e-3", model="m-flow"):
        config = tmp_path / "run.toml"
        config.write_text(f'model = "{model}"' + RUN.format(objective=objective, rate=rate))
        record = tmp_path / "training-3.json"
        arguments = [str(events), "--config", str(config), "--seed", "3"]
        script("train.py").train(record, "row", "A row", arguments, {})
        return record

    return run


@pytest.fixture
def closure(script, workflows, tmp_path):
    """Test a model as the rule does; the report."""

    def run(record):
        output = tmp_path / "closure-3.json"
        arguments = ["--config", str(workflows / "quick.toml"), "--seed", "5"]
        script("closure.py").test(record, output, arguments)
        return json.loads(output.read_text())

    return run


def test_a_training_that_diverges_is_recorded_and_passed_on(train, closure, tmp_path):
    path = train(rate="30.0")
    record = json.loads(path.read_text())
    assert record["model"] is None
    assert "the training diverged" in record["diverged"]
    assert not (tmp_path / "model-3.mflow").exists()
    assert closure(path) == {"metrics": {}, "training": record}


def test_a_training_that_ends_is_tested(train, closure, tmp_path):
    path = train()
    record = json.loads(path.read_text())
    assert record["model"] == "model-3.mflow"
    assert record["diverged"] is None
    report = closure(path)
    assert report["training"] == record
    assert report["metrics"]["training_seconds"]["value"] == record["seconds"] > 0
    flow = load_model(tmp_path / "model-3.mflow").flow
    x = np.array(report["curves"]["surface"]["truth"]["x"])
    projected = flow.project(flow.standardisation.mean.new_tensor(x)).detach().double().numpy()
    error = np.sqrt((((x - projected) / np.sqrt(x.var(axis=0))) ** 2).sum(axis=1)).mean()
    assert report["metrics"]["standardised_error"]["value"] == pytest.approx(error, rel=1e-5)
    theta = np.array(report["curves"]["surface"]["truth"]["theta"])
    exact = PolynomialSurface().log_prob(x, theta)
    tensors = (flow.standardisation.mean.new_tensor(values) for values in (x, theta))
    model = flow.log_prob(*tensors).detach().double().numpy()
    divergence = report["metrics"]["kl_divergence"]["value"]
    assert divergence == pytest.approx((exact - model).mean(), rel=1e-4)


def test_a_row_takes_the_chart_of_another(train, script, events, tmp_path):
    lender = train()
    config, record = tmp_path / "density.toml", tmp_path / "other" / "training-3.json"
    record.parent.mkdir()
    config.write_text('model = "m-flow"' + RUN.format(objective="latent-likelihood", rate="1e-3"))
    arguments = [str(events), "--config", str(config), "--seed", "4"]
    script("train.py").train(record, "row", "A row", arguments, {"--chart-of": lender})
    models = [load_model(path.with_name("model-3.mflow")).flow for path in (lender, record)]
    x = models[0].standardisation.mean.new_tensor([[0.1, 0.2, 0.3]])
    assert models[0].project(x).equal(models[1].project(x))
    theta = x.new_zeros((1, 1))
    assert models[0].log_prob(x, theta) != models[1].log_prob(x, theta)


def test_a_row_takes_the_score_of_another(script, events, tmp_path):
    ratio, record = (tmp_path / name / "training-3.json" for name in ("ratio", "density"))
    config = tmp_path / "run.toml"
    config.write_text('model = "m-flow"' + RUN.format(objective="scandal", rate="1e-3"))
    config.write_text(config.read_text().replace("[[phases]]", CHART + "[[phases]]"))
    rows = (
        (ratio, [str(events), "--model", "nre-c", "--epochs", "1"], {}),
        (record, [str(events), "--config", str(config)], {"--score-of": ratio}),
    )
    for path, arguments, lenders in rows:
        path.parent.mkdir()
        script("train.py").train(path, "row", "A row", arguments, lenders)
    taught, teacher = (load_model(p.with_name("model-3.mflow")) for p in (record, ratio))
    assert taught.metadata.training["score_of"] == weights_digest(teacher.flow)


def test_another_mistake_is_no_divergence(train, tmp_path):
    with pytest.raises(UnknownNameError):
        train(model="m-flew")
    assert not (tmp_path / "training-3.json").exists()
