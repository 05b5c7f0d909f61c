"""The sbibm benchmark: averages of flows, the choice of a candidate, results that go on."""

import argparse
import math

import numpy as np
import pytest
import torch

TINY = {"transforms": 1, "bins": 2, "hidden": 4, "components": 1}


@pytest.fixture(scope="module")
def sbibm(script):
    script("sbibm_tasks")
    return script("sbibm")


def test_events_of_one_data_set_are_validated_together(sbibm):
    """Four points of one observation: their likelihoods multiply, and none is trained on."""
    x, theta = sbibm.simulated("slcp")
    points = sbibm.Candidate("points", TINY, epochs=1, events=4)
    flow, value = points.train(x[:50], theta[:50], seed=1)
    held_out = torch.randperm(50, generator=torch.Generator().manual_seed(sbibm.SEED))[45:]
    sets = points.sets(x[held_out])
    log_prob = flow.log_prob(sets.flatten(0, 1), theta[held_out].repeat_interleave(4, dim=0))
    assert sets.shape == (5, 4, 2)
    assert value == pytest.approx(log_prob.reshape(5, 4).sum(1).mean().item(), rel=1e-4)


def test_every_task_has_candidates_and_targets(sbibm):
    assert set(sbibm.CANDIDATES) == set(sbibm.TARGETS) == set(sbibm.TASKS)
    for candidates in sbibm.CANDIDATES.values():
        assert len({candidate.name for candidate in candidates}) == len(candidates) > 1


def test_the_best_on_validation_events_is_chosen(sbibm, monkeypatch):
    monkeypatch.setattr(sbibm, "SIMULATIONS", 600)
    slow, good = (
        sbibm.Candidate(name, TINY, epochs=epochs, learning_rate=rate)
        for name, epochs, rate in (("slow", 1, 1e-6), ("good", 3, 2e-2))
    )
    monkeypatch.setitem(sbibm.CANDIDATES, "two_moons", (slow, good))
    lines = []
    best, flows, found = sbibm.train("two_moons", None, 2, lines.append)
    assert (len(flows), len(lines)) == (2, 2)
    assert best.name == found["chosen"]["name"] == "good"
    assert found["validation_log_prob"]["good"] > found["validation_log_prob"]["slow"]
    best, _, _ = sbibm.train("two_moons", ["slow"], 1, lines.append)
    assert best.name == "slow"


def test_results_go_on(sbibm, tmp_path):
    path = tmp_path / "sbibm.json"
    results = sbibm.Results(path, force=False)
    results.row("exact likelihood", "slcp")["c2st"]["1"] = 0.5
    results.save()
    again = sbibm.Results(path, force=False)
    assert again.row("exact likelihood", "slcp")["c2st"] == {"1": 0.5}
    assert sbibm.Results(path, force=True).table == {}


def test_a_run_compares_with_the_references(sbibm, monkeypatch, tmp_path):
    """The exact likelihood of two_moons, 200 draws, a folder of references made here."""
    simulator, rng = sbibm.TASKS["two_moons"], np.random.default_rng(1)
    x = simulator.simulate(np.array([[0.2, 0.5]]), rng).x[0]
    reference = simulator.sample_exactly(x, 200, rng)
    monkeypatch.setattr(sbibm, "reference_folder", lambda: tmp_path)
    monkeypatch.setattr(sbibm, "reference_samples", lambda folder, task, k: (x, reference))
    results = sbibm.Results(tmp_path / "sbibm.json", force=False)
    options = argparse.Namespace(exact=True, observations=[1], samples=200, members=1)
    sbibm.run("two_moons", options, results)
    row = results.table["exact likelihood"]["two_moons"]
    assert row["c2st"]["1"] == row["mean"] == pytest.approx(0.5, abs=4.5 * math.sqrt(0.25 / 400))
    sbibm.run("two_moons", options, results)  # nothing is left to do
    assert results.table["exact likelihood"]["two_moons"] == row
