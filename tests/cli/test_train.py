"""A model from events."""

import json
import signal
from types import SimpleNamespace

import pytest
import torch

from lfi_mflow.cli.train import _warn_of_divergence
from lfi_mflow.flows import load_model, weights_digest


@pytest.fixture
def train(study):
    """The beginning of every training here."""
    return ["train", study.events, "--config", study.config, "--threads", 1]


def assert_same_weights(path, other):
    weights, expected = (load_model(p).flow.state_dict() for p in (path, other))
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        assert torch.equal(value, expected[name]), name


def test_the_result_names_distance_losses_and_time(run, train, tmp_path):
    result = run(*train, "-o", tmp_path / "m.mflow")
    assert result.status == 0
    (line,) = result.out.splitlines()
    assert "validation events lie" in line
    assert "best validation losses: chart" in line
    assert "latent epoch 2/2: loss" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["m.mflow"]


def test_json_agrees_with_the_model(run, train, tmp_path):
    record = json.loads(run(*train, "-o", tmp_path / "m.mflow", "--json").out)
    metadata = load_model(tmp_path / "m.mflow").metadata
    quantiles = metadata.training["distance_quantiles"]
    assert quantiles[0] < record["validation_distance"] < quantiles[-1]
    assert record["n_events"] == 2000
    for phase, kept in zip(record["phases"], metadata.history["phases"], strict=True):
        losses = [epoch["validation"] for epoch in kept["epochs"]]
        assert phase["validation"] == min(losses)


def test_the_mean_distance_is_that_of_the_validation_events(run, train, tmp_path):
    record = json.loads(run(*train, "-o", tmp_path / "m.mflow", "--json").out)
    model = load_model(tmp_path / "m.mflow")
    quantiles = torch.tensor(model.metadata.training["distance_quantiles"])
    assert record["validation_distance"] == pytest.approx(float(quantiles.mean()), rel=0.01)


def test_options_override_the_configuration(run, train, tmp_path):
    options = ["--epochs", 1, "--latent-dim", 1, "--seed", 9, "--model", "m-flow"]
    assert run(*train, *options, "-o", tmp_path / "m.mflow").status == 0
    metadata = load_model(tmp_path / "m.mflow").metadata
    configuration = metadata.training["configuration"]
    assert metadata.dimensions.latent == 1
    assert configuration["seed"] == 9
    assert [phase["epochs"] for phase in configuration["phases"]] == [1, 1]
    assert configuration["settings"]["chart"]["hidden"] == 8


def test_equal_seeds_give_equal_models(run, train, study, tmp_path):
    run(*train, "-o", tmp_path / "a.mflow")
    run(*train, "--seed", 3, "-o", tmp_path / "b.mflow")
    assert_same_weights(tmp_path / "a.mflow", study.model)
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "b.mflow", study.model)


def test_resume_without_a_checkpoint_just_starts(run, train, study, tmp_path):
    assert run(*train, "--resume", "-o", tmp_path / "m.mflow").status == 0
    assert_same_weights(tmp_path / "m.mflow", study.model)


def test_sigterm_keeps_the_epochs_and_says_how_to_go_on(start, run, refused, train, tmp_path):
    path = tmp_path / "m.mflow"
    longer = [*train, "--epochs", 12]
    process = start(*longer, "-o", path)
    for line in process.stderr:
        if line.startswith("chart epoch 2/"):
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert out == ""
    line = err.splitlines()[-1]
    assert line.startswith("Interrupted: stopped in phase 'chart' after ")
    assert line.endswith(f"lfi-mflow {' '.join(map(str, longer))} -o {path} --resume")
    assert [item.name for item in tmp_path.iterdir()] == [".m.mflow.checkpoint"]

    assert "add --resume to go on, or --force" in refused(tmp_path, *longer, "-o", path)
    other = refused(tmp_path, *longer, "--seed", 8, "--resume", "-o", path)
    assert "another configuration" in other

    resumed = run(*longer, "--resume", "-o", path)
    assert resumed.status == 0
    assert "chart epoch 1/12" not in resumed.err
    assert run(*longer, "-o", tmp_path / "undisturbed.mflow").status == 0
    assert_same_weights(path, tmp_path / "undisturbed.mflow")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["m.mflow", "undisturbed.mflow"]


def test_force_starts_anew(run, train, study, tmp_path):
    (tmp_path / ".m.mflow.checkpoint").write_bytes(b"of another run")
    assert run(*train, "--force", "-o", tmp_path / "m.mflow").status == 0
    assert_same_weights(tmp_path / "m.mflow", study.model)


