"""Ctrl-C is told from what a library makes of it."""

import pytest

from lfi_mflow.errors import Interrupted
from lfi_mflow.interruption import interruptible


def press_ctrl_c():
    raise KeyboardInterrupt


@interruptible()
def clean_up_in_vain():
    try:
        press_ctrl_c()
    finally:
        raise ValueError("an archive that is being written cannot be closed")


@interruptible()
def turn_into_another_error():
    raise SystemError("returned a result with an exception set") from KeyboardInterrupt()


@interruptible()
def say_how_to_go_on():
    try:
        press_ctrl_c()
    except KeyboardInterrupt as stop:
        raise Interrupted("go on with the same command") from stop


@interruptible()
def fail():
    raise ValueError("a bug")


def fail_after_an_earlier_ctrl_c():
    try:
        press_ctrl_c()
    except KeyboardInterrupt:
        fail()


@pytest.mark.parametrize("function", [clean_up_in_vain, turn_into_another_error])
def test_what_ctrl_c_set_off_is_ctrl_c(function):
    with pytest.raises(KeyboardInterrupt) as caught:
        function()
    assert isinstance(caught.value.__cause__, ValueError | SystemError)


@pytest.mark.parametrize("function", [fail, fail_after_an_earlier_ctrl_c])
def test_other_errors_are_left_alone(function):
    with pytest.raises(ValueError, match="a bug"):
        function()


def test_who_has_said_how_to_go_on_is_heard():
    with pytest.raises(Interrupted, match="go on with"):
        say_how_to_go_on()
