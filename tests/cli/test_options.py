"""Shared options."""

import os

import click
import pytest
import torch
from click.testing import CliRunner

from lfi_mflow.cli.options import claim_output, limited_threads, settings_option
from lfi_mflow.errors import ConfigError, InputError


@pytest.fixture
def read_settings():
    seen = {}

    @click.command()
    @settings_option
    def command(settings):
        seen.update(settings)

    def read(*pairs):
        arguments = [word for pair in pairs for word in ("--set", pair)]
        CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
        return seen

    return read


def test_settings_are_json_or_text(read_settings):
    found = read_settings("dim=2", "width=0.5", "on=true", "name=a=b", "list=[1, 2]", "none=null")
    assert found == {
        "dim": 2, "width": 0.5, "on": True, "name": "a=b", "list": [1, 2], "none": None
    }  # fmt: skip


@pytest.mark.parametrize("pair", ["dim", "=2", " =2"])
def test_a_setting_needs_key_and_value(read_settings, pair):
    with pytest.raises(ConfigError, match="key=value"):
        read_settings(pair)


def test_a_setting_is_given_once(read_settings):
    with pytest.raises(ConfigError, match="one value for 'dim', found two"):
        read_settings("dim=2", "dim=3")


def test_an_output_must_not_be_an_input(tmp_path, monkeypatch):
    path = tmp_path / "events.h5"
    path.write_bytes(b"precious")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="none of the inputs"):
        claim_output(path.relative_to(tmp_path), path, force=True)


def test_threads_are_set_for_the_command_only():
    before = torch.get_num_threads()
    with limited_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(InputError), limited_threads(before + 1):
        raise InputError("a", "b", "c")
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("value", ["", "0", "many"])
def test_threads_default_to_the_cores_of_the_process(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    with limited_threads(None):
        assert torch.get_num_threads() == 3


def test_threads_default_to_what_the_batch_system_says(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with limited_threads(None):
        assert torch.get_num_threads() == 2
