import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.simulation import Events


@pytest.fixture
def events() -> Events:
    return Events(
        theta=np.arange(5.0)[:, None],
        x=np.arange(10.0).reshape(5, 2),
        weight=np.arange(5.0) + 1.0,
    )


def test_length_and_columns(events):
    assert len(events) == 5
    assert list(events.columns()) == ["theta", "x", "weight"]


@pytest.mark.parametrize(
    "rows", [slice(1, 3), np.array([1, 2]), np.array([False, True, True, False, False])]
)
def test_rows_are_taken_from_every_column(events, rows):
    some = events[rows]
    assert len(some) == 2
    np.testing.assert_array_equal(some.theta[:, 0], [1.0, 2.0])
    np.testing.assert_array_equal(some.x, [[2.0, 3.0], [4.0, 5.0]])
    np.testing.assert_array_equal(some.weight, [2.0, 3.0])
    assert some.score is None


def test_concatenate_undoes_cutting(events):
    joined = Events.concatenate([events[:2], events[2:]])
    for name, array in events.columns().items():
        np.testing.assert_array_equal(joined.columns()[name], array)


def test_concatenate_refuses_other_columns(events):
    plain = Events(theta=events.theta, x=events.x)
    for batches in ([events, plain], [plain, events]):
        with pytest.raises(DataError, match="weight"):
            Events.concatenate(batches)
    with pytest.raises(DataError, match="at least one batch"):
        Events.concatenate([])


def test_observed_events_need_no_theta():
    assert len(Events(theta=np.empty((3, 0)), x=np.zeros((3, 2)))) == 3


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": np.zeros(3)}, r"x of shape \(N, columns\), found shape \(3,\)"),
        ({"theta": np.zeros(3)}, "theta of shape"),
        ({"theta": np.zeros((2, 1))}, "3 rows in theta, as in x, found 2"),
        ({"weight": np.zeros(4)}, "3 rows in weight, as in x, found 4"),
        ({"latent": np.zeros((1, 1))}, "3 rows in latent"),
    ],
)
def test_shapes_that_do_not_fit(columns, message):
    with pytest.raises(DataError, match=message):
        Events(**({"theta": np.zeros((3, 1)), "x": np.zeros((3, 2))} | columns))
