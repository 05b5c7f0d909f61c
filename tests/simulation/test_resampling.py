"""Signed weights made positive in cells, and draws in proportion to weights."""

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.simulation import resample_cells, resampling, systematic_counts


@pytest.fixture
def signed():
    """Events uniform in a square, a fifth of them with negative weights; the sum is 0.7 N."""
    rng = np.random.default_rng(1)
    x = rng.random((5000, 2)) * np.array([1.0, 1000.0])
    return x, np.where(rng.random(5000) < 0.2, -0.5, 1.0)


def test_weights_are_positive_and_keep_their_sum(signed):
    x, weight = signed
    cells = resample_cells(x, weight)
    assert cells.weight.min() >= 0.0
    assert cells.weight.sum() == pytest.approx(weight.sum(), rel=1e-12)
    assert 0 < len(cells.radius) == len(cells.size) <= np.count_nonzero(weight < 0.0)
    assert cells.size.min() >= 2


def test_nothing_changes_on_scales_larger_than_a_cell(signed):
    x, weight = signed
    cells = resample_cells(x, weight)
    unit = x / x.std(axis=0)
    assert np.median(cells.radius) < 0.1  # among 5,000 events a neighbour is 0.03 away
    edges = np.linspace(0.0, 1.0, 6)
    before, after = (
        np.histogram2d(*(x / np.array([1.0, 1000.0])).T, bins=[edges, edges], weights=w)[0]
        for w in (weight, cells.weight)
    )
    # what crosses an edge: events within a radius of it
    assert np.abs(after - before).max() < 0.1 * before.mean()
    assert unit.std() > 0


def test_events_far_from_negative_weights_keep_theirs(signed):
    x, weight = signed
    weight = np.where(x[:, 0] > 0.5, 1.0, weight)
    cells = resample_cells(x, weight)
    far = x[:, 0] > 0.5 + cells.radius.max() * x[:, 0].std()
    assert far.sum() > 1000
    assert np.array_equal(cells.weight[far], weight[far])


def test_the_unit_of_a_feature_and_constant_ones_do_not_matter(signed):
    x, weight = signed
    other = np.concatenate([x * 1e-7, np.full((len(x), 1), 3.0)], axis=1)
    first, second = resample_cells(x, weight), resample_cells(other, weight)
    np.testing.assert_allclose(first.weight, second.weight, rtol=1e-9)
    np.testing.assert_allclose(first.radius, second.radius, rtol=1e-6)


def test_positive_weights_stay(signed):
    cells = resample_cells(signed[0], np.abs(signed[1]))
    assert np.array_equal(cells.weight, np.abs(signed[1]))
    assert len(cells.radius) == 0


@pytest.mark.parametrize("neighbours", [2, 64])
def test_a_cell_grows_as_far_as_it_must(neighbours, monkeypatch):
    monkeypatch.setattr(resampling, "_NEIGHBOURS", neighbours)
    x = np.arange(100.0)[:, None]
    weight = np.full(100, 1.0)
    weight[0] = -20.5
    cells = resample_cells(x, weight)
    assert cells.size.tolist() == [22]
    assert cells.radius[0] == pytest.approx(21.0 / x.std())
    np.testing.assert_allclose(cells.weight[1:22], 0.5 / 41.5)
    assert cells.weight[0] == pytest.approx(20.5 * 0.5 / 41.5)
    assert np.all(cells.weight[22:] == 1.0)


def test_many_events_at_one_place(monkeypatch):
    monkeypatch.setattr(resampling, "_NEIGHBOURS", 3)
    x = np.array([[0.0]] * 50 + [[1.0]])
    weight = np.full(51, 0.1)
    weight[30], weight[50] = -1.0, 5.0
    cells = resample_cells(x, weight)
    assert cells.weight.min() >= 0.0
    assert cells.weight.sum() == pytest.approx(weight.sum())
    assert cells.weight[50] == 5.0
    assert cells.radius.tolist() == [0.0]


def test_what_cannot_be_made_positive():
    with pytest.raises(DataError, match="positive sum"):
        resample_cells(np.zeros((2, 1)), np.array([1.0, -1.0]))
    for x, weight in ((np.array([[np.nan], [0.0]]), np.ones(2)), (np.ones((2, 1)), [np.inf, 1.0])):
        with pytest.raises(DataError, match="finite"):
            resample_cells(x, np.asarray(weight))


def test_counts_are_expected_ones_rounded_up_or_down():
    rng = np.random.default_rng(3)
    weight = rng.random(1000) ** 4
    for n in (1, 37, 1000, 5001):
        counts = systematic_counts(weight, n, rng)
        expected = n * weight / weight.sum()
        assert counts.sum() == n
        assert np.all((counts == np.floor(expected)) | (counts == np.ceil(expected)))


def test_no_event_is_repeated_below_the_largest_weight():
    weight = np.random.default_rng(4).random(1000) + 0.01
    n = int(weight.sum() / weight.max())
    assert systematic_counts(weight, n, np.random.default_rng(5)).max() == 1


def test_events_without_weight_are_not_drawn():
    weight = np.zeros(10)
    weight[[2, 5]] = 1.0
    for seed in range(20):
        counts = systematic_counts(weight, 7, np.random.default_rng(seed))
        assert counts[[2, 5]].sum() == 7


def test_draws_are_seeded_and_unbiased():
    weight = np.array([1.0, 2.0, 3.0, 4.0])
    rng = np.random.default_rng(6)
    counts = np.mean([systematic_counts(weight, 3, rng) for _ in range(4000)], axis=0)
    np.testing.assert_allclose(counts, 0.3 * weight, atol=0.03)
    one, two = (systematic_counts(weight, 3, np.random.default_rng(0)) for _ in range(2))
    assert np.array_equal(one, two)
