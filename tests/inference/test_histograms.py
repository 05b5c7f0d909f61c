import json

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from lfi_mflow.errors import ConfigError, DataError, InputError
from lfi_mflow.inference import (
    Histogram,
    event_log_ratios,
    fill_histogram,
    pyhf_workspace,
    quantile_edges,
)

# pyhf 0.7 uses what newer versions of jsonschema announce the end of.
PYHF = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


@pytest.fixture
def histogram():
    """A function that makes a histogram of bins of width one."""

    def histogram(values, spread=None):
        values = np.asarray(values, dtype=float)
        variances = values if spread is None else np.square(np.asarray(spread, dtype=float))
        return Histogram(np.arange(len(values) + 1.0), values, variances)

    return histogram


@pytest.mark.parametrize("seed", range(5))
def test_sums_and_variances_are_those_of_hist(seed):
    hist = pytest.importorskip("hist")
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=1000), rng.normal(size=1000)
    edges = np.sort(rng.uniform(-1, 1, 8))
    x[:8] = edges
    ours = fill_histogram(x, edges, w)
    theirs = hist.Hist(hist.axis.Variable(edges), storage=hist.storage.Weight()).fill(x, weight=w)
    for name, array in (("values", ours.values), ("variances", ours.variances)):
        inside = getattr(theirs, name)(flow=True)
        inside[1] += inside[0]
        inside[-2] += inside[-1]
        np.testing.assert_allclose(array, inside[1:-1], atol=1e-12)


def test_quantiles_share_the_weights():
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=5000), rng.exponential(size=5000)
    edges = quantile_edges(x, 8, w)
    assert (edges[0], edges[-1]) == (x.min(), x.max())
    shares = fill_histogram(x, edges, w).values / w.sum()
    np.testing.assert_allclose(shares, 1 / 8, atol=2 * w.max() / w.sum())
    np.testing.assert_allclose(quantile_edges([3.0, 1.0, 2.0, 4.0], 2), [1.0, 2.5, 4.0])


def fit(workspace, mu=None):
    """Return pyhf's parameters and twice its log-likelihood, at a fixed mu or the best."""
    pyhf = pytest.importorskip("pyhf")
    space = pyhf.Workspace(json.loads(json.dumps(workspace)))
    model = space.model()
    data = space.data(model)
    if mu is None:
        return pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    return pyhf.infer.mle.fixed_poi_fit(mu, data, model, return_fitted_val=True)


@PYHF
def test_pyhf_finds_strength_one_in_what_is_expected(histogram):
    signal = histogram([1.0, 5.0, 9.0], [0.1, 0.3, 0.5])
    backgrounds = {"zz": histogram([40.0, 30.0, 20.0]), "top": histogram([5.0, 3.0, 0.0])}
    workspace = pyhf_workspace(signal, backgrounds)
    assert workspace["observations"][0]["data"] == [46.0, 38.0, 29.0]
    parameters, _ = fit(workspace)
    np.testing.assert_allclose(parameters, 1.0, atol=1e-3)


@PYHF
@pytest.mark.parametrize("spread", [0.01, 3.0, 10.0])
def test_pyhf_fits_the_formula_of_the_documentation(histogram, spread):
    """One bin: -2 log of Poisson(n | gamma (mu s + b)) times a normal of gamma, by scipy."""
    n, s, b = 60.0, 20.0, 30.0
    workspace = pyhf_workspace(histogram([s], [0.0]), {"b": histogram([b], [spread])}, [n])
    parameters, best = fit(workspace)
    assert parameters[0] == pytest.approx((n - b) / s, abs=1e-3)
    relative = spread / (s + b)
    for mu in (0.0, 1.0, 3.0):

        def minus_two_log(gamma, mu=mu):
            rate = gamma * (mu * s + b)
            return 2 * (rate - n * np.log(rate)) + ((gamma - 1) / relative) ** 2

        lowest = minimize_scalar(minus_two_log, bounds=(1e-3, 5), method="bounded")
        expected = lowest.fun - 2 * (n - n * np.log(n))
        assert fit(workspace, mu)[1] - best == pytest.approx(expected, abs=2e-3)


