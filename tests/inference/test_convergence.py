import numpy as np
import pytest

from lfi_mflow.errors import InputError
from lfi_mflow.inference import convergence, ess_bulk, ess_tail, r_hat


def autoregressive(shape, rho, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    for t in range(1, shape[-1]):
        x[..., t] = rho * x[..., t - 1] + np.sqrt(1 - rho**2) * x[..., t]
    return x


def cases():
    rng = np.random.default_rng(7)
    yield "independent", rng.normal(size=(4, 1000))
    yield "odd number of draws", rng.normal(size=(4, 333))
    yield "one chain", autoregressive((1, 600), 0.5)
    yield "slow", autoregressive((4, 800), 0.95)
    yield "antithetic", autoregressive((4, 500), -0.6)
    yield "many short chains", autoregressive((32, 160), 0.3)
    yield "heavy tails", rng.standard_cauchy(size=(4, 500))
    yield "one chain apart", rng.normal(size=(4, 500)) + np.array([[0.0], [0.0], [0.0], [2.0]])
    yield "one chain wider", rng.normal(size=(4, 500)) * np.array([[1.0], [1.0], [1.0], [4.0]])
    yield "ties", rng.integers(0, 4, size=(4, 500)).astype(float)
    yield "very short", rng.normal(size=(4, 8))


@pytest.mark.parametrize("draws", [pytest.param(draws, id=name) for name, draws in cases()])
def test_same_numbers_as_arviz(arviz, draws):
    if len(draws) > 1:  # of one chain arviz gives none
        assert r_hat(draws) == pytest.approx(float(arviz.rhat(draws)), rel=1e-9)
    assert ess_bulk(draws) == pytest.approx(float(arviz.ess(draws, method="bulk")), rel=1e-6)
    assert ess_tail(draws) == pytest.approx(float(arviz.ess(draws, method="tail")), rel=1e-6)


def test_leading_dimensions_are_separate():
    draws = np.stack(
        [draws[:4, :300] for _, draws in cases() if min(draws.shape) >= 4 and draws.shape[1] >= 300]
    )
    together = convergence(draws)
    for row, single in enumerate(draws):
        one = convergence(single)
        assert together.r_hat[row] == pytest.approx(one.r_hat)
        assert together.ess_bulk[row] == pytest.approx(one.ess_bulk)
        assert together.ess_tail[row] == pytest.approx(one.ess_tail)
        assert together[row].ess == pytest.approx(min(one.ess_bulk, one.ess_tail))


@pytest.mark.statistical
@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_effective_sample_size_of_an_autoregressive_process(rho):
    draws = autoregressive((50, 4, 2000), rho)
    expected = 8000 * (1 - rho) / (1 + rho)
    assert ess_bulk(draws).mean() == pytest.approx(expected, rel=0.06)


def test_r_hat_sees_location_scale_and_drift():
    draws = np.random.default_rng(0).normal(size=(4, 1000))
    assert r_hat(draws) < 1.005
    assert r_hat(draws + np.array([[0.0], [0.0], [0.0], [1.0]])) > 1.05
    assert r_hat(draws * np.array([[1.0], [1.0], [1.0], [3.0]])) > 1.05
    assert r_hat(draws + np.linspace(0, 2, 1000)) > 1.05


def test_r_hat_does_not_depend_on_a_monotone_map_but_for_folding():
    draws = np.random.default_rng(0).normal(size=(4, 500))
    assert ess_bulk(np.exp(5 * draws)) == pytest.approx(ess_bulk(draws))
    assert np.isfinite(r_hat(np.exp(50 * draws)))


def test_numbers_that_are_not_finite_give_nan_and_are_not_within_limits():
    draws = np.random.default_rng(0).normal(size=(2, 4, 100))
    draws[1, 2, 3] = np.inf
    quality = convergence(draws)
    for values in (quality.r_hat, quality.ess_bulk, quality.ess_tail):
        assert np.isfinite(values[0])
        assert np.isnan(values[1])
    assert not quality.within(2.0, 1.0)
    assert quality[0].within(1.1, 50.0)
    assert not quality[0].within(1.1, 5_000.0)


def test_constant_draws():
    assert np.isnan(r_hat(np.ones((4, 100))))
    assert ess_bulk(np.ones((4, 100))) == 400


def test_too_few_draws_are_refused():
    with pytest.raises(InputError, match="at least 4 draws"):
        r_hat(np.zeros((4, 3)))
