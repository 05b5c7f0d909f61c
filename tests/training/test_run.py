"""From an event file to a model."""

import dataclasses
import random

import numpy as np
import pytest
import torch

from lfi_mflow.data import EventFile
from lfi_mflow.errors import (
    ConfigError,
    DataError,
    FileFormatError,
    Interrupted,
    UnknownNameError,
)
from lfi_mflow.flows import PRESETS, Dimensions, load_model, save_model
from lfi_mflow.simulation import Events, Observable
from lfi_mflow.training import (
    ALGORITHMS,
    Phase,
    RunConfig,
    alternating,
    read_run_config,
    resolve_device,
    train_model,
)
from lfi_mflow.training import run as run_module


def test_the_model_says_what_it_is(path, config, tmp_path):
    model = train_model(path, config)
    about = model.metadata
    with EventFile(path) as file:
        assert about.digest == file.digest
        assert about.events == file.metadata
    assert about.preset == "m-flow"
    assert about.dimensions == Dimensions(2, 1, 1)
    assert about.n_events == 400
    assert about.training["nonfinite"] == {}
    assert about.training["configuration"]["seed"] == 5
    assert [len(phase["epochs"]) for phase in about.history["phases"]] == [3, 4]
    assert not model.flow.training
    assert next(model.flow.parameters()).dtype == torch.float32
    # everything of it fits into a model file, and the defaults are spelt out
    save_model(model, tmp_path / "a.mflow")
    loaded = load_model(tmp_path / "a.mflow")
    assert loaded.metadata.settings["chart"]["bins"] == 4
    assert loaded.metadata.training == about.training
    assert about.settings == loaded.metadata.settings
    parts = {"transforms", "bins", "hidden", "components", "shared", "centre", "axes", "kind"}
    assert set(about.settings["latent"]) == parts


def test_a_model_does_not_depend_on_defaults_that_change(path, phases):
    """Settings that were left out are stored as they were."""
    small = {"chart": {"layers": 1, "hidden": 8}, "latent": {"transforms": 1, "hidden": 8}}
    config = RunConfig(settings=small, phases=phases[1:])
    model = train_model(path, config)
    assert {"bins", "bound", "blocks"} < set(model.metadata.settings["chart"])


def test_the_distance_quantiles(path, config):
    double = dataclasses.replace(config, precision="double", validation_fraction=0.5)
    model = train_model(path, double)
    quantiles = model.metadata.training["distance_quantiles"]
    assert len(quantiles) == 1001
    assert quantiles == sorted(quantiles)
    with EventFile(path) as file, torch.no_grad():
        x = torch.from_numpy(file.read().x)
        distances = model.flow.reconstruction_error(x)
    for extreme in (quantiles[0], quantiles[-1]):
        assert (distances / extreme - 1).abs().min() < 1e-9
    assert quantiles[500] == pytest.approx(distances.median().item(), rel=0.5)


def test_the_widths_of_the_residuals(path, config):
    double = dataclasses.replace(config, precision="double", validation_fraction=0.5)
    model = train_model(path, double)
    widths = model.metadata.training["residual_widths"]
    with EventFile(path) as file, torch.no_grad():
        x = torch.from_numpy(file.read().x)
        residuals = (x - model.flow.project(x)).abs()
    assert len(widths) == x.shape[1]
    inside = (residuals <= torch.tensor(widths, dtype=torch.float64)).double().mean(dim=0)
    np.testing.assert_allclose(inside, 0.6827, atol=0.12)


def test_the_plane_and_the_centre_are_measured_beside_the_manifold(path, config):
    """On (t, 10 t^2): the plane is a line, the centre the mean."""
    double = dataclasses.replace(config, precision="double", validation_fraction=0.5)
    training = train_model(path, double).metadata.training
    with EventFile(path) as file:
        x = file.read().x
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    first = np.linalg.eigh(np.cov(scaled.T))[1][:, -1:]
    plane = (scaled - scaled @ first @ first.T) * x.std(axis=0)
    expected = [np.linalg.norm(r, axis=1).mean() for r in (plane, x - x.mean(axis=0))]
    found = [training["plane_distance"], training["centre_distance"]]
    assert found == pytest.approx(expected, rel=0.2)


def _global_states():
    name, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), name, keys.tolist(), rest


