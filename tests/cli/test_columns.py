"""The columns of a foreign file."""

import json
from types import SimpleNamespace

import pytest

from lfi_mflow.cli.columns import imported_mapping, mapping_from_options, observed_mapping
from lfi_mflow.data import ColumnMapping
from lfi_mflow.errors import ConfigError


@pytest.fixture
def mapping_file(tmp_path):
    path = tmp_path / "map.toml"
    path.write_text("tree = 'events'\nobservables = ['a', 'b']\nparameters = ['t']\n")
    return path


def model(mapping=None):
    """What is asked of the metadata of a model."""
    return SimpleNamespace(
        mapping=mapping, events=SimpleNamespace(observable_names=("x0", "pt (GeV)"))
    )


def test_options_make_a_mapping():
    found = mapping_from_options(None, "events", ("a", "b"), ("t",), "w")
    assert found == ColumnMapping("events", ("a", "b"), ("t",), "w")


def test_a_tree_alone_is_no_mapping():
    assert mapping_from_options(None, "events") is None


def test_a_file_makes_a_mapping(mapping_file):
    assert mapping_from_options(mapping_file, None) == ColumnMapping("events", ("a", "b"), ("t",))
    assert mapping_from_options(mapping_file, "others").tree == "others"


@pytest.mark.parametrize("given", [(("a",), (), None), ((), ("t",), None), ((), (), "w")])
def test_columns_do_not_come_from_both(mapping_file, given):
    with pytest.raises(ConfigError, match="found both"):
        mapping_from_options(mapping_file, None, *given)


def test_what_the_user_gives_comes_first():
    trained = model({"tree": "mc", "observables": ["p", "q"]})
    found = observed_mapping(trained, None, None, ("a", "b"))
    assert found == ColumnMapping(None, ("a", "b"))


def test_then_comes_the_mapping_of_the_training_events():
    table = {"tree": "mc", "observables": ["p", "q"], "parameters": ["t"], "weight": "w"}
    # Observed events have no parameters and no weights.
    assert observed_mapping(model(table), None, None, ()) == ColumnMapping("mc", ("p", "q"))
    assert observed_mapping(model(table), None, "data", ()).tree == "data"


def test_then_come_branches_of_the_names_of_the_observables():
    assert observed_mapping(model(), None, None, ()) is None
    found = observed_mapping(model(), None, "data", ())
    assert [column.expression.branches for column in found.observable_columns] == [
        ("x0",),
        ("pt (GeV)",),
    ]


def test_the_mapping_of_an_import_is_read_from_the_provenance():
    table = {"tree": "mc", "observables": ["p"]}
    assert imported_mapping({"mapping": json.dumps(table)}) == table
    assert imported_mapping({"command": "lfi-mflow simulate"}) is None
