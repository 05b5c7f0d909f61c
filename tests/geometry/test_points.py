"""What is left out of points, and in which coordinates they are given."""

import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.geometry import prepare_points


@pytest.fixture
def plane():
    """Points on a plane in four dimensions."""
    rng = np.random.default_rng(1)
    return rng.standard_normal((400, 2)) @ rng.standard_normal((2, 4))


def test_points_are_in_the_axes_of_their_span(plane):
    points = prepare_points(plane)
    assert (len(points), points.rank, points.data_dim) == (400, 2, 4)
    covariance = np.cov(points.z.T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(points.spectrum[:2]), atol=1e-10)
    assert points.spectrum.sum() == pytest.approx(4.0)
    assert points.cautions == ()


def test_single_precision_does_not_raise_the_rank(plane):
    shifted = (plane + 100.0).astype(np.float32)
    points = prepare_points(shifted)
    assert points.rank == 2
    assert points.rounding > 1e-6


def test_copies_are_left_out_with_a_word(plane):
    points = prepare_points(np.concatenate([plane, plane[:50]]))
    assert len(points) == 400
    assert points.cautions == ("50 of 450 events are copies of others, and were left out",)


def test_constant_and_discrete_columns_are_left_out_with_a_word(plane):
    x = np.column_stack([plane, np.ones(400), np.arange(400) % 3])
    points = prepare_points(x, [f"x{index}" for index in range(6)])
    assert points.rank == 2
    assert points.data_dim == 6
    assert points.cautions[0] == "x4 is constant, and was left out"
    assert points.cautions[1].startswith("x5 takes 3 values only")


def test_what_has_no_unit_is_given_by_exponentials_beside_what_has_one(plane):
    lifts = prepare_points(plane, units=["GeV", "GeV", "", "rad"]).lifts
    assert list(lifts) == ["as they are", "exponentials"]
    assert lifts["exponentials"].shape == (400, 6)
    assert list(prepare_points(plane, units=["", "", "", ""]).lifts) == ["as they are"]
    assert list(prepare_points(plane, units=["GeV"] * 4).lifts) == ["as they are"]


def test_exponentials_of_large_numbers_are_not_taken(plane):
    lifts = prepare_points(plane * [1.0, 1.0, 1.0, 1e3], units=["GeV", "GeV", "", ""]).lifts
    assert lifts["exponentials"].shape[1] <= 5


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (np.zeros((500, 3)), "at least 100 different points"),
        (np.random.default_rng(2).standard_normal((99, 3)), "at least 100 different points"),
        (np.arange(500.0)[:, None] % 2 + np.zeros((1, 2)), "at least 100 different points"),
        (np.full((200, 2), np.nan), "finite events"),
        (np.zeros(5), "shape (N, d)"),
    ],
)
def test_what_has_no_dimension_is_refused(x, said):
    with pytest.raises(DataError) as caught:
        prepare_points(x)
    assert said in str(caught.value)


def test_columns_that_are_all_discrete_are_refused():
    x = np.stack(np.meshgrid(*[np.arange(8.0)] * 3), axis=-1).reshape(-1, 3)
    with pytest.raises(DataError, match="varies continuously"):
        prepare_points(x)