@PYHF
@pytest.mark.statistical
def test_the_learned_ratio_measures_the_strength(gaussian_flow):
    """Signal at theta = 1, background at 0; fails by chance in 1 of 16,000 (four sigma)."""
    flow, rng = gaussian_flow(1).double(), np.random.default_rng(4)

    def ratios(mean, n):
        return event_log_ratios(flow, rng.normal(mean, 0.7, (n, 1)), [1.0], [0.0])

    simulated = {"signal": ratios(1.0, 50_000), "background": ratios(0.0, 50_000)}
    edges = quantile_edges(simulated["background"], 10)
    filled = {
        name: fill_histogram(values, edges, np.full(50_000, total / 50_000))
        for (name, values), total in zip(simulated.items(), (200.0, 1000.0), strict=True)
    }
    observed = fill_histogram(
        np.concatenate([ratios(1.0, rng.poisson(300)), ratios(0.0, rng.poisson(1000))]), edges
    )
    workspace = pyhf_workspace(
        filled["signal"], {"background": filled["background"]}, observed.values
    )
    parameters, _ = fit(workspace)
    s, expected = filled["signal"].values, 1.5 * filled["signal"].values
    sigma = np.sum(s**2 / (expected + filled["background"].values)) ** -0.5
    assert sigma < 0.15
    assert abs(parameters[0] - 1.5) < 4 * sigma


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"signal": [1.0, -0.5]}, DataError, "'signal' that are not negative, found -0.5 in bin 1"),
        ({"background": [np.nan, 1.0]}, DataError, "'background' that are not negative"),
        ({"signal": [1.0, 0.0], "background": [1.0, 0.0]}, DataError, "none in bin 1"),
        ({"background": [1.0, 2.0, 3.0]}, InputError, "edges of the signal in 'background'"),
        ({"observed": [1.0]}, InputError, "observed events in 2 bins"),
        ({"observed": [1.0, -1.0]}, DataError, "not negative"),
        ({"observed": [1.0, np.nan]}, DataError, "not negative"),
    ],
)
def test_what_cannot_be_fitted(histogram, change, kind, words):
    spectra = {"signal": [1.0, 2.0], "background": [3.0, 4.0]} | change
    with pytest.raises(kind, match=words):
        pyhf_workspace(
            histogram(spectra["signal"], np.zeros(len(spectra["signal"]))),
            {"background": histogram(spectra["background"], np.zeros(len(spectra["background"])))},
            change.get("observed"),
        )


def test_a_name_that_is_taken(histogram):
    with pytest.raises(ConfigError, match="'signal'"):
        pyhf_workspace(histogram([1.0]), {"signal": histogram([1.0])})


@pytest.mark.parametrize("edges", [[0.0], [1.0, 0.0], [0.0, 0.0, 1.0], [[0.0, 1.0]], [0, np.nan]])
def test_edges_that_do_not_increase(edges):
    with pytest.raises(InputError, match="two edges that increase"):
        fill_histogram([0.5], edges)


def test_values_and_weights_that_do_not_fit():
    with pytest.raises(DataError, match="found 2 that are not"):
        fill_histogram([0.5, np.nan, np.inf], [0, 1])
    with pytest.raises(InputError, match=r"shapes \(2,\) and \(1,\)"):
        fill_histogram([0.5, 0.5], [0, 1], [1.0])
    with pytest.raises(DataError, match="1 negative ones"):
        quantile_edges([0.5, 0.7], 2, [1.0, -2.0])
    with pytest.raises(DataError, match="fewer bins"):
        quantile_edges([1.0] * 10 + [2.0], 5)
    with pytest.raises(InputError, match="at least one bin"):
        quantile_edges([1.0, 2.0], 0)
