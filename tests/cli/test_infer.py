"""The parameters of observed events."""

import json

import numpy as np
import pytest
import uproot

from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.inference import Posterior, load_posterior
from lfi_mflow.simulation import Events, Observable, Parameter

KEYS = {"mean", "sd", "q16", "q50", "q84", "r_hat", "ess"}


@pytest.fixture
def infer(run, study, tmp_path):
    """Infer from a file, the study's observed events by default, with a grid."""

    def infer(*options, observed=study.observed, method="grid"):
        command = ["infer", study.model, "--observed", observed, "--method", method]
        return run(*command, "-o", tmp_path / "p.nc", "--force", "--threads", 1, *options)

    return infer


@pytest.mark.parametrize("method", ["grid", "mcmc"])
def test_json_has_the_numbers_of_the_posterior(infer, tmp_path, method):
    record = json.loads(infer("--json", method=method).out)
    theta = record["parameters"]["theta"]
    assert theta.keys() >= KEYS
    assert theta["q16"] < theta["q50"] < theta["q84"]
    assert theta["r_hat"] < 1.05
    assert 0 < record["off_manifold_p_value"] <= 1
    assert record["seconds"] > 0
    assert record["n_events"] == 10
    draws = load_posterior(tmp_path / "p.nc").draws
    assert draws.mean() == pytest.approx(theta["mean"], abs=5 * theta["sd"] / theta["ess"] ** 0.5)


def test_the_table_has_the_same_numbers(infer):
    record, result = json.loads(infer("--json").out), infer()
    header, row = (
        next(line.split() for line in result.out.splitlines() if line.startswith(word))
        for word in ("parameter", "theta")
    )
    assert header == ["parameter", "mean", "sd", "q16", "q50", "q84", "R-hat", "ESS"]
    assert float(row[1]) == pytest.approx(record["parameters"]["theta"]["mean"], abs=1e-3)
    assert float(row[2]) == pytest.approx(record["parameters"]["theta"]["sd"], abs=1e-3)
    assert "posterior of 10 events by grid, off-manifold p-value" in result.out.splitlines()[-1]


def test_both_methods_agree(infer):
    means = [
        json.loads(infer("--json", method=method).out)["parameters"]["theta"]
        for method in ("grid", "mcmc")
    ]
    assert means[0]["mean"] == pytest.approx(means[1]["mean"], abs=0.1 * means[0]["sd"])
    assert means[0]["sd"] == pytest.approx(means[1]["sd"], rel=0.1)


def test_the_seed_makes_it_reproducible(infer, tmp_path):
    draws = []
    for seed in (1, 1, 2):
        infer("--seed", seed)
        draws.append(load_posterior(tmp_path / "p.nc").draws)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_first_events_are_used(infer, study, tmp_path):
    infer("--events", 4)
    with open_events(study.observed) as file:
        assert np.allclose(load_posterior(tmp_path / "p.nc").observed, file.read().x[:4])


def test_the_prior_is_used(infer, tmp_path):
    assert infer("--prior", "theta ~ uniform(0.1, 0.2)").status == 0
    draws = load_posterior(tmp_path / "p.nc").draws
    assert draws.min() >= 0.1
    assert draws.max() <= 0.2


def test_the_file_says_where_it_comes_from(infer, study, tmp_path):
    infer()
    provenance = load_posterior(tmp_path / "p.nc").provenance
    assert provenance["model"] == str(study.model)
    assert provenance["observed"] == str(study.observed)
    assert "version_torch" in provenance


def test_a_posterior_is_replaced_only_by_force(run, refused, study, tmp_path):
    (tmp_path / "p.nc").write_bytes(b"old")
    infer = ["infer", study.model, "--observed", study.observed, "-o", tmp_path / "p.nc"]
    assert "add --force" in refused(tmp_path, *infer)


def write_observed(path, x, **columns):
    """Write observed events of the study's observables."""
    metadata = EventMetadata((), tuple(Observable(f"x{i}") for i in range(3)))
    events = Events(theta=np.empty((len(x), 0)), x=x, **columns)
    write_events(path, metadata, [events], force=False)
    return path


