import json

import h5py
import numpy as np
import pytest

from lfi_mflow.data import (
    ColumnMapping,
    import_benchmark,
    import_events,
    importing,
    open_events,
    write_events,
)
from lfi_mflow.data.madminer import open_madminer
from lfi_mflow.errors import DataError, FileFormatError, InputError, UnknownNameError

POINTS = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, -1.5], [1.0, 1.0], [-1.0, 2.0], [3.0, 0.5]])
POWERS = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
NAMES = ["sm", "w", "ww", "mix", "far", "last"]
N = 40


def terms(theta):
    """The monomials of a quadratic theory, with shape (..., 6)."""
    a, b = theta[..., 0], theta[..., 1]
    return np.stack([np.ones_like(a), a, b, a**2, a * b, b**2], axis=-1)


@pytest.fixture
def truth():
    """Observations, and coefficients of the six terms of every event's weight."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(N, 3)), rng.normal((10, 0, 0, 5, 0, 5), size=(N, 6))


@pytest.fixture
def make(tmp_path, truth):
    """A function that writes a sample as MadMiner does, with some datasets changed."""

    def make(name="sample.h5", **changes):
        x, coefficients = truth
        shifted = 1.1 * (coefficients @ terms(POINTS[0]))
        weights = np.column_stack([coefficients @ terms(POINTS).T, shifted])
        datasets = {
            "parameters/names": np.array([b"CWL2", b"CPWL2"], dtype="S256"),
            "parameters/lha_blocks": np.array([b"dim6", b"dim6"], dtype="S256"),
            "parameters/lha_ids": np.array([2, 5]),
            "parameters/max_power": np.array([2, 2]),
            "parameters/val_ranges": np.array([[-10.0, 10.0], [-5.0, 5.0]]),
            "parameters/transforms": np.array([b"None", b"None"], dtype="S256"),
            "benchmarks/names": np.array([*NAMES, "syst_0"], dtype="S256"),
            "benchmarks/values": np.vstack([POINTS, np.zeros((1, 2))]),
            "benchmarks/is_nuisance": np.array([0] * 6 + [1]),
            "benchmarks/is_reference": np.array([1] + [0] * 6),
            "morphing/components": POWERS,
            "morphing/morphing_matrix": np.linalg.inv(terms(POINTS)),
            "observables/names": np.array([b"pt_j1", b"delta_phi_jj", b"met"], dtype="S256"),
            "observables/definitions": np.array([b"j[0].pt", b"None", b"met.pt"], dtype="S256"),
            "samples/observations": x,
            "samples/weights": weights,
            "samples/sampling_benchmarks": np.zeros(N, dtype=int),
            "sample_summary/signal_events": np.array([N, 0, 0, 0, 0, 0]),
            "sample_summary/background_events": 0,
        }
        with h5py.File(tmp_path / name, "w") as file:
            for key, value in (datasets | changes).items():
                if value is not None:
                    file.create_dataset(key, data=value)
        return tmp_path / name

    return make


@pytest.mark.parametrize("index", [0, 2, 5])
def test_a_benchmark_gives_theta_weights_and_ranges(make, truth, tmp_path, index):
    x, coefficients = truth
    report = import_benchmark(make(), tmp_path / "e.h5", NAMES[index])
    assert str(report) == f"{N} of {N} events"
    with open_events(tmp_path / "e.h5") as file:
        metadata, events = file.metadata, file.read()
    assert metadata.observable_names == ("pt_j1", "delta_phi_jj", "met")
    assert [(p.name, p.low, p.high) for p in metadata.parameters] == [
        ("CWL2", -10.0, 10.0),
        ("CPWL2", -5.0, 5.0),
    ]
    assert np.array_equal(events.x, x)
    assert np.array_equal(events.theta, np.tile(POINTS[index], (N, 1)))
    np.testing.assert_allclose(events.weight, coefficients @ terms(POINTS[index]), rtol=1e-12)
    assert metadata.provenance["benchmark"] == NAMES[index]
    assert json.loads(metadata.provenance["morphing_components"]) == POWERS.tolist()


@pytest.mark.parametrize("values", [1, 20, 10**6])
def test_components_give_the_weight_at_any_point(make, truth, tmp_path, monkeypatch, values):
    monkeypatch.setattr(importing, "_BLOCK_VALUES", values)
    x = truth[0].copy()
    x[[3, 17], 1] = np.nan, np.inf
    path = make(**{"samples/observations": x})
    with pytest.raises(DataError, match=r"2 of 40 events .*\(delta_phi_jj: 2\)"):
        import_benchmark(path, tmp_path / "e.h5", "sm")
    report = import_benchmark(path, tmp_path / "e.h5", "sm", drop_nonfinite=True)
    assert (report.kept, report.nonfinite) == (38, 2)
    with open_events(tmp_path / "e.h5") as file:
        events = file.read()
    kept = np.delete(truth[1], [3, 17], axis=0)
    for theta in np.array([[0.3, -0.7], [4.0, 2.0]]):
        np.testing.assert_allclose(events.components @ terms(theta), kept @ terms(theta))


def test_some_observables_as_expressions(make, truth, tmp_path):
    columns = ("log_pt = log(abs(pt_j1))", "met")
    import_benchmark(make(), tmp_path / "e.h5", "w", observables=columns)
    with open_events(tmp_path / "e.h5") as file:
        assert file.metadata.observable_names == ("log_pt", "met")
        np.testing.assert_allclose(file.read().x[:, 0], np.log(np.abs(truth[0][:, 0])))


def test_columns_by_name_as_in_any_other_file(make, truth):
    mapping = ColumnMapping(None, ("met",), ("CWL2 = 2",), "weight.w - weight.syst_0")
    events, _ = import_events(make("sample.hdf5"), mapping)
    weight = truth[1] @ terms(POINTS[1]) - 1.1 * truth[1] @ terms(POINTS[0])
    np.testing.assert_allclose(events.weight, weight)
    assert np.array_equal(events.x[:, 0], truth[0][:, 2])


def test_samples_drawn_at_several_benchmarks_are_scaled(make, truth, tmp_path):
    """10 events at 'sm', 20 at 'ww', and 10 of background (-1), as MadMiner notes them."""
    drawn = np.repeat([0, 2, -1], [10, 20, 10])
    counts = np.array([10, 0, 20, 0, 0, 0])
    path = make(**{"samples/sampling_benchmarks": drawn, "sample_summary/signal_events": counts})
    import_benchmark(path, tmp_path / "e.h5", "mix")
    factors = np.repeat([1 / 3, 2 / 3, 1.0], [10, 20, 10])
    with open_events(tmp_path / "e.h5") as file:
        events = file.read()
    np.testing.assert_allclose(events.weight, factors * (truth[1] @ terms(POINTS[3])))
    np.testing.assert_allclose(events.components @ terms(POINTS[3]), events.weight)


def test_an_older_file(make, tmp_path):
    """Before nuisance parameters and joined samples; ranges under another name."""
    gone = dict.fromkeys(
        (
            *("parameters/val_ranges", "benchmarks/is_nuisance", "benchmarks/is_reference"),
            *("samples/sampling_benchmarks", "sample_summary/signal_events"),
            *("morphing/components", "morphing/morphing_matrix"),
        )
    )
    path = make(**gone, **{"parameters/ranges": np.array([[-1.0, 1.0], [-2.0, 2.0]])})
    import_benchmark(path, tmp_path / "e.h5", "syst_0")
    with open_events(tmp_path / "e.h5") as file:
        assert [parameter.high for parameter in file.metadata.parameters] == [1.0, 2.0]
        assert file.columns == ("theta", "x", "weight")


@pytest.mark.parametrize(
    ("name", "words"), [("sn", "did you mean 'sm'"), ("syst_0", "known are: sm, w, ww")]
)
def test_an_unknown_benchmark(make, tmp_path, name, words):
    with pytest.raises(UnknownNameError, match=words):
        import_benchmark(make(), tmp_path / "e.h5", name)


def test_an_unknown_observable(make, tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'pt_j1'"):
        import_benchmark(make(), tmp_path / "e.h5", "sm", observables=["pt_j2"])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("parameters/names", None),
        ("parameters/val_ranges", None),
        ("parameters/val_ranges", np.zeros((2, 3))),
        ("parameters/val_ranges", np.array([["a", "b"], ["c", "d"]], dtype="S3")),
        ("benchmarks/names", None),
        ("benchmarks/names", np.array([b"\xff\xfe"] * 7)),
        ("benchmarks/values", np.zeros((3, 2))),
        ("benchmarks/is_nuisance", np.zeros(3)),
        ("observables/names", None),
        ("samples/observations", None),
        ("samples/observations", np.zeros(N)),
        ("samples/observations", np.full((N, 3), b"x", dtype="S3")),
        ("samples/weights", None),
        ("samples/weights", np.zeros((N - 1, 7))),
        ("samples/weights", np.zeros((N, 6))),
        ("samples/sampling_benchmarks", np.full(N, 6)),
        ("samples/sampling_benchmarks", np.zeros(N - 1)),
        ("morphing/components", np.zeros((6, 3))),
        ("morphing/morphing_matrix", np.zeros((6, 7))),
    ],
)
def test_a_changed_layout_is_one_clear_error(make, tmp_path, key, value):
    path = make(**{key: value})
    with pytest.raises(InputError) as caught:
        import_benchmark(path, tmp_path / "e.h5", "sm")
    assert key.replace("val_", "") in str(caught.value).replace("val_", "")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_fewer_names_than_observations(make, tmp_path):
    path = make(**{"observables/names": np.array([b"pt"], dtype="S256")})
    with pytest.raises(FileFormatError, match=r"samples/observations of shape \(any, 1\)"):
        import_benchmark(path, tmp_path / "e.h5", "sm")


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.95])
def test_a_truncated_file_is_one_clear_error(make, tmp_path, part):
    path = make()
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(FileFormatError, match="an HDF5 MadMiner file") as caught:
        import_benchmark(path, tmp_path / "e.h5", "sm")
    assert "\n" not in str(caught.value)


def test_our_own_event_file_needs_no_import(tmp_path, metadata, make_events):
    write_events(tmp_path / "e.h5", metadata, [make_events(3)], force=False)
    with pytest.raises(FileFormatError, match="an event file of lfi-mflow; use it as it is"):
        import_benchmark(tmp_path / "e.h5", tmp_path / "new.h5", "sm")


def test_more_weights_than_benchmarks(make, truth):
    """MadMiner appends weights that no benchmark claims."""
    weights = np.column_stack([truth[1] @ terms(POINTS).T, np.ones((N, 3))])
    with open_madminer(make(**{"samples/weights": weights})) as sample:
        assert sample.read(["weight.syst_0"], 0, 2)["weight.syst_0"].tolist() == [1.0, 1.0]