def test_force_keeps_the_checkpoint_when_the_input_is_bad(refused, train, tmp_path):
    (tmp_path / ".m.mflow.checkpoint").write_bytes(b"of another run")
    options = ["--force", "-o", tmp_path / "m.mflow"]
    refused(tmp_path, "train", tmp_path / "none.h5", *options)
    refused(tmp_path, *train, "--model", "n-flow", *options)


def test_ctrl_c_before_the_first_epoch(start, train, tmp_path):
    code = (
        "import sys, lfi_mflow.training as t\n"
        "from lfi_mflow.cli.main import main\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "t.train_model = stop; raise SystemExit(main())"
    )
    process = start(*train, "-o", tmp_path / "m.mflow", code=code)
    assert process.wait(60) == 130
    assert "nothing was saved yet; start again with: lfi-mflow train" in process.stderr.read()


def test_a_full_disk_at_the_end_loses_no_epoch(run, train, study, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "replace", _refuse_models(type(tmp_path).replace))
        result = run(*train, "-o", tmp_path / "m.mflow")
    assert result.status == 1
    assert "the disk is full" in result.err
    assert "go on with: lfi-mflow train" in result.err
    assert [item.name for item in tmp_path.iterdir()] == [".m.mflow.checkpoint"]
    assert run(*train, "--resume", "-o", tmp_path / "m.mflow").status == 0
    assert_same_weights(tmp_path / "m.mflow", study.model)


def _refuse_models(replace):
    """Let every file be renamed but a model."""

    def refuse(path, target):
        if target.suffix == ".mflow":
            raise OSError(28, "No space left on device")
        return replace(path, target)

    return refuse


LIKELIHOOD = """
[settings.chart]
hidden = 8
layers = 1
blocks = 1
[settings.latent]
transforms = 1
hidden = 8
[[phases]]
name = "all"
objective = "likelihood"
epochs = 4
batch_size = 200
learning_rate = {rate}
"""


@pytest.mark.parametrize(
    ("model", "rate", "remedy"),
    [("m-flow", 0.03, "has no maximum: train with algorithm ="), ("pie", 0.3, "a lower learning")],
)
def test_a_chart_that_was_not_learnt_is_told(run, study, tmp_path, model, rate, remedy):
    """Maximum likelihood lets the manifold of the first drift away while the loss falls."""
    (tmp_path / "run.toml").write_text(LIKELIHOOD.format(rate=rate))
    options = ["--config", tmp_path / "run.toml", "--model", model, "--threads", 1]
    result = run("train", study.events, *options, "-o", tmp_path / "m.mflow")
    assert result.status == 0
    (line,) = (line for line in result.err.splitlines() if "it was not learnt" in line)
    assert remedy in line


def test_losses_that_are_not_finite_are_an_error_that_says_why(run, study, tmp_path):
    (tmp_path / "run.toml").write_text(LIKELIHOOD.format(rate=30.0))
    options = ["--config", tmp_path / "run.toml", "--threads", 1]
    result = run("train", study.events, *options, "-o", tmp_path / "m.mflow")
    assert result.status == 1
    assert "the training diverged: maximum likelihood of a manifold has no maximum" in result.err


@pytest.mark.parametrize(("distance", "warnings"), [(0.9, 1), (1.02, 1), (1.04, 2)])
def test_a_phase_that_got_worse_is_told(capsys, distance, warnings):
    phase = {"name": "all", "objective": "likelihood", "best_epoch": 1, "diverged": True}
    phase["epochs"] = []
    training = {"plane_distance": 1.0, "centre_distance": 3.0}
    metadata = SimpleNamespace(history={"phases": [phase]}, preset="m-flow", training=training)
    _warn_of_divergence(metadata, distance)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == warnings
    assert lines[0].startswith("Warning: phase 'all' diverged")
    assert "the weights of epoch 2 were kept" in lines[0]


def test_a_training_that_goes_well_is_not_warned_of(run, study, tmp_path):
    (tmp_path / "run.toml").write_text(LIKELIHOOD.format(rate=3e-3))
    options = ["--config", tmp_path / "run.toml", "--model", "pie", "--threads", 1]
    result = run("train", study.events, *options, "-o", tmp_path / "m.mflow")
    assert result.status == 0
    assert "diverged" not in result.err


