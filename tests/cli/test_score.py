"""Events on and off the manifold."""

import json

import numpy as np
import pytest
import uproot

from lfi_mflow.data import EventMetadata, open_events, write_events
from lfi_mflow.flows import load_model
from lfi_mflow.inference import ScoreFile, score_events
from lfi_mflow.simulation import Events, Observable, Parameter


@pytest.fixture
def score(run, study, tmp_path):
    """Score a file, the study's observed events by default."""

    def score(*options, events=study.observed):
        output = ["-o", tmp_path / "s.h5", "--force", "--threads", 1]
        return run("score", study.model, events, *output, *options)

    return score


@pytest.fixture
def x(study):
    """Features of events of the simulator."""
    with open_events(study.events) as file:
        return file.read(slice(0, 60)).x


def write(path, x, **columns):
    """Write events of unknown theta."""
    metadata = EventMetadata((), tuple(Observable(f"x{i}") for i in range(3)))
    events = Events(theta=np.empty((len(x), 0)), x=x, **columns)
    write_events(path, metadata, [events], force=False)
    return path


def test_the_line_and_json_say_the_same(score, study, tmp_path):
    record, line = json.loads(score("--json").out), score().out
    assert line.startswith(
        f"{tmp_path / 's.h5'}: 10 events, median distance to the manifold "
        f"{record['median_distance']:.3g}, {record['off_manifold_events']} events off the manifold"
    )
    assert record["n_events"] == 10
    assert record["log_prob"] is True
    assert record["events_per_second"] > 0


def test_the_file_holds_what_the_model_says(score, study, tmp_path):
    score()
    with open_events(study.observed) as file:
        events = file.read()
    expected = score_events(load_model(study.model), events.x, events.theta)
    with ScoreFile(tmp_path / "s.h5") as file:
        assert file.metadata.events == str(study.observed)
        for name, values in expected.columns().items():
            np.testing.assert_allclose(file.read(name), values, rtol=1e-4, atol=1e-5)


def test_theta_by_option(score, study, x, tmp_path):
    path = write(tmp_path / "o.h5", x)
    assert json.loads(score("--json", events=path).out)["log_prob"] is False
    assert json.loads(score("--json", "--theta", "-0.5", events=path).out)["log_prob"] is True
    with ScoreFile(tmp_path / "s.h5") as file:
        expected = score_events(load_model(study.model), x, [-0.5]).log_prob
        np.testing.assert_allclose(file.read("log_prob"), expected, rtol=1e-4, atol=1e-4)


def test_events_that_come_from_elsewhere_are_counted(score, x, tmp_path):
    x[[3, 40]] += 30.0
    record = json.loads(score("--json", events=write(tmp_path / "o.h5", x)).out)
    assert record["off_manifold_events"] == 2
    with ScoreFile(tmp_path / "s.h5") as file:
        assert np.flatnonzero(file.read("off_manifold")).tolist() == [3, 40]


def test_dropped_events_are_counted(score, x, tmp_path):
    x[4, 2] = np.nan
    result = score("--drop-nonfinite", "--json", events=write(tmp_path / "o.h5", x))
    assert "1 of 60 events were left out" in result.err
    assert json.loads(result.out)["dropped"] == 1


def test_a_root_file(score, x, tmp_path):
    with uproot.recreate(tmp_path / "o.root") as file:
        file["named"] = {f"x{i}": x[:, i] for i in range(3)}
        file["others"] = {**{name: x[:, i] for i, name in enumerate("abc")}, "t": x[:, 0] * 0 + 0.2}
    by_name = json.loads(score("--tree", "named", "--json", events=tmp_path / "o.root").out)
    assert by_name["log_prob"] is False
    (tmp_path / "map.toml").write_text(
        "tree = 'others'\nobservables = ['a', 'b', 'c']\nparameters = ['t']\n"
    )
    mapped = score("--mapping", tmp_path / "map.toml", "--json", events=tmp_path / "o.root")
    record = json.loads(mapped.out)
    assert record["log_prob"] is True
    assert record["median_distance"] == by_name["median_distance"]


def test_theta_outside_the_prior_is_warned_of(score, x, tmp_path):
    metadata = EventMetadata((Parameter("theta"),), tuple(Observable(f"x{i}") for i in range(3)))
    events = Events(theta=np.linspace(-1, 1.1, 60)[:, None], x=x)
    write_events(tmp_path / "o.h5", metadata, [events], force=False)
    result = score(events=tmp_path / "o.h5")
    assert "Warning: the theta of 3 events is outside the training prior" in result.err


def test_info_knows_the_file(score, run, tmp_path):
    score()
    result = run("info", tmp_path / "s.h5")
    assert result.out.splitlines()[-1].startswith(f"{tmp_path / 's.h5'}: scores of 10 events by")
    record = json.loads(run("info", tmp_path / "s.h5", "--json").out)
    assert record["kind"] == "scores"
    assert "log_prob" in record["arrays"]
    assert record["provenance"]["command"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--theta", "a"], "--theta with numbers between commas, found 'a'"),
        (["--theta", "0.1,0.2"], "expected 1 values of theta (theta), found 2"),
        (["--theta", "1.5"], "expected theta from -1 to 1, as the model was trained, found 1.5"),
    ],
)
def test_a_theta_that_does_not_fit(refused, study, tmp_path, options, words):
    score = ["score", study.model, study.observed, "-o", tmp_path / "s.h5"]
    assert words in refused(tmp_path, *score, *options)


def test_other_columns_and_values_that_are_none(refused, study, x, tmp_path):
    metadata = EventMetadata((Parameter("phi"),), tuple(Observable(f"x{i}") for i in range(3)))
    events = Events(theta=np.zeros((60, 1)), x=x)
    write_events(tmp_path / "phi.h5", metadata, [events], force=False)
    score = ["score", study.model, tmp_path / "phi.h5", "-o", tmp_path / "s.h5"]
    assert "expected the model's parameters theta" in refused(tmp_path, *score)
    x[3, 1] = np.inf
    write(tmp_path / "inf.h5", x)
    score = ["score", study.model, tmp_path / "inf.h5", "-o", tmp_path / "s.h5"]
    assert "add --drop-nonfinite" in refused(tmp_path, *score)


def test_scores_are_no_posterior_and_no_events(score, refused, study, tmp_path):
    score()
    output = ["-o", tmp_path / "out"]
    line = refused(tmp_path, "report", study.model, tmp_path / "s.h5", *output)
    assert "a file of scores" in line
    refused(tmp_path, "train", tmp_path / "s.h5", *output)
    refused(tmp_path, "info", tmp_path / "s.h5", "--verify")


def test_scores_are_replaced_only_by_force(refused, study, tmp_path):
    (tmp_path / "s.h5").write_bytes(b"old")
    score = ["score", study.model, study.observed, "-o", tmp_path / "s.h5"]
    assert "add --force" in refused(tmp_path, *score)
    score[-1] = study.observed
    assert "an output that is none of the inputs" in refused(tmp_path, *score, "--force")


def test_a_full_disk(start, study, tmp_path):
    (tmp_path / "s.h5").write_bytes(b"old")
    code = (
        "import resource, sys; from lfi_mflow.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); sys.exit(main())"
    )
    score = ["score", study.model, study.events, "--force"]
    process = start(*score, "-o", tmp_path / "s.h5", code=code)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.splitlines()[-1].startswith(f"Error: could not write {tmp_path / 's.h5'}")
    assert [path.name for path in tmp_path.iterdir()] == ["s.h5"]
    assert (tmp_path / "s.h5").read_bytes() == b"old"
