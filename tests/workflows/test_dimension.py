"""The dimension study: manifolds of known dimension, their table, rules that fit together."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

WORKFLOWS = Path(__file__).parents[2] / "workflows"


@pytest.fixture
def records():
    """Two records, the second with a wrong answer."""
    rows = {"pca": {"value": 3.0, "uncertainty": None}, "mle": {"value": 1.9, "uncertainty": 0.05}}
    record = {
        "manifold": "sphere",
        "data_dim": 3,
        "n_points": 2000,
        "seed": 1,
        "n": 2,
        "latent_dim": 2,
        "uncertainty": 0.0,
        "estimates": rows,
        "cpu_seconds": {"pca": 0.1, "mle": 1.4},
    }
    return [record, {**record, "manifold": "torus", "n": 3}]


@pytest.mark.parametrize("name", ["linear", "sphere", "torus", "waves", "ripples", "paraboloid"])
def test_manifolds_have_their_dimension_at_every_point(script, name):
    """The tangents of points very near each other span n directions."""
    draw = script("dimension/manifolds.py").draw
    x = draw(name, 2, 9, 200_000, seed=3)
    assert x.shape == (200_000, 9)
    np.testing.assert_array_equal(x[:5], draw(name, 2, 9, 200_000, seed=3)[:5])
    near = x[np.argsort(((x - x[0]) ** 2).sum(axis=1))[:30]]
    spread = np.linalg.svd(near - near.mean(axis=0), compute_uv=False)
    assert spread[1] > 5 * spread[2]


def test_the_table_marks_wrong_answers(script, records, tmp_path):
    table = script("dimension/table.py")
    lines = table.markdown(records).splitlines()
    assert lines[0] == "The answer is n for 1 of 2 manifolds."
    assert lines[4] == "| sphere | 3 | 2,000 | 2 | 2 ± 0.00 | 3 | 1.9 ± 0.05 | 1.5 |"
    assert "| 3 | **2 ± 0.00** |" in lines[5]
    table.write_csv(tmp_path / "table.csv", records)
    with (tmp_path / "table.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["estimator"] for row in rows] == ["answer", "pca", "mle"] * 2
    assert rows[2]["value"] == "1.9"
    table.draw_figure(tmp_path / "figure.png", records)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_a_manifold_is_measured(script, tmp_path, monkeypatch):
    output = tmp_path / "sphere-2-3.json"
    options = ["--manifold", "sphere", "-n", "2", "-d", "3", "--size", "2000", "-o", str(output)]
    monkeypatch.setattr(sys, "argv", ["measure.py", *options])
    script("dimension/measure.py").main()
    record = json.loads(output.read_text())
    assert record["latent_dim"] == record["n"] == 2
    assert set(record["cpu_seconds"]) == set(record["estimates"])


@pytest.mark.parametrize(
    "options", [["--dry-run"], pytest.param(["--quiet"], marks=pytest.mark.slow)]
)
def test_the_rules_fit_together(snakemake, options, tmp_path):
    said = snakemake("dimension", tmp_path, *options)
    if "--dry-run" in options:
        assert "rule table" in said
    else:
        assert (tmp_path / "table.md").read_text().startswith("The answer is n for 3 of 3")
