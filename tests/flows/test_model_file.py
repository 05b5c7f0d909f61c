"""Model files: every bit survives, and nothing that a stranger sends does harm."""

import dataclasses
import json
import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from lfi_mflow.errors import FileFormatError, StorageError
from lfi_mflow.flows import Dimensions, Model, ModelMetadata, load_model, save_model


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.mflow"


@pytest.fixture
def rewrite(path, model):
    """A function that saves the model and changes header or tensors of the file."""

    def change(header=None, tensors=None, key="lfi_mflow", text=None):
        save_model(model, path)
        with safe_open(path, framework="pt") as file:
            table = json.loads(file.metadata()["lfi_mflow"])
            values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header is not None:
            header(table)
        if tensors is not None:
            tensors(values)
        save_file(values, path, metadata={key: json.dumps(table) if text is None else text})

    return change


def test_round_trip(path, make_flow, metadata, dtype):
    model = Model(make_flow(dtype=dtype), metadata)
    save_model(model, path)
    loaded = load_model(path)
    assert loaded.metadata == metadata
    assert not loaded.flow.training
    state = loaded.flow.state_dict()
    for name, value in model.flow.state_dict().items():
        assert state[name].dtype == value.dtype
        assert torch.equal(state[name], value), name
    theta = torch.zeros(5, 1, dtype=dtype)
    x = model.flow.sample(theta)
    assert torch.equal(loaded.flow.log_prob(x, theta), model.flow.log_prob(x, theta))


def test_saving_what_was_loaded_gives_the_same_file(path, tmp_path, model):
    save_model(model, path)
    save_model(load_model(path), tmp_path / "b.mflow")
    with safe_open(path, framework="pt") as one, safe_open(tmp_path / "b.mflow", "pt") as two:
        assert one.metadata() == two.metadata()
    assert path.stat().st_size == (tmp_path / "b.mflow").stat().st_size


def test_infinite_bounds_survive_as_json(path, model):
    save_model(model, path)
    parameter = load_model(path).metadata.events.parameters[0]
    assert parameter.low == -math.inf
    assert parameter.high == math.inf
    with safe_open(path, framework="pt") as file:
        json.loads(file.metadata()["lfi_mflow"], parse_constant=pytest.fail)


