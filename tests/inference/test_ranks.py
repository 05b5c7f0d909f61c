import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lfi_mflow.inference.ranks import rejection_threshold, streamed_median


def in_blocks(values, size=7):
    """Read values anew in blocks of uneven sizes."""
    return lambda: (values[start : start + size] for start in range(0, len(values), size))


numbers = st.floats(0.0, width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=60, deadline=None)
@given(values=st.lists(numbers, min_size=1, max_size=40), bits=st.sampled_from([32, 64]))
def test_the_median_is_exact(values, bits):
    array = np.array(values, dtype=f"f{bits // 8}")
    assert streamed_median(in_blocks(array)) == np.sort(array)[(len(array) - 1) // 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_median_of_many(dtype):
    values = np.random.default_rng(0).lognormal(-3.0, 4.0, 20_001).astype(dtype)
    assert streamed_median(in_blocks(values, 3000)) == np.median(values)


def rejected(p, level):
    """Count by the definition: sort, and compare with the line."""
    below = np.sort(p) <= level * np.arange(1, len(p) + 1) / len(p)
    return int(np.flatnonzero(below)[-1]) + 1 if below.any() else 0


@settings(max_examples=100, deadline=None)
@given(
    p=st.lists(st.sampled_from([0.0, 1e-4, 2e-3, 0.01, 0.02, 0.05, 0.3, 1.0]), min_size=1),
    level=st.sampled_from([0.01, 0.1, 0.5]),
)
def test_the_threshold_rejects_what_the_definition_does(p, level):
    values = np.array(p)
    threshold = rejection_threshold(in_blocks(values), level)
    count = int(np.sum(values <= threshold)) if threshold else 0
    assert count == rejected(values, level)


def test_outliers_among_many_are_rejected():
    p = np.random.default_rng(1).uniform(size=50_000)
    assert rejection_threshold(in_blocks(p, 9000), 0.01) <= 1e-6
    p[::100] = 1e-7
    threshold = rejection_threshold(in_blocks(p, 9000), 0.01)
    assert np.sum(p <= threshold) == rejected(p, 0.01) >= 500
