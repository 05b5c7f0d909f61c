import pickle

import pytest

from lfi_mflow import errors
from lfi_mflow.errors import InputError, Interrupted, LfiMflowError, UnknownNameError

INPUT_ERRORS = [
    errors.ConfigError,
    errors.DataError,
    errors.FileFormatError,
    errors.ModelMismatchError,
]


def test_every_exported_error_is_one_of_ours():
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), LfiMflowError)
        assert name in errors.__doc__


@pytest.mark.parametrize("kind", INPUT_ERRORS)
def test_input_errors_say_expected_found_remedy(kind):
    error = kind("a file", "none", "make one")
    assert str(error) == "expected a file, found none; make one"
    assert (error.expected, error.found, error.remedy) == ("a file", "none", "make one")
    assert isinstance(error, InputError)


def test_exit_statuses():
    assert InputError.exit_status == UnknownNameError.exit_status == 2
    assert errors.StorageError.exit_status == errors.TrainingError.exit_status == 1
    assert Interrupted.exit_status == 130


def test_the_nearest_names_are_offered():
    error = UnknownNameError("simulator", "sphre", ["sphere", "lorenz"])
    assert str(error) == ("expected the name of a simulator, found 'sphre'; did you mean 'sphere'?")


@pytest.mark.parametrize(
    ("known", "remedy", "advice"),
    [
        (["a", "b"], "", "known are: a, b"),
        ([], "", "known are: none"),
        (["a", "b"], "list them with: x", "list them with: x"),
    ],
)
def test_advice_when_no_name_is_near(known, remedy, advice):
    assert str(UnknownNameError("thing", "zzzzz", known, remedy)).endswith(f"; {advice}")


@pytest.mark.parametrize(
    "error",
    [
        *(kind("a", "b", "c") for kind in INPUT_ERRORS),
        UnknownNameError("thing", "sphre", iter(["sphere"]), "look"),
        errors.StorageError("the disk is full"),
        Interrupted("go on with the same command"),
    ],
)
def test_errors_cross_process_borders(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
