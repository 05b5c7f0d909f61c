"""The atlas study: what compares models on manifolds of their own, and all toys in one table."""

from __future__ import annotations

import csv
import math
import sys

import numpy as np
import pytest


def test_log_prob_with_noise_is_that_of_the_density_with_noise(script):
    """One point with noise is a normal density, whose mean logarithm is minus its entropy."""
    overview = script("atlas/overview.py")
    events = overview.NOISE * np.random.default_rng(1).standard_normal((40_000, 3))
    entropy = 1.5 * (math.log(2 * math.pi * overview.NOISE**2) + 1)
    found = overview.noisy_log_prob(np.zeros((3, 3)), events)
    assert found == pytest.approx(-entropy, abs=0.02)


def test_a_sample_of_another_distribution_has_the_smaller_log_prob_with_noise(script):
    overview, rng = script("atlas/overview.py"), np.random.default_rng(2)
    draws = 0.3 * rng.standard_normal((3, 3_000, 3))
    events = draws[0] + overview.NOISE * rng.standard_normal((3_000, 3))
    truth = overview.noisy_log_prob(draws[1], events)
    for other in (0.5 * draws[2], 2 * draws[2], draws[2] + 0.2):
        assert overview.noisy_log_prob(other, events) < truth - 0.05


def test_precision_and_recall_are_shares_within_the_radius(script):
    within = script("atlas/overview.py").within
    points = np.array([[0.0, 0, 0], [1.0, 0, 0], [1.04, 0, 0], [5.0, 0, 0]])
    assert within(points, points[1:2]) == 0.5
    assert within(points[1:2], points) == 1.0


@pytest.mark.slow
def test_toys_make_one_table_and_one_figure(script, snakemake, monkeypatch, tmp_path):
    folder, rows = tmp_path / "twisted-eight", ["realnvp", "vq-realnvp"]
    snakemake("atlas", folder, "--quiet", "--config", "figures=[]")
    paths = {name: tmp_path / f"all.{name}" for name in ("csv", "markdown", "figure")}
    options = [part for name, path in paths.items() for part in (f"--{name}", str(path))]
    monkeypatch.setattr(sys, "argv", ["overview.py", str(folder), "--rows", *rows, *options])
    script("atlas/overview.py").main()
    with paths["csv"].open() as handle:
        lines = list(csv.DictReader(handle))
    assert [line["row"] for line in lines] == ["truth", *rows]
    assert {line["toy"] for line in lines} == {"twisted-eight"}
    assert [line["charts"] for line in lines] == ["", "1", "64"]
    assert paths["markdown"].read_text().count("\n| twisted-eight |") == 3
    assert paths["figure"].read_bytes().startswith(b"\x89PNG")