def test_equal_seeds_give_equal_models_and_no_global_state_changes(path, config, same_weights):
    before = _global_states()
    first = train_model(path, config)
    torch.rand(3)  # whatever happens outside
    between = _global_states()
    second = train_model(path, config)
    assert _global_states() == between
    assert between[1:] == before[1:]
    other = train_model(path, dataclasses.replace(config, seed=6))
    assert same_weights(first.flow.state_dict(), second.flow.state_dict())
    assert not same_weights(first.flow.state_dict(), other.flow.state_dict())
    assert first.metadata.training == second.metadata.training


@pytest.mark.parametrize("resident_bytes", [0, 2**30], ids=["streamed", "resident"])
@pytest.mark.parametrize("at", [("chart", 8), ("latent", 17)], ids=str)
def test_a_resumed_run_gives_the_same_model(
    path, config, stop, tmp_path, same_run, resident_bytes, at
):
    config = dataclasses.replace(config, resident_bytes=resident_bytes)
    expected = train_model(path, config)
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Interrupted):
        train_model(path, config, checkpoint=checkpoint, progress=stop(*at))
    assert checkpoint.is_file()
    resumed = train_model(path, config, checkpoint=checkpoint)
    same_run(*((model.flow, model.metadata.history) for model in (resumed, expected)))
    assert resumed.metadata.training == expected.metadata.training


def test_a_checkpoint_of_other_options_or_events_is_refused(
    path, config, stop, tmp_path, write, make_events
):
    checkpoint = tmp_path / "run.ckpt"
    with pytest.raises(Interrupted):
        train_model(path, config, checkpoint=checkpoint, progress=stop("chart", 8))
    for other in (
        dataclasses.replace(config, seed=6),
        config.with_epochs(9),
        dataclasses.replace(config, validation_fraction=0.2),
    ):
        with pytest.raises(ConfigError, match="another configuration"):
            train_model(path, other, checkpoint=checkpoint)
    elsewhere = write(make_events(400, seed=1), "others.h5")
    with pytest.raises(ConfigError, match="another events"):
        train_model(elsewhere, config, checkpoint=checkpoint)


def test_streaming_and_memory_give_comparable_models(write, make_events, config):
    path = write(make_events(3000))
    larger = tuple(dataclasses.replace(phase, batch_size=180) for phase in config.phases)
    config = dataclasses.replace(config, phases=larger)
    models = {}
    for name, size in (("resident", 2**30), ("streamed", 0)):
        models[name] = train_model(path, dataclasses.replace(config, resident_bytes=size))
    one, two = (model.metadata for model in models.values())
    assert one.n_events == two.n_events == 3000
    for mine, other in zip(one.history["phases"], two.history["phases"], strict=True):
        best = [p["epochs"][p["best_epoch"]]["validation"] for p in (mine, other)]
        assert best[0] != best[1]
        # other events in other order: within what 300 validation events can tell
        assert best[0] == pytest.approx(best[1], rel=0.4, abs=0.1)
    for name in ("mean", "scale"):
        values = [getattr(model.flow.standardisation, name) for model in models.values()]
        torch.testing.assert_close(*values)


@pytest.mark.parametrize("columns", [6, 9])
def test_what_fits_is_resident(path, config, columns, monkeypatch):
    """The limit is on features twice, parameters and the order: 9 values of 4 bytes an event."""
    kinds = []
    for kind in ("ResidentEvents", "StreamedEvents"):
        original = getattr(run_module, kind)
        monkeypatch.setattr(run_module, kind, _Noted(original, kinds))
    limit = 400 * columns * 4
    train_model(path, dataclasses.replace(config.with_epochs(1), resident_bytes=limit))
    assert kinds == ["ResidentEvents" if columns == 9 else "StreamedEvents"]


class _Noted:
    """A class that notes its name when something is made of it."""

    def __init__(self, kind, notes):
        self.kind, self.notes = kind, notes

    def __call__(self, *arguments, **options):
        self.notes.append(self.kind.__name__)
        return self.kind(*arguments, **options)

    def read(self, *arguments, **options):
        self.notes.append(self.kind.__name__)
        return self.kind.read(*arguments, **options)


# -- events


