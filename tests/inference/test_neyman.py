import numpy as np
import pytest

from lfi_mflow.errors import ConfigError
from lfi_mflow.inference.experiment import Constraint, DataSet
from lfi_mflow.inference.neyman import NeymanSettings, calibrate, ratio_statistics
from lfi_mflow.inference.regions import wilks

SETTINGS = NeymanSettings(toys=2_000, pool=20_000, seed=3, stride=10)


def run(experiment, source, x, axes, settings=SETTINGS, levels=(0.68, 0.95)):
    return calibrate(
        experiment,
        DataSet(x),
        axes,
        source,
        source_density=experiment.likelihood,
        levels=levels,
        settings=settings,
    )


@pytest.fixture
def x():
    return np.random.default_rng(3).normal(0.1, 1.0, (25, 1))


def test_where_wilks_is_exact_toys_agree_with_him(counting, normal_events, x):
    axes = (np.linspace(-1.4, 1.6, 101),)
    found = run(counting(None), normal_events, x, axes)
    inner = slice(30, 70)  # toys of truths near the ends have no room
    for level in (0.68, 0.95):
        values = found.joint[level][inner]
        assert values == pytest.approx(wilks(level, 1), rel=0.12)
        np.testing.assert_array_equal(found.single[level][0], found.joint[level])


def test_at_a_boundary_critical_values_are_those_of_half_a_chi_square(counting, normal_events, x):
    """A truth at the end of the range: t is zero for half of the toys (Chernoff 1954)."""
    found = run(counting(None), normal_events, x, (np.linspace(0.0, 2.0, 81),))
    assert found.joint[0.95][0] == pytest.approx(2.706, rel=0.12)
    assert found.joint[0.95][40] == pytest.approx(3.84, rel=0.12)


def test_two_parameters_one_of_which_counts_events(counting, normal_events, x):
    experiment = counting([25.0, 0, 20.0, 0, 0, 5.0], ("theta", "rate"), width=1.5)
    axes = np.linspace(-0.9, 1.1, 26), np.linspace(-1.0, 1.2, 26)
    settings = NeymanSettings(toys=600, pool=5_000, seed=1, stride=5)
    found = run(experiment, normal_events, x, axes, settings)
    middle = slice(10, 16)
    assert found.joint[0.68][middle, middle].mean() == pytest.approx(wilks(0.68, 2), rel=0.15)
    assert found.joint[0.95].shape == (26, 26)
    assert [len(line) for line in found.single[0.68]] == [26, 26]
    assert found.single[0.68][0][middle].mean() == pytest.approx(wilks(0.68, 1), rel=0.15)


def test_a_nuisance_parameter_is_profiled(counting, normal_events, x):
    experiment = counting(
        [20.0, 0, 8.0, 0, 0, 1.0], ("theta", "nu"), constraints=(Constraint(1, 0.1, 0.2),)
    )
    settings = NeymanSettings(toys=1_000, pool=5_000, seed=1, stride=10)
    found = run(experiment, normal_events, x, (np.linspace(-1.4, 1.6, 51),), settings)
    assert found.joint[0.95][20:31].mean() == pytest.approx(wilks(0.95, 1), rel=0.1)
    best = found.scan.axes[0][found.scan.statistic.argmin()]
    assert best == pytest.approx(x.mean(), abs=0.06)


@pytest.mark.statistical
def test_regions_by_toys_cover_where_those_of_wilks_do_not(counting, normal_events):
    """A truth next to the end of the range. False alarms of the coverage: 0.3 %."""
    experiment, axes = counting(None), (np.linspace(0.0, 2.0, 81),)
    data = np.random.default_rng(5).normal(0.05, 1.0, (1_000, 16, 1))
    mean = data[..., 0].mean(axis=1)[:, None]
    value = -8.0 * (axes[0] - mean) ** 2
    statistic = np.array([np.interp(0.05, axes[0], 2 * (row.max() - row)) for row in value])
    # The critical values change fast there: toys at every other node.
    fine = NeymanSettings(toys=2_000, pool=20_000, seed=3, stride=2)
    found = run(experiment, normal_events, data[0], axes, fine)
    for level in (0.68, 0.95):
        critical = np.interp(0.05, axes[0], found.joint[level])
        covered = np.mean(statistic <= critical)
        assert abs(covered - level) < 3 * np.sqrt(level * (1 - level) / 1_000) + 0.01
    assert np.mean(statistic <= wilks(0.68, 1)) > 0.75


def test_statistics_of_one_and_two_parameters():
    value = np.random.default_rng(0).normal(size=(7, 4, 5, 3))
    found = ratio_statistics(value, (2, 1))
    profiled = value.max(axis=-1)
    best = profiled.max(axis=(1, 2))
    np.testing.assert_allclose(found[:, 0], 2 * (best - profiled[:, 2, 1]))
    np.testing.assert_allclose(found[:, 1], 2 * (best - profiled[:, 2].max(axis=1)))
    np.testing.assert_allclose(found[:, 2], 2 * (best - profiled[:, :, 1].max(axis=1)))
    assert ratio_statistics(value[:, :, 0], (3,)).shape == (7, 2)


@pytest.mark.parametrize(("name", "value"), [("toys", 49), ("pool", 10), ("stride", 0)])
def test_too_small_sizes_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"expected {name} >= .* found {value}; raise it"):
        NeymanSettings(**{name: value})


def test_too_many_parameters_are_refused(counting, normal_events, x):
    constraints = tuple(Constraint(k, 0.0, 1.0) for k in (1, 2, 3))
    experiment = counting(None, ("a", "b", "c", "d"), constraints=constraints)
    with pytest.raises(ConfigError, match="at most 3 parameters for toys, nuisances included"):
        run(experiment, normal_events, x, (np.linspace(-1, 1, 11),))
