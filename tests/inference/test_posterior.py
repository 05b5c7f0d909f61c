import json
import math
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

from lfi_mflow.errors import FileFormatError, InputError, ModelMismatchError
from lfi_mflow.inference import (
    ObservedEvents,
    Posterior,
    grid_posterior,
    infer_posterior,
    load_posterior,
    sample_posterior,
)
from lfi_mflow.simulation.priors import Normal, Prior, Uniform

PRIOR = Prior((Normal(0.5, 0.1), Uniform(-1.0, 1.0)))


def density(theta):
    return -0.5 * ((theta[..., 0] - 0.5) / 0.1) ** 2 + theta[..., 1]


@pytest.fixture
def data():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    return ObservedEvents(x, ("px", "py", "pz"), 0.25, np.array([2, 4]))


@pytest.fixture
def by_mcmc(data, generator):
    draws = sample_posterior(density, PRIOR, generator=generator)
    return Posterior.from_draws(("mass", "width"), draws, data, seconds=1.5)


@pytest.fixture
def by_grid(data, generator):
    grid = grid_posterior(density, PRIOR)
    return Posterior.from_grid(("mass", "width"), grid, data, generator=generator, draws=1_000)


@pytest.fixture(params=["by_mcmc", "by_grid"])
def posterior(request):
    return request.getfixturevalue(request.param)


def test_summary_is_what_infer_prints(by_mcmc):
    summary = json.loads(json.dumps(by_mcmc.summary(), allow_nan=False))
    assert set(summary["parameters"]) == {"mass", "width"}
    row = summary["parameters"]["mass"]
    assert {"mean", "sd", "q16", "q50", "q84", "r_hat", "ess"} <= set(row)
    assert row["mean"] == pytest.approx(by_mcmc.draws[..., 0].mean())
    assert row["sd"] == pytest.approx(0.1, rel=0.1)
    assert row["q16"] < row["q50"] < row["q84"]
    assert row["r_hat"] <= 1.01
    assert row["ess"] > 400
    assert summary["off_manifold_p_value"] == 0.25
    assert summary["seconds"] == 1.5


def test_summary_of_a_grid_is_exact(by_grid):
    row = by_grid.summary()["parameters"]["mass"]
    assert row["mean"] == pytest.approx(0.5, abs=1e-6)
    assert row["sd"] == pytest.approx(0.1, rel=1e-4)
    assert row["q84"] == pytest.approx(0.5 + 0.1 * 0.99446, rel=1e-3)
    assert row["ess"] == pytest.approx(1_000, rel=0.3)


def test_log_prob_belongs_to_the_draws(posterior):
    expected = density(torch.tensor(posterior.draws)).numpy()
    core = expected > expected.max() - 4
    np.testing.assert_allclose(posterior.log_prob[core], expected[core], atol=0.05)


def test_nan_is_written_as_null(data):
    posterior = Posterior(
        ("mass",),
        np.zeros((2, 4, 1)),
        np.zeros((2, 4)),
        "mcmc",
        {"mass": {"mean": 0.0, "r_hat": math.nan}},
        ObservedEvents(data.x, data.observables),
    )
    summary = posterior.summary()
    assert summary["parameters"]["mass"]["r_hat"] is None
    assert summary["off_manifold_p_value"] is None


def test_round_trip(posterior, tmp_path):
    path = tmp_path / "posterior.nc"
    posterior.save(path)
    loaded = load_posterior(path)
    np.testing.assert_array_equal(loaded.draws, posterior.draws)
    np.testing.assert_array_equal(loaded.log_prob, posterior.log_prob)
    np.testing.assert_array_equal(loaded.observed, posterior.observed)
    np.testing.assert_array_equal(loaded.data.off_manifold_events, [2, 4])
    assert loaded.observed.dtype == np.float32
    assert loaded.summary() == posterior.summary()
    assert loaded.provenance == posterior.provenance
    assert loaded.sampler == posterior.sampler
    assert loaded.data.observables == ("px", "py", "pz")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore")  # those of arviz and xarray are not ours
def test_arviz_opens_the_file(arviz, by_mcmc, tmp_path):
    by_mcmc.save(tmp_path / "posterior.nc")
    opened = arviz.from_netcdf(str(tmp_path / "posterior.nc"))
    np.testing.assert_array_equal(opened.posterior["mass"], by_mcmc.draws[..., 0])
    np.testing.assert_array_equal(opened.observed_data["x"], by_mcmc.observed)
    np.testing.assert_array_equal(opened.sample_stats["lp"], by_mcmc.log_prob)
    assert opened.posterior["mass"].dims == ("chain", "draw")
    table = arviz.summary(opened, round_to="none")
    row = by_mcmc.summary()["parameters"]["width"]
    assert table.loc["width", "r_hat"] == pytest.approx(row["r_hat"], rel=1e-6)
    assert table.loc["width", "ess_bulk"] == pytest.approx(row["ess_bulk"], rel=1e-6)
    assert table.loc["width", "ess_tail"] == pytest.approx(row["ess_tail"], rel=1e-6)


