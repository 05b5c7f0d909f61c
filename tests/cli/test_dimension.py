"""The verb that estimates n, and training that uses it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lfi_mflow.data import EventMetadata, write_events
from lfi_mflow.flows import load_model
from lfi_mflow.simulation import Events, Observable


@pytest.fixture
def write(tmp_path):
    """Write features as an event file."""

    def write(x, name="events.h5", **columns):
        path = tmp_path / name
        observables = tuple(Observable(f"x{index}") for index in range(x.shape[1]))
        events = Events(theta=np.zeros((len(x), 0)), x=x, **columns)
        metadata = EventMetadata(parameters=(), observables=observables)
        write_events(path, metadata, [events], force=True)
        return path

    return write


@pytest.fixture
def circle():
    """Points on a circle, with a constant beside it."""
    angle = np.random.default_rng(1).uniform(0, 2 * np.pi, 1000)
    return np.stack([np.cos(angle), np.sin(angle), np.ones(1000)], axis=1)


def test_a_table_of_estimates_and_one_answer(run, study):
    result = run("dimension", study.events)
    assert result.status == 0
    for name in ("pca", "two-nn", "mle", "relations"):
        assert name in result.out
    last = result.out.splitlines()[-1]
    assert last.startswith(f"{study.events}: n = 2 ± ")
    assert last.endswith("of d = 3, from 2,000 events")


def test_the_record_and_the_figure_are_written(run, study, tmp_path):
    output, plots = tmp_path / "dimension.json", tmp_path / "figures"
    result = run("dimension", study.events, "-o", output, "--plots", plots, "--json")
    assert result.status == 0
    record = json.loads(result.out)
    assert json.loads(output.read_text()) == record
    assert record["latent_dim"] == 2
    assert record["rank"] == 3
    assert record["estimates"]["relations"]["value"] == 2
    assert record["estimates"]["two-nn"]["uncertainty"] > 0
    assert (plots / "dimension.png").read_bytes().startswith(b"\x89PNG")


def test_only_what_is_asked_for_is_estimated(run, study):
    record = json.loads(run("dimension", study.events, "--method", "mle", "--json").out)
    assert list(record["estimates"]) == ["mle"]


def test_fewer_events_can_be_looked_at(run, study):
    record = json.loads(run("dimension", study.events, "--events", "500", "--json").out)
    assert record["n_points"] == 500


def test_columns_that_do_not_count_are_named(run, write, circle):
    result = run("dimension", write(circle))
    assert "Warning: x2 is constant, and was left out" in result.err
    assert ": n = 1 ± " in result.out


def test_events_of_weight_zero_do_not_count(run, write, circle):
    weight = np.ones(1000)
    weight[:300] = 0.0
    result = run("dimension", write(circle, weight=weight), "--json")
    assert json.loads(result.out)["n_points"] == 700
    assert "300 events of weight zero were left out" in result.err


def test_bad_input_is_refused(refused, write, circle, study, tmp_path):
    few = write(circle[:60], "few.h5")
    assert "at least 100 different points" in refused(tmp_path, "dimension", few)
    assert "did you mean 'two-nn'" in refused(
        tmp_path, "dimension", study.events, "--method", "two-n"
    )
    copy = write(circle, "output.h5")
    assert "none of the inputs" in refused(tmp_path, "dimension", copy, "-o", copy, "--force")
    broken = circle.copy()
    broken[3, 1] = np.nan
    broken = write(broken, "broken.h5")
    assert "--drop-nonfinite" in refused(tmp_path, "dimension", broken)


def test_training_takes_the_estimate_and_says_why(run, study, tmp_path):
    output = tmp_path / "model.mflow"
    options = ("--config", study.config, "--threads", "1", "-o", output)
    result = run("train", study.events, "--latent-dim", "auto", *options)
    assert result.status == 0
    lines = [line for line in result.err.splitlines() if line.startswith("latent dimension")]
    assert len(lines) == 1
    assert lines[0].startswith("latent dimension n = 2 ± ")
    assert "relations 2" in lines[0]
    assert load_model(output).flow.latent_dim == 2


def test_training_cannot_take_an_estimate_without_a_manifold(refused, write, study, tmp_path):
    full = write(np.random.default_rng(2).standard_normal((500, 2)))
    output = tmp_path / "model.mflow"
    auto = ("--latent-dim", "auto", "-o", output)
    assert "fill all of them" in refused(tmp_path, "train", full, *auto)
    ambient = refused(tmp_path, "train", study.events, "--model", "af", *auto)
    assert "af, which takes all dimensions" in ambient
    assert "x>=1" in refused(tmp_path, "train", full, "--latent-dim", "0", "-o", output)