def test_a_model_without_a_manifold(run, refused, study, tmp_path):
    (tmp_path / "run.toml").write_text("[settings.latent]\ntransforms = 1\nhidden = 8\n")
    options = ["--config", tmp_path / "run.toml", "--model", "af", "--epochs", 1, "--threads", 1]
    line = refused(
        tmp_path, "train", study.events, *options, "--latent-dim", 2, "-o", tmp_path / "m.mflow"
    )
    assert "n = d = 3" in line
    trained = run("train", study.events, *options, "-o", tmp_path / "m.mflow")
    assert trained.status == 0
    assert "manifold" not in trained.out
    path = tmp_path / "p.nc"
    infer = ["infer", tmp_path / "m.mflow", "--observed", study.observed, "--method", "grid"]
    result = run(*infer, "-o", path, "--json")
    assert result.status == 0
    assert json.loads(result.out)["off_manifold_p_value"] is None
    assert run("report", tmp_path / "m.mflow", path, "-o", tmp_path / "r.html").status == 0


def test_an_algorithm_by_name(run, refused, study, tmp_path):
    train = ["train", study.events, "--epochs", 1, "--threads", 1, "-o", tmp_path / "m.mflow"]
    result = run(*train, "--config", study.config, "--algorithm", "alternating", "--json")
    assert result.status == 0, result.err
    names = [phase["name"] for phase in json.loads(result.out)["phases"]]
    assert names[:3] == ["chart 1", "latent 1", "chart 2"]
    (tmp_path / "m.mflow").unlink()
    line = refused(tmp_path, *train, "--algorithm", "alternate")
    assert "did you mean 'alternating'" in line
    line = refused(tmp_path, *train, "--model", "pae", "--algorithm", "transport")
    assert "the model pae trains with: sequential, scandal" in line
    line = refused(tmp_path, *train, "--algorithm", "scandal")
    assert "expected events with a joint score" in line
    line = refused(tmp_path, *train, "--latent-dim", 3)
    assert "expected a manifold dimension n with 1 <= n < d = 3, found n = 3" in line


def test_losses_are_compiled_where_they_can_be(run, train, study, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda loss: loss)
    result = run(*train, "--epochs", 1, "--compile", "-o", tmp_path / "m.mflow")
    assert result.status == 0
    assert "compiled in the first step, which takes minutes: chart, latent\n" in result.err
    phases = load_model(tmp_path / "m.mflow").metadata.training["configuration"]["phases"]
    assert [phase["compiles"] for phase in phases] == [True, True]
    other = ["train", study.events, "--algorithm", "simultaneous", "--epochs", 1, "--compile"]
    result = run(*other, "-o", tmp_path / "other.mflow")
    assert result.status == 0
    assert "not compiled, because the objective cannot be: all\n" in result.err


def test_models_for_comparison(run, refused, study, tmp_path):
    """They are trained and tested as the others; what they lack is said where it is missed."""
    for name in ("vae", "gan"):
        model = tmp_path / f"{name}.mflow"
        train = ["train", study.events, "--model", name, "--epochs", 1, "--threads", 1]
        assert run(*train, "-o", model).status == 0
        infer = ["infer", model, "--observed", study.observed, "-o", tmp_path / "p.nc"]
        assert "expected a model with a density of events" in refused(tmp_path, *infer)
        closure = ["closure", model, "--config", study.sizes, "--threads", 1, "--json"]
        result = run(*closure, "-o", tmp_path / f"{name}.json")
        assert result.status == 0, result.err
        skipped = json.loads(result.out)["skipped"]
        assert skipped["posterior_mmd2"] == "the model has no density"
        assert ("reconstruction_error" in skipped) == (name == "gan")
        report = ["report", model, tmp_path / f"{name}.json", "-o", tmp_path / f"{name}.html"]
        assert run(*report).status == 0


def test_the_score_of_a_ratio_estimator(run, refused, study, tmp_path):
    ratio, model = tmp_path / "ratio.mflow", tmp_path / "m.mflow"
    train = ["train", study.events, "--epochs", 1, "--threads", 1]
    assert run(*train, "--model", "nre-c", "-o", ratio).status == 0
    taught = ["--config", study.config, "--score-of", ratio, "-o", model]
    assert run(*train, *taught, "--algorithm", "scandal").status == 0
    training = load_model(model).metadata.training
    assert training["score_of"] == weights_digest(load_model(ratio).flow)
    model.unlink()
    line = refused(tmp_path, *train, *taught)
    assert "expected a phase that learns the score" in line
    wrong = ["--score-of", study.model, "--algorithm", "scandal", "-o", model]
    assert "expected a ratio estimator, whose score is learnt" in refused(tmp_path, *train, *wrong)