def test_dropping_is_the_same_as_never_having_had_them(write, make_events, config, same_weights):
    drawn = make_events(420)
    bad = np.arange(420) % 21 == 3
    spoilt = Events(drawn.theta.copy(), drawn.x.copy())
    spoilt.x[bad, 1] = np.nan
    path = write(spoilt)
    with pytest.raises(DataError, match=r"20 in b.*--drop-nonfinite"):
        train_model(path, config)
    dropped = train_model(path, config, drop_nonfinite=True)
    clean = train_model(write(drawn[~bad], "clean.h5"), config)
    assert dropped.metadata.training["nonfinite"] == {"b": 20}
    assert dropped.metadata.n_events == clean.metadata.n_events == 400
    assert same_weights(dropped.flow.state_dict(), clean.flow.state_dict())
    streamed = dataclasses.replace(config, resident_bytes=0)
    assert train_model(path, streamed, drop_nonfinite=True).metadata.n_events == 400


def test_the_manifold_dimension(write, make_events, metadata, config):
    about = dataclasses.replace(metadata, manifold_dim=None)
    unknown = write(make_events(50), "unknown.h5", about)
    with pytest.raises(ConfigError, match=r"none in .*unknown\.h5.*--latent-dim"):
        train_model(unknown, config)
    given = dataclasses.replace(config.with_epochs(1), latent_dim=1)
    assert train_model(unknown, given).metadata.dimensions.latent == 1
    for wrong, match in ((2, "1 <= n < d = 2"), (-1, "dimensions >= 0")):
        with pytest.raises(ConfigError, match=match):
            train_model(unknown, dataclasses.replace(config, latent_dim=wrong))


def test_more_dimensions_than_the_events_span_are_refused(write, make_events, metadata, config):
    drawn = make_events(200)
    about = dataclasses.replace(metadata, observables=tuple(Observable(name) for name in "abc"))
    t = drawn.x[:, :1].astype(np.float32)
    line = write(Events(drawn.theta, np.hstack([t, 2 * t + 1, 0.3 * t])), "line.h5", about)
    with pytest.raises(ConfigError, match="n <= 1, the linear rank of the events, found n = 2"):
        train_model(line, dataclasses.replace(config, latent_dim=2))
    train_model(line, dataclasses.replace(config.with_epochs(1), latent_dim=1))


def test_without_parameters(write, make_events, metadata, config):
    drawn = make_events(200)
    about = dataclasses.replace(metadata, parameters=())
    path = write(Events(np.empty((200, 0)), drawn.x), "free.h5", about)
    model = train_model(path, config)
    assert model.flow.log_prob(torch.zeros(3, 2), torch.zeros(3, 0)).isfinite().all()


def test_units_decide_what_shares_a_scale(path, write, make_events, metadata, config):
    """b is 10 a^2: in one unit with a it would have a's scale."""
    short = config.with_epochs(1)
    scale = train_model(path, short).flow.standardisation.scale
    assert scale[1] / scale[0] > 5
    observables = tuple(dataclasses.replace(o, unit="GeV") for o in metadata.observables)
    drawn = make_events(400)
    milder = Events(drawn.theta, drawn.x * np.array([1.0, 0.5]))
    about = dataclasses.replace(metadata, observables=observables)
    shared = train_model(write(milder, "gev.h5", about), short).flow.standardisation.scale
    assert shared[0] == shared[1]


def test_files_that_cannot_be_trained_on(tmp_path, config):
    with pytest.raises(FileFormatError, match="no such file"):
        train_model(tmp_path / "none.h5", config)
    (tmp_path / "text.h5").write_text("no events")
    with pytest.raises(FileFormatError):
        train_model(tmp_path / "text.h5", config)


# -- configurations


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"validation_fraction": 0.0}, "0 < validation_fraction < 1"),
        ({"validation_fraction": 1.0}, "0 < validation_fraction < 1"),
        ({"validation_fraction": float("nan")}, "0 < validation_fraction < 1"),
        ({"phases": ()}, "at least one phase"),
        ({"seed": -1}, "0 <= seed"),
        ({"seed": 2**64}, "0 <= seed"),
        ({"model": "mflow"}, "did you mean 'm-flow'"),
        ({"algorithm": "alternating"}, r"an algorithm or \[\[phases\]\], found both"),
        ({"algorithm": "alternatng", "phases": None}, "did you mean 'alternating'"),
        ({"algorithm": "density", "phases": None}, "m-flow trains with: sequential, alternating"),
    ],
)
def test_configurations_that_cannot_be(config, change, match):
    with pytest.raises((ConfigError, UnknownNameError), match=match):
        dataclasses.replace(config, **change)


