"""Curves for TensorBoard: one point an epoch, and one clear line where it is not installed."""

import sys

import pytest
from tensorboard.backend.event_processing import event_accumulator

from lfi_mflow.cli.tensorboard import curves
from lfi_mflow.errors import ConfigError, InputError
from lfi_mflow.training import Progress


def points(folder):
    """Read the curves as TensorBoard does: {tag: [(step, value)]}."""
    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(point.step, point.value) for point in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_epoch_is_a_point(tmp_path):
    with curves(tmp_path / "runs") as callback:
        callback(Progress("chart", 3, 20, 0.5, float("nan"), 1e-3, False))
        callback(Progress("chart", 10, 20, 0.25, 0.5, 1e-3, True))
        callback(Progress("chart", 20, 20, 0.125, float("nan"), 1e-3, True))
    found = points(tmp_path / "runs")
    assert found["chart/loss"] == [(10, 0.25), (20, 0.125)]
    assert found["chart/validation"] == [(10, 0.5)]
    assert [step for step, _ in found["chart/learning_rate"]] == [10, 20]


def test_nothing_is_written_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with curves(None) as callback:
        callback(Progress("chart", 10, 20, 0.25, 0.5, 1e-3, True))
    assert list(tmp_path.iterdir()) == []


def test_without_tensorboard_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match="pip install"), curves(tmp_path / "runs"):
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("a")
    with (
        pytest.raises(InputError, match="a folder for TensorBoard"),
        curves(tmp_path / "file" / "runs"),
    ):
        pass


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_train_draws_them(run, study, tmp_path):
    arguments = ["train", study.events, "--config", study.config, "-o", tmp_path / "m.mflow"]
    result = run(*arguments, "--tensorboard", tmp_path / "runs")
    assert result.status == 0, result.err
    found = points(tmp_path / "runs")
    assert {len(curve) for curve in found.values()} == {2}
    assert {tag.split("/")[0] for tag in found} == {"chart", "latent"}
