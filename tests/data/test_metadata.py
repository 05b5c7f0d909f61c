import dataclasses
import json

import pytest

from lfi_mflow.data import EventMetadata
from lfi_mflow.errors import InputError
from lfi_mflow.simulation import Parameter


def test_it_survives_strict_json(metadata):
    text = json.dumps(metadata.to_table(), allow_nan=False)
    assert EventMetadata.from_table(json.loads(text)) == metadata


def test_every_field_is_in_the_table(metadata):
    assert set(metadata.to_table()) == {field.name for field in dataclasses.fields(EventMetadata)}


def test_one_sided_bounds_survive(metadata):
    parameters = (Parameter("a", low=0.0), Parameter("b", high=3.0))
    changed = dataclasses.replace(metadata, parameters=parameters)
    assert EventMetadata.from_table(changed.to_table()).parameters == parameters


def test_names(metadata):
    assert metadata.parameter_names == ("theta", "rho")
    assert metadata.observable_names == ("px", "py", "η")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("observables", 3),
        ("parameters", 3),
        ("parameters", [3]),
        ("seed", "seven"),
        ("settings", [1]),
        ("colour", "red"),
    ],
)
def test_a_wrong_table_is_an_input_error(metadata, key, value):
    with pytest.raises(InputError, match=key):
        EventMetadata.from_table(metadata.to_table() | {key: value})


def test_missing_observables_are_an_input_error(metadata):
    table = metadata.to_table()
    del table["observables"]
    with pytest.raises(InputError, match="observables"):
        EventMetadata.from_table(table)
