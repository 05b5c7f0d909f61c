"""TARP on conjugate posteriors, with reference points that see shifts."""

from __future__ import annotations

import numpy as np
import pytest

from lfi_mflow.closure import one_sided, sbc_p_value, sbc_ranks, tarp_p_value, tarp_ranks
from lfi_mflow.errors import DataError

L = 99


def _p_value(rng, conjugate, *, mirrored=True, **fault):
    theta, draws, *_ = conjugate(rng, sets=300, **fault)
    reference = rng.normal(size=theta.shape)
    if mirrored:
        reference = one_sided(reference, draws)
    return tarp_p_value(tarp_ranks(theta, draws, reference, np.ones(theta.shape[1]), rng), L)


def test_nearer_draws_are_counted(rng):
    draws = np.array([[[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0]]])
    theta, reference = np.array([[0.0, 2.5]]), np.zeros((1, 2))
    assert tarp_ranks(theta, draws, reference, np.ones(2), rng) == [2]
    # In units of ten the second parameter hardly counts.
    assert tarp_ranks(theta, draws, reference, np.array([1.0, 10.0]), rng) == [0]


def test_reference_points_lie_below_the_mean(rng):
    draws = rng.normal(size=(50, 20, 3))
    points = rng.normal(size=(50, 3))
    mirrored = one_sided(points, draws)
    centre = draws.mean(axis=1)
    assert np.all(mirrored <= centre)
    assert np.allclose(np.abs(mirrored - centre), np.abs(points - centre))


@pytest.mark.statistical
@pytest.mark.parametrize("p", [1, 3])
def test_level(p, rng, conjugate, share_below):
    # 5 expected; P(> 12) = 0.15 %
    assert share_below(lambda: _p_value(rng, conjugate, p=p), 0.05, 100) <= 0.12


@pytest.mark.statistical
@pytest.mark.parametrize("fault", [{"width": 0.7}, {"width": 1.4}, {"shift": 0.5}])
@pytest.mark.parametrize("p", [1, 2])
def test_power(p, fault, rng, conjugate, share_below):
    assert share_below(lambda: _p_value(rng, conjugate, p=p, **fault), 0.05, 40) >= 0.95


@pytest.mark.statistical
def test_shifts_cancel_without_mirrors(rng, conjugate, share_below):
    assert share_below(lambda: _p_value(rng, conjugate, mirrored=False, shift=0.5), 0.05, 40) < 0.8


@pytest.mark.statistical
def test_wrong_correlations_are_seen_though_ranks_are_fine(rng, conjugate):
    joint, single = [], []
    for _ in range(40):
        theta, draws, *_ = conjugate(rng, sets=300, p=2)
        # Draws of the same marginals and a correlation that is not there.
        centre = draws.mean(axis=1, keepdims=True)
        first, second = np.moveaxis(draws - centre, -1, 0)
        draws = np.stack([first, 0.9 * first + np.sqrt(1 - 0.81) * second], axis=-1) + centre
        reference = one_sided(rng.normal(size=theta.shape), draws)
        joint.append(tarp_p_value(tarp_ranks(theta, draws, reference, np.ones(2), rng), L))
        single.append(sbc_p_value(sbc_ranks(theta, draws, rng), L))
    assert np.mean(np.less(single, 0.05)) <= 0.2
    assert np.mean(np.less(joint, 0.05)) >= 0.8


def test_points_of_other_sets_are_refused(rng):
    with pytest.raises(DataError, match="true parameters"):
        tarp_ranks(np.zeros((3, 1)), np.zeros((2, 5, 1)), np.zeros((2, 1)), np.ones(1), rng)
    with pytest.raises(DataError, match="reference points"):
        one_sided(np.zeros((2, 2)), np.zeros((2, 5, 1)))
