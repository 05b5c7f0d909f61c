"""``lfi-mflow merge``: what many jobs have simulated, as one file."""

import json

import pytest

from lfi_mflow.data import open_events


@pytest.fixture
def parts(run, tmp_path):
    """Files of 300 and 500 events with different seeds."""
    paths = [tmp_path / "1.h5", tmp_path / "2.h5"]
    for seed, (path, n) in enumerate(zip(paths, (300, 500), strict=True)):
        simulate = ("simulate", "polynomial-surface", "-n", n, "--seed", seed)
        assert run(*simulate, "-o", path).status == 0
    return paths


def test_parts_become_one_file_that_can_be_trained_on(run, parts, tmp_path):
    output = tmp_path / "all.h5"
    result = run("merge", *parts, "-o", output)
    assert result.status == 0
    assert result.out.strip() == f"{output}: 800 events of 2 files"
    with open_events(output) as file:
        assert len(file) == 800
    trained = run("train", output, "--epochs", 1, "-o", tmp_path / "model.mflow")
    assert trained.status == 0
    assert "polynomial-surface" in run("info", output).out


def test_parts_can_be_trained_on_without_being_merged(run, parts, study, tmp_path):
    model = tmp_path / "model.mflow"
    train = ("train", *parts, "--config", study.config, "--latent-dim", "auto", "--threads", 1)
    trained = run(*train, "-o", model, "--json")
    assert trained.status == 0
    assert json.loads(trained.out)["n_events"] == 800
    assert json.loads(run("info", model, "--json").out)["n_events"] == 800
    onto = run("train", *parts, "-o", parts[1], "--force")
    assert "an output that is none of the inputs" in onto.err
    twice = run("train", *parts, parts[0], "-o", tmp_path / "m")
    assert twice.status == 2
    assert "events twice" in twice.err


def test_the_record(run, parts, tmp_path):
    record = json.loads(run("merge", *parts, "--json", "-o", tmp_path / "all.h5").out)
    assert record["n_events"] == 800
    assert record["n_files"] == 2


def test_what_is_wrong_is_one_line(run, parts, tmp_path):
    same = run("merge", parts[0], parts[0], "-o", tmp_path / "all.h5")
    assert same.status == 2
    assert "events twice" in same.err
    onto = run("merge", *parts, "-o", parts[0], "--force")
    assert onto.status == 2
    assert "an output that is none of the inputs" in onto.err
    alone = run("merge", parts[0], "-o", tmp_path / "all.h5")
    assert "two event files or more" in alone.err
