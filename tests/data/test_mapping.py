import pytest

from lfi_mflow.data import ColumnMapping
from lfi_mflow.errors import ConfigError, FileFormatError, UnknownNameError

FULL = """
tree = "events"
observables = ["px = Muon_Px[:,0]", "sqrt(MET_px**2 + MET_py**2)"]
parameters = ["mass"]
weight = "EventWeight"
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        path = tmp_path / "map.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_toml_file(write):
    mapping = ColumnMapping.from_toml(write(FULL))
    assert mapping.tree == "events"
    assert [column.name for column in mapping.observable_columns] == [
        "px",
        "sqrt(MET_px**2 + MET_py**2)",
    ]
    assert [column.named for column in mapping.observable_columns] == [True, False]
    assert mapping.observable_columns[0].expression.branches == ("Muon_Px",)
    assert [column.name for column in mapping.parameter_columns] == ["mass"]
    assert mapping.weight_column.expression.branches == ("EventWeight",)


def test_only_observables_are_needed(write):
    mapping = ColumnMapping.from_toml(write('observables = ["x"]'))
    assert mapping == ColumnMapping(None, ("x",))
    assert mapping.weight_column is None


def test_lists_of_one(write):
    mapping = ColumnMapping.from_toml(write('tree=["t"]\nobservables=["x"]\nweight=["w"]'))
    assert (mapping.tree, mapping.weight) == ("t", "w")


def test_it_survives_a_table(write):
    for mapping in (ColumnMapping.from_toml(write(FULL)), ColumnMapping(None, ("x",))):
        assert ColumnMapping.from_table(mapping.to_table()) == mapping


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("tree = 'events'", ConfigError, "observables"),
        ("observables = []", ConfigError, "at least one"),
        ("observables = 'x'", ConfigError, "observables"),
        ("observables = [1]", ConfigError, "observables"),
        ("observables = ['x', 'x']", ConfigError, "'x' twice"),
        ("observables = ['x']\nparameters = ['x']", ConfigError, "'x' twice"),
        ("observables = ['= x']", ConfigError, "NAME = EXPRESSION"),
        ("observables = ['x y']", ConfigError, "expression"),
        ("observables = ['x']\nweight = 'w['", ConfigError, "expression"),
        ("observables = ['x']\nobservable = ['y']", UnknownNameError, "'observables'"),
        ("observables = [", FileFormatError, "TOML"),
    ],
)
def test_mistakes_show_before_a_file_is_opened(write, text, error, message):
    with pytest.raises(error, match=message):
        ColumnMapping.from_toml(write(text))
