"""Coverage of regions in the Higgs study: experiments drawn from a table, and the figure."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from lfi_mflow.inference.experiment import CountingExperiment
from lfi_mflow.inference.neyman import critical_values
from lfi_mflow.inference.regions import wilks

EVENTS, REPEAT = 25, 2_000


@pytest.fixture(scope="module")
def experiment():
    """Events x ~ N(theta, 1) in the plane: t is a chi-square of two degrees at any number."""

    def likelihood(x):
        def log_prob(theta):
            points = theta if theta.ndim == 3 else theta[None]
            squares = (x[:, None] - points[:, :, None]).square().sum(dim=(-1, -2))
            return -0.5 * squares

        return log_prob

    def rate(theta):
        return torch.full(theta.shape[:-1], float(EVENTS), dtype=torch.float64)

    return CountingExperiment(("a", "b"), np.full(2, -1.0), np.full(2, 1.0), likelihood, rate)


def _normal(theta, seed):
    noise = np.random.default_rng(seed).standard_normal(theta.shape)
    return theta + noise, None


@pytest.fixture
def coverage(script):
    return script("higgs_eft/limit_coverage.py")


@pytest.mark.statistical
def test_regions_of_an_exact_likelihood_cover_what_they_say(coverage, experiment):
    axes = (np.linspace(-1, 1, 41),) * 2
    place = (20, 22)
    data, toys = (
        coverage.Draws(experiment, axes, place, _normal, pool=8_000, seed=seed) for seed in (1, 2)
    )
    rng = np.random.default_rng(3)
    found = data.statistics(experiment, REPEAT, rng)
    critical = critical_values(toys.statistics(experiment, REPEAT, rng)[:, None], (0.68, 0.95))
    for level, value in zip((0.68, 0.95), critical[:, 0], strict=True):
        error = np.sqrt(level * (1 - level) / REPEAT)
        # The pool itself fluctuates, by sqrt(25 / 8,000) of the error of the parameters.
        assert np.mean(found <= value) == pytest.approx(level, abs=4.5 * error + 0.005)
        assert np.mean(found <= wilks(level, 2)) == pytest.approx(level, abs=4 * error + 0.01)


@pytest.mark.statistical
def test_a_likelihood_that_is_too_sure_covers_too_little(coverage, experiment):
    def overconfident(x):
        exact = experiment.likelihood(x)
        return lambda theta: 2.0 * exact(theta)

    sure = CountingExperiment(
        experiment.names, experiment.low, experiment.high, overconfident, experiment.rate
    )
    axes = (np.linspace(-1, 1, 41),) * 2
    data = coverage.Draws(sure, axes, (20, 20), _normal, pool=8_000, seed=1)
    found = data.statistics(sure, REPEAT, np.random.default_rng(4))
    # t is twice a chi-square of two degrees
    assert np.mean(found <= wilks(0.68, 2)) == pytest.approx(1 - np.sqrt(0.32), abs=0.05)


def test_the_figure_leaves_out_trainings_that_diverged(script, tmp_path, monkeypatch):
    kinds = {"wilks": [0.8, 0.97], "simulator": [0.68, 0.95]}
    rows = [
        {"events": events, "theta": [0.0, 0.0], "coverage": kinds, "critical": kinds}
        for events in (10, 200)
    ]
    record = {"label": "M-flow", "levels": [0.68, 0.95], "repeat": 300, "toys": 300, "rows": rows}
    paths = [tmp_path / "good.json", tmp_path / "diverged.json"]
    for path, table in zip(paths, (record, {**record, "rows": []}), strict=True):
        path.write_text(json.dumps(table))
    figure = script("higgs_eft/limit_coverage_figure.py")
    for chosen in (paths, paths[1:]):
        output = tmp_path / "coverage.png"
        arguments = ["limit_coverage_figure.py", *map(str, chosen), "-o", str(output)]
        monkeypatch.setattr(sys, "argv", arguments)
        figure.main()
        assert output.read_bytes().startswith(b"\x89PNG")
        output.unlink()
