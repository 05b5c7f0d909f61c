from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from lfi_mflow.config import from_table, read_toml
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError


@dataclass(frozen=True)
class Layer:
    units: int
    dropout: float = 0.0


@dataclass(frozen=True)
class Run:
    name: str
    layers: tuple[Layer, ...] = ()
    first: Layer | None = None
    rate: float = 0.1
    epochs: int = 3
    device: Literal["auto", "cpu"] = "auto"
    latent_dim: Literal["auto"] | int = "auto"
    output: Path | None = None
    priors: dict[str, str] = field(default_factory=dict)
    weights: tuple[float, ...] = ()
    extra: Any = None
    compile_it: bool = False


FULL = """
name = "a"
rate = 1
epochs = 5
device = "cpu"
latent_dim = 2
output = "b.h5"
weights = [1, 2.5]
extra = [1, "x"]
compile_it = true
priors = { theta = "uniform(-1, 1)" }
first = { units = 3 }

[[layers]]
units = 10
[[layers]]
units = 20
dropout = 0.5
"""


def test_every_kind_of_field(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(FULL)
    run = from_table(Run, read_toml(path), "run.toml")
    assert run == Run(
        name="a",
        layers=(Layer(10), Layer(20, 0.5)),
        first=Layer(3),
        rate=1.0,
        epochs=5,
        device="cpu",
        latent_dim=2,
        output=Path("b.h5"),
        priors={"theta": "uniform(-1, 1)"},
        weights=(1.0, 2.5),
        extra=[1, "x"],
        compile_it=True,
    )
    assert isinstance(run.rate, float)


def test_defaults():
    assert from_table(Run, {"name": "a"}, "x") == Run("a")
    assert from_table(Run, {"name": "a", "first": None}, "x").first is None


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ({"name": "a", "epoch": 3}, UnknownNameError, "key in x, found 'epoch'; .*'epochs'"),
        ({}, ConfigError, "the key 'name' in x, found none; add it"),
        ({"name": 3}, ConfigError, "a value of type str for x, key 'name', found 3"),
        ({"name": "a", "epochs": 2.5}, ConfigError, "type int .*'epochs', found 2.5"),
        ({"name": "a", "epochs": True}, ConfigError, "type int"),
        ({"name": "a", "rate": "fast"}, ConfigError, "type float"),
        ({"name": "a", "rate": True}, ConfigError, "type float"),
        ({"name": "a", "compile_it": 1}, ConfigError, "type bool"),
        ({"name": "a", "device": "cpo"}, UnknownNameError, "did you mean 'cpu'"),
        ({"name": "a", "latent_dim": 2.5}, ConfigError, "type int"),
        ({"name": "a", "weights": 1.0}, ConfigError, "type tuple"),
        ({"name": "a", "weights": ["b"]}, ConfigError, "type float"),
        ({"name": "a", "layers": [{"unit": 1}]}, UnknownNameError, "key 'layers', found 'unit'"),
        ({"name": "a", "layers": [{}]}, ConfigError, "the key 'units' in x, key 'layers'"),
        ({"name": "a", "first": {"units": "b"}}, ConfigError, "key 'first', key 'units'"),
        ({"name": "a", "priors": {"theta": 1}}, ConfigError, "type str"),
    ],
)
def test_what_does_not_fit(table, error, message):
    with pytest.raises(error, match=message):
        from_table(Run, table, "x")


def test_files_that_are_not_toml(tmp_path):
    path = tmp_path / "run.toml"
    with pytest.raises(FileFormatError, match="no such file"):
        read_toml(path)
    path.write_text("a = = 1")
    with pytest.raises(FileFormatError, match=r"TOML in .*run\.toml, found .*line 1"):
        read_toml(path)
    path.write_bytes(b"a = '\xff\xfe'")
    with pytest.raises(FileFormatError, match="mend the file"):
        read_toml(path)
