"""A flow as numpy functions: the same numbers, batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lfi_mflow.closure.evaluation import FlowEvaluator


@pytest.fixture
def events(surface, prior, rng):
    theta = prior.sample(4_500, rng)  # two full batches and a part of one
    return surface.simulate(theta, rng)


def test_densities_are_those_of_the_simulator(make_flow, surface, events):
    found = FlowEvaluator(make_flow()).log_prob(events.x, events.theta)
    assert found.dtype == np.float64
    assert np.allclose(found, surface.log_prob(events.x, events.theta), atol=1e-12)


def test_projections_are_on_the_surface(make_flow, surface, events):
    off = surface.perturb(events.x, np.random.default_rng(0))
    assert surface.distance(FlowEvaluator(make_flow()).project(off, events.theta)).max() < 1e-12


def test_distances_and_latents_are_those_of_the_chart(make_flow, surface, events):
    evaluator = FlowEvaluator(make_flow(lift=0.02))
    assert evaluator.distance(events.x, events.theta) == pytest.approx(
        np.full(4_500, 0.02), abs=1e-9
    )
    u = evaluator.encode(events.x, events.theta)
    assert np.allclose(surface.surface(u), events.x, atol=1e-9)


def test_samples_follow_the_seed_and_not_the_global_state(make_flow, events):
    evaluator = FlowEvaluator(make_flow())
    state = torch.get_rng_state()
    first, again = (evaluator.sample(events.theta, seed=3) for _ in range(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, evaluator.sample(events.theta, seed=4))
    assert torch.equal(torch.get_rng_state(), state)
    # The batches continue one stream: no two of them are the same.
    assert not np.allclose(first[:500], first[2_000:2_500])


def test_arrays_take_the_precision_of_the_flow(make_flow):
    evaluator = FlowEvaluator(make_flow().float())
    assert evaluator.tensor(np.zeros((2, 3))).dtype == torch.float32


def test_dropout_and_the_like_are_off(make_flow):
    flow = make_flow().train()
    FlowEvaluator(flow)
    assert not flow.training
