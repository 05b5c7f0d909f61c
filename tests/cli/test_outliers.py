"""Events off the manifold: listed, explained, left out."""

import dataclasses
import json

import numpy as np
import pytest

from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.flows import Dimensions, Model, build_flow, load_model, save_model
from lfi_mflow.inference import load_posterior
from lfi_mflow.simulation import Events, Observable


@pytest.fixture
def x(study):
    """Features of events of the simulator."""
    with open_events(study.events) as file:
        return file.read(slice(0, 30)).x


@pytest.fixture
def observe(tmp_path):
    """A function that writes observed events."""

    def observe(x):
        metadata = EventMetadata((), tuple(Observable(f"x{i}") for i in range(3)))
        events = Events(theta=np.empty((len(x), 0)), x=x)
        write_events(tmp_path / "o.h5", metadata, [events], force=True)
        return tmp_path / "o.h5"

    return observe


@pytest.fixture
def infer(run, study, observe, tmp_path):
    """Infer from events with a grid."""

    def infer(x, *options):
        command = ["infer", study.model, "--observed", observe(x), "--method", "grid"]
        return run(*command, "-o", tmp_path / "p.nc", "--force", "--threads", 1, *options)

    return infer


def test_they_are_left_out_and_both_posteriors_are_shown(infer, x, tmp_path):
    x[7] += 40.0
    kept = json.loads(infer(np.delete(x, 7, axis=0), "--json").out)
    everything = json.loads(infer(x, "--json").out)
    record = json.loads(infer(x, "--without-outliers", "--json").out)
    assert (record["observed_events"], record["n_events"], record["removed_events"]) == (30, 29, 1)
    assert record["off_manifold_rows"] == [7]
    assert record["parameters"] == kept["parameters"]
    assert record["with_outliers"]["parameters"] == everything["parameters"]
    assert record["off_manifold_p_value"] == kept["off_manifold_p_value"]
    assert 0 < record["expected_loss"] < 0.01
    data = load_posterior(tmp_path / "p.nc").data
    assert np.flatnonzero(~data.used).tolist() == [7]

    lines = infer(x, "--without-outliers").out.splitlines()
    assert "1 of 30 events off the manifold:" in lines
    header = next(line for line in lines if "shift / sd" in line)
    row = lines[lines.index(header) + 2].split()
    assert float(row[1]) == pytest.approx(everything["parameters"]["theta"]["mean"], abs=1e-3)
    assert float(row[3]) == pytest.approx(kept["parameters"]["theta"]["mean"], abs=1e-3)
    assert any(line.startswith("1 of 30 events removed; the cut takes about") for line in lines)


def test_all_are_used_where_none_is_off(infer, x):
    result = infer(x, "--without-outliers")
    assert result.status == 0
    assert "no event is off the manifold: all are used" in result.out


def test_rows_are_those_of_the_file(infer, x):
    x[2, 1] = np.nan
    x[7] += 40.0
    record = json.loads(infer(x, "--drop-nonfinite", "--json").out)
    assert record["off_manifold_rows"] == [7]
    assert "(rows 7)" in infer(x, "--drop-nonfinite").err


def test_many_are_not_all_listed(infer, x):
    x[:20] += 40.0
    result = infer(x)
    assert "20 of 30 events off the manifold, the farthest 10:" in result.out


def test_observables_that_are_broken_in_all_events_are_named(infer, x):
    assert "residuals are wider" not in infer(x).err
    result = infer(x + [0.0, 0.0, 20.0])  # noqa: RUF005 - arrays
    assert "the residuals are wider than those of validation events in x" in result.err
    record = json.loads(infer(x + [0.0, 0.0, 20.0], "--json").out)  # noqa: RUF005
    assert record["residual_widths"].keys() == {"x0", "x1", "x2"}
    assert max(record["residual_widths"].values()) > 5


def test_a_model_without_a_manifold_cannot_leave_any_out(refused, study, tmp_path):
    metadata = load_model(study.model).metadata
    settings = {"latent": {"transforms": 1, "hidden": 8}}
    dimensions = Dimensions(3, 3, 1)
    metadata = dataclasses.replace(
        metadata, preset="af", dimensions=dimensions, settings=settings, training={}
    )
    save_model(Model(build_flow("af", dimensions, settings), metadata), tmp_path / "af.mflow")
    command = ["infer", tmp_path / "af.mflow", "--observed", study.observed, "--method", "grid"]
    line = refused(tmp_path, *command, "--without-outliers", "-o", tmp_path / "p.nc")
    assert "af, which fills the whole space of observables: no event is off" in line


def test_something_must_be_left(refused, study, observe, x, tmp_path):
    command = ["infer", study.model, "--observed", observe(x + 1e3), "--method", "grid"]
    line = refused(tmp_path, *command, "--without-outliers", "-o", tmp_path / "p.nc")
    assert "expected some observed events on the manifold, found none of 30" in line


GRAPH = """
[settings.chart]
hidden = 32
layers = 1
blocks = 2

[settings.latent]
transforms = 1
hidden = 8
bins = 4

[[phases]]
name = "chart"
objective = "reconstruction"
epochs = 5
batch_size = 200
learning_rate = 2e-2

[[phases]]
name = "latent"
objective = "latent-likelihood"
epochs = 1
batch_size = 500
learning_rate = 1e-2
"""


def test_background_in_a_file_that_we_have_not_written(run, tmp_path, data_folder):
    (tmp_path / "graph.toml").write_text(GRAPH)
    events, model = tmp_path / "e.h5", tmp_path / "m.mflow"
    assert (
        run("simulate", "polynomial-surface", "-n", 10_000, "--seed", 1, "-o", events).status == 0
    )
    train = ["train", events, "--config", tmp_path / "graph.toml", "--threads", 1, "-o", model]
    assert run(*train).status == 0
    columns = [word for name in "abc" for word in ("--observable", f"feature_{name}")]
    infer = ["infer", model, "--observed", data_folder / "observed_events.root", *columns]
    records = {}
    for tree in ("events", "events_with_background"):
        options = ["--tree", tree, "--method", "grid", "--without-outliers", "--json"]
        result = run(*infer, *options, "-o", tmp_path / f"{tree}.nc")
        assert result.status == 0, result.err
        records[tree] = json.loads(result.out)
    assert records["events"]["removed_events"] == 0
    background = records["events_with_background"]
    # Found by their distances to the exact surface: the last five are not near it.
    assert sorted(background["off_manifold_rows"]) == [195, 196, 197, 198, 199]
    assert (background["removed_events"], background["n_events"]) == (5, 195)
    assert background["off_manifold_p_value"] > 0.01