@pytest.fixture
def x(study):
    """Features of events of the simulator."""
    with open_events(study.events) as file:
        return file.read(slice(0, 30)).x


def test_events_off_the_manifold_are_warned_of(infer, x, tmp_path):
    assert "Warning" not in infer().err
    x[7] += 40.0
    result = infer(observed=write_observed(tmp_path / "o.h5", x))
    assert result.status == 0
    assert "Warning: the observed events do not lie on the learned manifold (p = " in result.err
    assert "(rows 7)" in result.err


def test_many_outliers_are_not_all_named(infer, x, tmp_path):
    result = infer(observed=write_observed(tmp_path / "o.h5", x + 40.0))
    assert "and 20 more" in result.err


@pytest.fixture
def summarise(monkeypatch):
    """Let every posterior say of itself what a test wants."""
    summary = Posterior.summary

    def summarise(change):
        def changed(self):
            record = summary(self)
            change(record)
            return record

        monkeypatch.setattr(Posterior, "summary", changed)

    return summarise


def test_chains_that_have_not_mixed_are_warned_of_and_seen_by_scripts(infer, summarise, tmp_path):
    summarise(lambda record: record["parameters"]["theta"].update(r_hat=1.2))
    result = infer(method="mcmc")
    assert "Warning: the chains of theta have not mixed (R-hat 1.200)" in result.err
    assert result.status == 3
    assert load_posterior(tmp_path / "p.nc").parameters == ("theta",)


def test_few_independent_draws_are_warned_of(infer, summarise):
    summarise(lambda record: record["parameters"]["theta"].update(ess=60.0))
    result = infer()
    assert "the draws of theta are worth only 60 independent ones" in result.err
    assert result.status == 0


def test_divergences_and_an_unresolved_grid_are_seen_by_scripts(infer, summarise):
    summarise(lambda record: record["sampler"].update(divergences=9, draws=5_000))
    result = infer()
    assert "9 trajectories diverged" in result.err
    assert result.status == 3
    summarise(lambda record: record["sampler"].update(error=0.3))
    assert "the grid has not resolved the posterior" in infer().err


def test_by_the_gradient_with_divergences_in_the_file(infer, tmp_path):
    record = json.loads(infer("--json", method="hmc").out)
    assert record["method"] == "hmc"
    posterior = load_posterior(tmp_path / "p.nc")
    assert posterior.diverging.shape == posterior.log_prob.shape
    assert record["sampler"]["divergences"] == posterior.diverging.sum()


def test_several_models_and_how_they_disagree(run, study, infer, tmp_path):
    other = tmp_path / "other.mflow"
    train = ["train", study.events, "--config", study.config, "--threads", 1, "--seed", 5]
    assert run(*train, "-o", other).status == 0
    command = ["infer", study.model, other, "--observed", study.observed, "--method", "grid"]
    result = run(*command, "--threads", 1, "-o", tmp_path / "p.nc")
    assert result.status == 0, result.err
    row = load_posterior(tmp_path / "p.nc").statistics["theta"]
    assert row["mean_spread"] > 0
    cells = next(line.split() for line in result.out.splitlines() if line.startswith("theta"))
    assert float(cells[8]) == pytest.approx(row["mean_spread"], rel=1e-2)
    alone = json.loads(infer("--json").out)["parameters"]["theta"]
    assert abs(row["mean"] - alone["mean"]) < 5 * row["mean_spread"]


