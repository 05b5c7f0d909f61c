"""The sbibm benchmark: averages of flows, the choice of a candidate, results that go on."""

import argparse
import math

import numpy as np
import pytest
import torch

from lfi_mflow.flows import Dimensions, build_flow

TINY = {"transforms": 1, "bins": 2, "hidden": 4, "components": 1}


@pytest.fixture(scope="module")
def sbibm(script):
    script("sbibm_tasks")
    return script("sbibm")


def test_members_are_averaged_as_likelihoods(sbibm):
    flows = [build_flow("af", Dimensions(2, 2, 2), {"latent": TINY}).eval() for _ in range(2)]
    x, theta = torch.randn(3, 1, 2), torch.rand(3, 4, 2)
    found = sbibm.Mixture(flows, x)(theta)
    rows = x.expand(3, 4, 2).reshape(-1, 2), theta.reshape(-1, 2)
    wanted = torch.stack([flow.log_prob(*rows).exp() for flow in flows]).mean(0).log()
    torch.testing.assert_close(found, wanted.reshape(3, 4).double(), rtol=1e-4, atol=1e-4)


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
    flows, found = sbibm.train("two_moons", 2, lines.append)
    assert (len(flows), len(lines)) == (2, 2)
    assert found["chosen"]["name"] == "good"
    assert found["candidates"]["good"] < found["candidates"]["slow"]


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
