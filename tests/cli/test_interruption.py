"""After Ctrl-C: what is there, and what to type."""

import click
import pytest

from lfi_mflow.cli.interruption import (
    command_line,
    remember_arguments,
    remember_output,
    resumable,
    stopped,
    typed_arguments,
)
from lfi_mflow.errors import DataError, Interrupted


@pytest.fixture
def _typed():
    with click.Context(click.Command("train")) as context:
        remember_arguments(context, ["train", "my events.h5", "-o", "m"])
        yield


def test_a_command_line_can_be_pasted():
    assert command_line(["train", "my events.h5"]) == "lfi-mflow train 'my events.h5'"


def test_an_option_is_added_once():
    assert command_line(["train", "--resume"], "--resume") == "lfi-mflow train --resume"
    assert command_line(["train"], "--resume") == "lfi-mflow train --resume"


@pytest.mark.usefixtures("_typed")
def test_what_was_typed_is_kept():
    assert typed_arguments() == ("train", "my events.h5", "-o", "m")


@pytest.mark.usefixtures("_typed")
@pytest.mark.parametrize(
    ("stop", "what"),
    [(Interrupted("epoch 3 is saved"), "epoch 3 is saved"), (KeyboardInterrupt(), "stopped")],
)
def test_saved_work_goes_on(stop, what):
    with pytest.raises(Interrupted) as caught, resumable(lambda: True, "--resume"):
        raise stop
    assert str(caught.value) == f"{what}; go on with: lfi-mflow train 'my events.h5' -o m --resume"


@pytest.mark.usefixtures("_typed")
def test_without_saved_work_the_command_starts_again():
    words = "nothing was saved yet; start again with: lfi-mflow train 'my events.h5' -o m"
    with pytest.raises(Interrupted, match=words), resumable(lambda: False, "--resume"):
        raise KeyboardInterrupt


@pytest.mark.usefixtures("_typed")
@pytest.mark.parametrize("old", [None, "an old one"])
def test_an_output_that_is_whole_is_not_made_again(tmp_path, old):
    output, new = tmp_path / "m", tmp_path / "new"

    def write_and_stop():
        new.write_text("a new one")
        new.replace(output)
        raise KeyboardInterrupt

    if old is not None:
        output.write_text(old)
    remember_output(click.get_current_context(), output)
    assert "nothing was written; start again with: lfi-mflow train" in str(stopped())
    with pytest.raises(Interrupted, match="/m had just been written"), resumable(lambda: True):
        write_and_stop()
    assert str(stopped()) == f"stopped when {output} had just been written, which is whole"


@pytest.mark.usefixtures("_typed")
def test_other_errors_pass():
    error = DataError("a", "b", "c")
    with pytest.raises(DataError), resumable(lambda: True):
        raise error