def test_with_epochs_changes_all_phases_and_nothing_else(config):
    longer = config.with_epochs(7)
    assert [phase.epochs for phase in longer.phases] == [7, 7]
    assert dataclasses.replace(longer, phases=config.phases) == config


@pytest.mark.parametrize("name", PRESETS)
def test_the_algorithm_is_the_default_of_the_model_unless_named(name, phases):
    preset = PRESETS[name]
    assert RunConfig(model=name).schedule == ALGORITHMS[preset.algorithms[0]]()
    for algorithm in preset.algorithms:
        assert RunConfig(model=name, algorithm=algorithm).schedule == ALGORITHMS[algorithm]()
    assert RunConfig(model=name, phases=phases).schedule == phases
    # as the command line does it: another model brings its own algorithm
    assert dataclasses.replace(RunConfig(), model=name) == RunConfig(model=name)


def test_an_algorithm_in_toml(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('algorithm = "alternating"')
    config = read_run_config(path)
    assert config.schedule == alternating()
    shorter = config.with_epochs(1)
    assert [phase.epochs for phase in shorter.schedule] == [1] * len(alternating())
    assert [phase.name for phase in shorter.schedule] == [phase.name for phase in alternating()]


def test_the_model_spells_its_phases_out(path):
    """Defaults may change; what was done is in the file."""
    small = {"chart": {"layers": 1, "hidden": 8}, "latent": {"transforms": 1, "hidden": 8}}
    short = RunConfig(settings=small).with_epochs(1)
    stored = train_model(path, short).metadata.training["configuration"]
    assert [Phase(**phase) for phase in stored["phases"]] == list(short.schedule)


def test_an_ambient_flow_takes_all_dimensions(path):
    config = RunConfig(model="af", settings={"latent": {"transforms": 1, "hidden": 8}}).with_epochs(
        1
    )
    model = train_model(path, config)
    assert model.metadata.dimensions == Dimensions(2, 2, 1)
    assert not any("distance" in name for name in model.metadata.training)
    given = dataclasses.replace(config, latent_dim=2)
    assert train_model(path, given).metadata.dimensions == Dimensions(2, 2, 1)
    with pytest.raises(ConfigError, match=r"n = d = 2 .*found n = 1.*--latent-dim"):
        train_model(path, dataclasses.replace(config, latent_dim=1))


def test_a_chart_cannot_be_trained_where_there_is_none(path, phases):
    config = RunConfig(model="af", phases=phases)
    with pytest.raises(ConfigError, match="a model with a chart to train"):
        train_model(path, config)


def test_reading_a_configuration(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        """
        latent_dim = 2
        seed = 3
        precision = "double"
        [settings.chart]
        layers = 5
        [[phases]]
        name = "chart"
        objective = "reconstruction"
        epochs = 2
        learning_rate = 1
        [[phases]]
        name = "latent"
        objective = "latent-likelihood"
        epochs = 3
        patience = 4
        """
    )
    config = read_run_config(path)
    assert (config.latent_dim, config.seed, config.precision) == (2, 3, "double")
    assert config.settings == {"chart": {"layers": 5}}
    assert [(phase.name, phase.epochs, phase.patience) for phase in config.phases] == [
        ("chart", 2, 0),
        ("latent", 3, 4),
    ]
    assert config.phases[0].learning_rate == 1.0


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("sed = 3", "did you mean 'seed'"),
        ("seed = 'three'", "of type int"),
        ("precision = 'half'", "single"),
        ("[[phases]]\nname = 'a'\nobjective = 'reconstruction'", "'epochs'"),
        ("[[phases]]\nname = 'a'\nobjective = 'recon'\nepochs = 2", "objective"),
        ("seed = ", "TOML"),
    ],
)
def test_configurations_that_cannot_be_read(tmp_path, text, match):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises((ConfigError, UnknownNameError, FileFormatError), match=match):
        read_run_config(path)


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in {"cpu", "cuda", "mps"}
    for name in ("", "gpu", "tpu", "cpux"):
        with pytest.raises(ConfigError, match=r"a device of this machine.*--device auto"):
            resolve_device(name)
