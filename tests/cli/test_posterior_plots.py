"""Figures of a posterior as PNG files."""

import json

import numpy as np
import pytest

from lfi_mflow import plots
from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.simulation import Events, Observable

PNG = b"\x89PNG"


@pytest.fixture
def command(study, tmp_path):
    """The command that infers and draws."""
    infer = ["infer", study.model, "--observed", study.observed, "--method", "grid"]
    return [*infer, "--threads", 1, "-o", tmp_path / "p.nc", "--plots", tmp_path / "plots"]


def test_the_figures_are_written_and_not_replaced(run, refused, command, tmp_path):
    result = run(*command, "--json")
    assert result.status == 0, result.err
    record = json.loads(result.out)
    names = ["corner", "profile", "predictive", "off_manifold"]
    assert record["plots"] == [str(tmp_path / "plots" / f"{name}.png") for name in names]
    assert record["predictive_p_values"].keys() == {"x0", "x1", "x2"}
    for path in (tmp_path / "plots").iterdir():
        assert path.read_bytes().startswith(PNG)
    assert len(list((tmp_path / "plots").iterdir())) == len(names)
    (tmp_path / "p.nc").unlink()
    line = refused(tmp_path, *command)
    assert "plots/corner.png, found one that exists" in line
    assert run(*command, "--force").status == 0


def test_both_posteriors_are_drawn_where_events_were_removed(run, study, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "posterior_figures", lambda *_, **found: drawn.append(found) or {})
    with open_events(study.events) as file:
        x = file.read(slice(0, 20)).x
    for shift in (0.0, 40.0):
        x[7] += shift
        metadata = EventMetadata((), tuple(Observable(f"x{i}") for i in range(3)))
        events = Events(theta=np.empty((20, 0)), x=x)
        write_events(tmp_path / "o.h5", metadata, [events], force=True)
        infer = ["infer", study.model, "--observed", tmp_path / "o.h5", "--method", "grid"]
        options = ["--without-outliers", "--plots", tmp_path / "plots", "--force"]
        assert run(*infer, *options, "-o", tmp_path / "p.nc").status == 0
    assert drawn[0]["others"] is None
    assert drawn[1]["others"].keys() == {"all events"}


def test_a_folder_that_is_none_is_refused(refused, command, tmp_path):
    (tmp_path / "plots").write_text("a file")
    assert "expected a folder for the figures" in refused(tmp_path, *command)
    command[-1] = tmp_path / "none" / "plots"
    assert "mkdir -p" in refused(tmp_path, *command)


def test_bad_input_leaves_no_folder(refused, command, tmp_path):
    command[3] = tmp_path / "none.h5"
    refused(tmp_path, *command)
