import numpy as np
import pytest
from scipy import stats

from lfi_mflow.errors import DataError
from lfi_mflow.inference import lie_off_manifold, off_manifold_events, off_manifold_p_value
from lfi_mflow.inference.off_manifold import tail_probabilities

LEVELS = np.linspace(0.0, 1.0, 1001)
SHAPES = {
    "normal": lambda rng, n: np.abs(rng.normal(size=n)),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "heavy": lambda rng, n: np.abs(rng.standard_t(3, size=n)),
    "bounded": lambda rng, n: rng.uniform(size=n),
}


def reference(shape, seed=0, n=25_000):
    return np.quantile(SHAPES[shape](np.random.default_rng(seed), n), LEVELS)


@pytest.mark.statistical
@pytest.mark.parametrize("events", [1, 10, 1_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_uniform_under_the_null_hypothesis(shape, events):
    rng = np.random.default_rng(events)
    p = [
        off_manifold_p_value(SHAPES[shape](rng, events), quantiles, 25_000)
        for quantiles in (reference(shape, seed) for seed in range(20))
        for _ in range(20)
    ]
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert np.mean(np.array(p) < 0.05) < 0.09


@pytest.mark.statistical
def test_many_events_and_a_small_reference_give_no_false_alarm():
    rng = np.random.default_rng(3)
    p = [
        off_manifold_p_value(SHAPES["normal"](rng, 20_000), reference("normal", seed, 2_000), 2_000)
        for seed in range(100)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.12


@pytest.mark.parametrize("events", [10, 100, 1_000])
def test_one_outlier_is_seen_and_named(events):
    distances = SHAPES["normal"](np.random.default_rng(1), events)
    distances[7] = 10.0
    quantiles = reference("normal")
    assert off_manifold_p_value(distances, quantiles, 25_000) < 0.01
    assert off_manifold_events(distances, quantiles).tolist() == [7]


def test_a_few_among_many_are_seen():
    distances = SHAPES["normal"](np.random.default_rng(1), 1_000)
    distances[:20] = np.linspace(3.0, 4.0, 20)
    assert off_manifold_p_value(distances, reference("normal"), 25_000) < 1e-3


def test_a_shift_of_all_is_seen_and_smaller_distances_are_fine():
    distances = SHAPES["normal"](np.random.default_rng(1), 1_000)
    assert off_manifold_p_value(1.2 * distances, reference("normal"), 25_000) < 1e-3
    assert off_manifold_p_value(0.5 * distances, reference("normal"), 25_000) > 0.3


def test_events_far_off_are_all_named_farthest_first():
    distances = SHAPES["normal"](np.random.default_rng(1), 50)
    distances[[3, 40]] = [20.0, 1e6]
    assert off_manifold_events(distances, reference("normal")).tolist() == [40, 3]
    everything = off_manifold_events(distances + 100.0, reference("normal"))
    assert len(everything) == 50


def test_tail_probabilities():
    quantiles = reference("exponential", n=1_000_000)
    t = np.array([0.0, 0.1, 1.0, 3.0, 6.0, 12.0])
    np.testing.assert_allclose(tail_probabilities(t[:4], quantiles), np.exp(-t[:4]), rtol=0.02)
    np.testing.assert_allclose(np.log(tail_probabilities(t[4:], quantiles)), -t[4:], rtol=0.2)
    fine = tail_probabilities(np.linspace(0, 30, 1_000), quantiles)
    assert (np.diff(fine) <= 0).all()
    assert ((fine > 0) & (fine <= 1)).all()


def test_a_flow_without_off_manifold_directions():
    assert off_manifold_p_value(np.zeros(20), np.zeros(1001)) == 1.0
    assert len(off_manifold_events(np.zeros(20), np.zeros(1001))) == 0
    assert off_manifold_p_value([0.0] * 19 + [1.0], np.zeros(1001)) == pytest.approx(1e-4)


def test_same_data_same_p_value_and_no_global_seed():
    distances = SHAPES["normal"](np.random.default_rng(1), 33)
    state = np.random.get_state()[1].copy()
    first = off_manifold_p_value(distances, reference("normal"))
    assert first == off_manifold_p_value(distances[::-1], reference("normal"))
    assert (np.random.get_state()[1] == state).all()


@pytest.mark.parametrize("bad", [[], [[1.0]], [1.0, np.nan], [1.0, -0.1], [np.inf]])
def test_useless_distances_are_refused(bad):
    with pytest.raises(DataError, match="distances"):
        off_manifold_p_value(bad, LEVELS)
    with pytest.raises(DataError, match="reference quantiles"):
        off_manifold_p_value([1.0], LEVELS[:10])


@pytest.mark.parametrize(
    ("p_value", "named", "ratio", "off"),
    [
        (None, 0, None, False),
        (0.2, 0, 1.0, False),
        (1e-4, 0, 1.1, False),  # many events, and a difference that does not matter
        (1e-4, 0, 2.5, True),
        (1e-4, 3, 1.0, True),
        (1e-4, 0, None, True),
    ],
)
def test_only_what_matters_is_called_off_the_manifold(p_value, named, ratio, off):
    summary = {
        "off_manifold_p_value": p_value,
        "off_manifold_events": named,
        "distance_ratio": ratio,
    }
    assert lie_off_manifold(summary) is off