def test_an_old_file_stays_when_the_new_one_cannot_be_written(path, model, monkeypatch):
    save_model(model, path)
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StorageError, match="the disk is full"):
        save_model(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# -- files that are no model files


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, 0.5, -1])
def test_a_truncated_file(path, model, kept):
    save_model(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(FileFormatError, match=r"a\.mflow"):
        load_model(path)


def test_a_missing_file_and_a_folder(path, tmp_path):
    with pytest.raises(FileFormatError, match="no such file"):
        load_model(path)
    with pytest.raises(FileFormatError, match="a folder"):
        load_model(tmp_path)


class _Bomb:
    """Something whose pickle runs code."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('a pickle was executed')",))


@pytest.mark.parametrize("write", ["pickle", "torch", "text", "hdf5"])
def test_a_file_of_another_format(path, write):
    if write == "pickle":
        path.write_bytes(pickle.dumps(_Bomb()))
    elif write == "torch":
        torch.save({"flow": _Bomb()}, path)
    elif write == "text":
        path.write_text("a model, honestly\n" * 100, encoding="utf-8")
    else:
        path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))
    with pytest.raises(FileFormatError, match="a model file"):
        load_model(path)


def test_a_safetensors_file_of_something_else(path):
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(FileFormatError, match="safetensors file of something else"):
        load_model(path)


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", "3", "null", '"schema_version"', "[" * 100_000, "{}"]
)
def test_a_header_that_is_no_table(rewrite, path, text):
    rewrite(text=text)
    with pytest.raises(FileFormatError):
        load_model(path)


def test_the_header_under_another_name(rewrite, path):
    rewrite(key="somebody_else")
    with pytest.raises(FileFormatError, match="something else"):
        load_model(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version(rewrite, path, version):
    rewrite(lambda table: table.update(schema_version=version))
    with pytest.raises(FileFormatError, match=f"version 1 in .*found version {version}"):
        load_model(path)


@pytest.mark.parametrize(
    "key", ["preset", "dimensions", "settings", "events", "digest", "n_events", "schema_version"]
)
def test_a_missing_key(rewrite, path, key):
    rewrite(lambda table: table.pop(key))
    with pytest.raises(FileFormatError):
        load_model(path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("preset",), "n-flow"),
        (("preset",), 3),
        (("surprise",), 1),
        (("dimensions", "depth"), 1),
        (("settings", "colour"), "red"),
        (("settings", "chart", "hiden"), 8),
        (("settings", "chart", "hidden"), "8"),
        (("settings", "chart", "hidden"), 8.0),
        (("settings", "chart", "hidden"), -8),
        (("settings", "chart", "bound"), math.nan),
        (("settings", "latent", "bins"), 0),
        (("events", "observables"), []),
        (("events", "observables"), "px"),
        (("events", "parameters"), [3]),
        (("events", "parameters"), []),
        (("dimensions", "data"), 2),
        (("dimensions", "latent"), 3),
        (("dimensions", "latent"), 1),
        (("dimensions", "theta"), 2),
        (("dimensions", "theta"), -1),
        (("dimensions", "data"), -(10**9)),
        (("dimensions",), None),
    ],
)
def test_a_header_that_says_something_else(rewrite, path, keys, value):
    def change(table):
        for key in keys[:-1]:
            table = table[key]
        table[keys[-1]] = value

    rewrite(change)
    with pytest.raises(FileFormatError, match=r"a\.mflow"):
        load_model(path)


HOSTILE = [
    (("settings", "chart", "hidden"), 10**12),
    (("settings", "chart", "hidden"), 30_000),
    (("settings", "chart", "layers"), 10**12),
    (("settings", "chart", "layers"), 20_000),
    (("settings", "chart", "blocks"), 10**9),
    (("settings", "chart", "bins"), 999),
    (("settings", "latent", "hidden"), 10**15),
    (("settings", "latent", "transforms"), 10**9),
    (("settings", "latent", "bins"), 10**10),
    (("settings", "latent", "components"), 10**11),
    (("dimensions", "latent"), 10**9),
    (("dimensions", "data"), 10**9),
    (("dimensions", "theta"), 10**9),
]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_a_hostile_header_allocates_nothing(rewrite, path):
    """In a process with little memory to spare, where building the flow would fail."""

    files = []
    for index, (keys, value) in enumerate(HOSTILE):

        def change(table, keys=keys, value=value):
            for key in keys[:-1]:
                table = table[key]
            table[keys[-1]] = value

        rewrite(change)
        copy = path.with_name(f"hostile{index}.mflow")
        copy.write_bytes(path.read_bytes())
        files.append(str(copy))
    script = (
        "import sys, resource, pathlib\n"
        "from lfi_mflow.errors import FileFormatError\n"
        "from lfi_mflow.flows import load_model\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "limit = pages * resource.getpagesize() + 200 * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (30, 30))\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        load_model(path)\n"
        "    except FileFormatError as error:\n"
        "        print(path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *files], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == files, done.stderr


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda tensors: tensors.pop("standardisation.mean"), "standardisation.mean"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "extra"),
        (lambda tensors: tensors.update({"latent.u_mean": torch.zeros(7)}), "latent.u_mean"),
        (lambda tensors: tensors.clear(), "at least"),
    ],
)
def test_other_weights(rewrite, path, change, match):
    rewrite(tensors=change)
    with pytest.raises(FileFormatError, match=match):
        load_model(path)


def test_the_table_of_the_metadata(metadata):
    table = json.loads(json.dumps(metadata.to_table(), allow_nan=False))
    assert ModelMetadata.from_table(table) == metadata
    assert table["dimensions"] == {"data": 3, "latent": 2, "theta": 1}
    assert isinstance(ModelMetadata.from_table(table).dimensions, Dimensions)


@pytest.mark.parametrize(
    ("lacks", "expected"), [(["log_prob"], {"log_prob"}), ([], set()), (None, set()), (5, set())]
)
def test_what_was_not_trained_is_lacking(path, model, lacks, expected):
    training = {**model.metadata.training, "lacks": lacks}
    untrained = Model(model.flow, dataclasses.replace(model.metadata, training=training))
    save_model(untrained, path)
    assert load_model(path).flow.lacks == expected


def test_no_flipped_bit_goes_unnoticed(path, model):
    save_model(model, path)
    content = path.read_bytes()
    places = {*range(0, len(content), max(1, len(content) // 150)), 8, len(content) - 1}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError):
            load_model(path)


def test_a_file_of_before_the_digest_is_read(rewrite, path, model):
    rewrite()
    assert load_model(path).metadata == model.metadata


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=5), st.integers(), max_size=3)
    | st.sampled_from([10**18, 10**400, "../../x", "x.py:X", [[[]]]])
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_header_is_a_model_or_refused(rewrite, path, data):
    def change(table):
        keys = data.draw(st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=2))
        for key in keys:
            inner = table[key]
            if isinstance(inner, dict) and inner and data.draw(st.booleans()):
                inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(VALUES)
            else:
                table[key] = data.draw(VALUES)

    rewrite(header=change)
    try:
        assert load_model(path).flow is not None
    except FileFormatError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most are refused, and some are harmless