def test_files_that_are_not_posteriors(by_mcmc, tmp_path):
    path = tmp_path / "posterior.nc"
    with pytest.raises(FileFormatError, match="no such file"):
        load_posterior(path)
    path.write_text("not HDF5")
    with pytest.raises(FileFormatError, match="an HDF5 posterior file at"):
        load_posterior(path)
    with h5py.File(path, "w") as file:
        file["x"] = [1.0]
    with pytest.raises(FileFormatError, match="found none"):
        load_posterior(path)
    by_mcmc.save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileFormatError, match="lfi-mflow infer"):
        load_posterior(path)
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        header = json.loads(file.attrs["lfi_mflow"])
        file.attrs["lfi_mflow"] = json.dumps({**header, "schema_version": 99})
    with pytest.raises(FileFormatError, match="found 99"):
        load_posterior(path)


def test_changed_values_are_found(by_mcmc, tmp_path):
    path = tmp_path / "posterior.nc"
    by_mcmc.save(path)
    content = path.read_bytes()
    with h5py.File(path, "r+") as file:
        file["posterior/mass"][0, 0] += 1e-9
    with pytest.raises(FileFormatError, match="other values than its SHA-256 says"):
        load_posterior(path)
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        header = file.attrs["lfi_mflow"]
        file.attrs["lfi_mflow"] = header.replace('"method": "mcmc"', '"method": "grid"')
    with pytest.raises(FileFormatError, match="other values"):
        load_posterior(path)
    with h5py.File(path, "r+") as file:
        del file.attrs["lfi_mflow_sha256"]  # as the first files were
    assert load_posterior(path).method == "grid"


def test_no_flipped_bit_changes_what_is_read(by_mcmc, tmp_path):
    path = tmp_path / "posterior.nc"
    by_mcmc.save(path)
    content, rng = path.read_bytes(), np.random.default_rng(1)
    for place in rng.integers(0, len(content), size=150).tolist():
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found = load_posterior(path)
        except FileFormatError:
            continue
        np.testing.assert_array_equal(found.draws, by_mcmc.draws)
        assert found.summary() == by_mcmc.summary()


@pytest.mark.parametrize("names", [("mass",), ("mass", "draw"), ("mass", "a/b")])
def test_names_that_do_not_fit_are_refused(by_mcmc, names):
    with pytest.raises(InputError):
        Posterior(names, by_mcmc.draws, by_mcmc.log_prob, "mcmc", {}, by_mcmc.data)


@pytest.fixture
def model(gaussian_flow):
    metadata = SimpleNamespace(
        events=SimpleNamespace(parameter_names=("theta",), observable_names=("x",)),
        training={
            "distance_quantiles": np.linspace(0, 1, 1001).tolist(),
            "n_validation": 25_000,
        },
    )
    return SimpleNamespace(flow=gaussian_flow(1), metadata=metadata)


@pytest.mark.statistical
@pytest.mark.parametrize("method", ["mcmc", "grid"])
def test_inference_in_one_call(model, conjugate, method):
    exact = conjugate(30)
    posterior = infer_posterior(model, exact.x, prior=exact.prior, method=method, seed=3)
    row = posterior.summary()["parameters"]["theta"]
    assert row["mean"] == pytest.approx(exact.mean.item(), abs=0.05 * exact.sd)
    assert row["sd"] == pytest.approx(exact.sd, rel=0.05)
    assert posterior.method == method
    assert posterior.off_manifold_p_value == 1.0  # all distances of this flow are zero
    assert posterior.seconds > 0
    again = infer_posterior(model, exact.x, prior=exact.prior, method=method, seed=3)
    np.testing.assert_array_equal(again.draws, posterior.draws)


def test_inference_refuses_what_the_model_does_not_know(model, conjugate):
    exact = conjugate(5, dim=2)
    with pytest.raises(InputError, match="events of shape"):
        infer_posterior(model, exact.x, prior=Prior((Normal(0.0, 1.0),)))
    with pytest.raises(ModelMismatchError, match="1 parameter"):
        infer_posterior(model, exact.x[:, :1], prior=exact.prior)
