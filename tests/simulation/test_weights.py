import numpy as np
import pytest

from lfi_mflow.errors import DataError
from lfi_mflow.simulation import WeightSummary, effective_sample_size


def test_effective_sample_size():
    assert effective_sample_size(np.ones(7)) == pytest.approx(7.0)
    assert effective_sample_size(np.array([1.0, 0.0, 0.0])) == pytest.approx(1.0)
    assert effective_sample_size(np.array([3.0, 1.0])) == pytest.approx(16.0 / 10.0)
    assert effective_sample_size(np.array([2.0, -1.0])) == pytest.approx(1.0 / 5.0)
    assert effective_sample_size(np.zeros(3)) == 0.0


def test_blocks_add_up():
    weight = np.random.default_rng(0).normal(0.3, 1.0, 100)
    whole, parts = WeightSummary.of([weight]), WeightSummary.of(np.split(weight, [7, 7, 60]))
    assert parts.n_events == whole.n_events == 100
    assert parts.negative == whole.negative == np.count_nonzero(weight < 0)
    assert parts.largest == whole.largest == weight.max()
    assert parts.effective_sample_size == pytest.approx(whole.effective_sample_size)
    assert parts.effective_sample_size == pytest.approx(weight.sum() ** 2 / (weight**2).sum())


def test_single_precision_is_summed_in_double():
    weight = np.full(2**25, 1.0, dtype=np.float32)
    weight[0] = 2.0**25
    assert WeightSummary.of([weight]).total == 2.0**26 - 1.0


@pytest.mark.parametrize(("share", "poor"), [(0.09, True), (0.11, False)])
def test_a_sample_is_poor_below_a_tenth(share, poor):
    weight = np.zeros(1000)
    weight[: int(share * 1000)] = 2.0
    assert WeightSummary.of([weight]).poor is poor


def test_what_no_mean_can_be_taken_with():
    for weight in (np.zeros(100), np.array([1.0, -2.0] * 100), np.array([])):
        with pytest.raises(DataError, match=r"weights in a file with a positive sum.*; mend it"):
            WeightSummary.of([weight]).check("in a file", "mend it")
    weight = np.ones(49)
    with pytest.raises(DataError, match=r"size of at least 50 in a file, found 49 of 49 events"):
        WeightSummary.of([weight]).check("in a file", "mend it")
    WeightSummary.of([np.ones(50)]).check("in a file", "mend it")