def test_conditions_are_read_from_the_observed_file(run, study, tmp_path):
    with open_events(study.events) as file:
        events = file.read()
    c = np.random.default_rng(0).uniform(-1, 1, (len(events), 1))
    parameters = tuple(Parameter(name, -1.0, 1.0) for name in ("theta", "c"))
    observables = tuple(Observable(f"x{i}") for i in range(3))
    training = Events(theta=np.hstack([events.theta, c]), x=events.x)
    write_events(tmp_path / "t.h5", EventMetadata(parameters, observables), [training], force=False)
    metadata = EventMetadata(parameters[1:], observables)
    write_events(tmp_path / "o.h5", metadata, [Events(theta=c[:30], x=events.x[:30])], force=False)
    train = ["train", tmp_path / "t.h5", "--config", study.config, "--threads", 1]
    assert run(*train, "--latent-dim", 2, "-o", tmp_path / "m.mflow").status == 0
    command = ["infer", tmp_path / "m.mflow", "--observed", tmp_path / "o.h5", "--threads", 1]
    result = run(*command, "--condition", "c", "--json", "-o", tmp_path / "p.nc")
    assert result.status == 0, result.err
    assert json.loads(result.out)["parameters"].keys() == {"theta"}
    missing = run(*command, "--condition", "theta", "-o", tmp_path / "q.nc")
    assert missing.status == 2
    assert "the condition(s) theta among the columns of theta" in missing.err


def test_dropped_events_are_counted(infer, x, tmp_path):
    x[[2, 4], 1] = np.nan
    path = write_observed(tmp_path / "o.h5", x)
    result = infer("--drop-nonfinite", "--json", observed=path)
    assert "28 of 30 events; 2 dropped, not finite (x1: 2)" in result.err
    record = json.loads(result.out)
    assert (record["n_events"], record["dropped"]) == (28, 2)


def test_event_weights_are_warned_of(infer, x, tmp_path):
    path = write_observed(tmp_path / "o.h5", x, weight=np.ones(len(x)))
    assert "the event weights in" in infer(observed=path).err


@pytest.fixture
def root_file(x, tmp_path):
    """The events in two trees, under the names of the observables and others."""
    with uproot.recreate(tmp_path / "o.root") as file:
        file["named"] = {f"x{i}": x[:, i] for i in range(3)}
        file["others"] = {name: x[:, i] / 2 for i, name in enumerate("abc")}
    return tmp_path / "o.root"


def test_branches_are_found_by_name_or_option_or_mapping(infer, x, root_file, tmp_path):
    expected = json.loads(infer("--json", observed=write_observed(tmp_path / "o.h5", x)).out)
    (tmp_path / "map.toml").write_text("tree = 'others'\nobservables = ['2 * a', '2 * b', '2*c']\n")
    columns = [word for name in "abc" for word in ("--observable", f"{name} * 2")]
    for options in (
        ["--tree", "named"],
        ["--tree", "others", *columns],
        ["--mapping", tmp_path / "map.toml"],
    ):
        result = infer("--json", *options, observed=root_file)
        assert result.status == 0, result.err
        assert json.loads(result.out)["parameters"] == expected["parameters"]


def test_branches_are_found_by_the_mapping_of_the_training_events(
    run, study, x, root_file, tmp_path
):
    mapping = {"tree": "others", "observables": ["x0 = 2*a", "x1 = 2*b", "x2 = 2*c"]}
    with open_events(study.events) as file:
        events = file.read()
    metadata = EventMetadata(
        (Parameter("theta", -1.0, 1.0),),
        tuple(Observable(f"x{i}") for i in range(3)),
        provenance={"imported_from": "mc.root", "mapping": json.dumps(mapping)},
    )
    write_events(tmp_path / "mc.h5", metadata, [events], force=False)
    model = tmp_path / "m.mflow"
    train = ["train", tmp_path / "mc.h5", "--config", study.config, "--latent-dim", 2]
    assert run(*train, "-o", model).status == 0
    result = run("infer", model, "--observed", root_file, "-o", tmp_path / "p.nc")
    assert result.status == 0, result.err
    assert np.allclose(load_posterior(tmp_path / "p.nc").observed, x)


@pytest.mark.parametrize("tree", ["events", "events_with_background"])
def test_observed_events_that_we_have_not_written(infer, data_folder, tree):
    columns = [word for name in "abc" for word in ("--observable", f"feature_{name}")]
    path = data_folder / "observed_events.root"
    result = infer("--tree", tree, *columns, "--json", observed=path)
    assert result.status == 0, result.err
    record = json.loads(result.out)
    assert record["n_events"] >= 200
    assert record["parameters"]["theta"]["sd"] < 0.5
