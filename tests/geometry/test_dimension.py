"""Weighing estimates of the dimension."""

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.geometry import Estimate, prepare_points, skewed_log_weights, weigh


@pytest.fixture
def points():
    x = np.random.default_rng(1).standard_normal((200, 4))
    return prepare_points(np.column_stack([x, np.ones(200)]))


def estimate(name, *log_weights, cautions=()):
    return Estimate(name, 2.0, 0.1, np.array(log_weights, dtype=float), cautions=cautions)


def test_the_weights_are_the_product_of_the_likelihoods(points):
    found = weigh(points, [estimate("a", 0, 2, 0, 0), estimate("b", 0, 1, 2, 0)])
    expected = np.exp([0, 3, 2, 0])
    expected /= expected.sum()
    np.testing.assert_allclose(found.weights, expected)
    assert found.value == 2
    assert found.probability == pytest.approx(expected[1])
    spread = np.sqrt(expected @ [1, 0, 1, 4])
    assert found.uncertainty == pytest.approx(spread)


def test_a_rival_is_named(points):
    close = weigh(points, [estimate("a", -9, 1.0, 0.8, -9)])
    assert close.cautions[-1] == "n = 3 is nearly as probable as n = 2"
    clear = weigh(points, [estimate("a", -9, 9, 0, -9)])
    assert not any("probable" in words for words in clear.cautions)


def test_cautions_of_points_and_estimators_are_passed_on(points):
    found = weigh(points, [estimate("a", 0, 9, 0, 0, cautions=("beware",))])
    assert found.cautions == ("column 4 is constant, and was left out", "beware")
    table = found.to_table()
    assert table["latent_dim"] == 2
    assert table["data_dim"] == 5
    assert table["rank"] == 4
    assert table["estimates"]["a"]["value"] == 2.0


def test_errors_to_the_two_sides_differ():
    n = np.arange(1, 6)
    found = skewed_log_weights(5, 3.0, 0.5 * np.ones(5), 2.0 * np.ones(5))
    np.testing.assert_allclose(found, -0.5 * ((3 - n) / np.where(n < 3, 0.5, 2.0)) ** 2)


def test_no_estimate_is_no_answer(points):
    with pytest.raises(DataError, match="at least one estimate"):
        weigh(points, [])
