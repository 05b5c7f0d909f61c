"""A short campaign of kills: nothing is lost, nothing is corrupt, everything is as undisturbed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parents[2] / "benchmarks" / "kills.py"


def campaign(tmp_path, *options):
    output = tmp_path / "kills.json"
    command = [sys.executable, KILLS, "--output", output, "--seed", "3", *options]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(output.read_text())


def check(table, names):
    assert set(table["commands"]) == set(names)
    assert table["failures"] == 0
    for count in table["commands"].values():
        assert count["kills"] >= 1
        assert count["failures"] == []


def test_killed_commands_end_as_undisturbed_ones(tmp_path):
    names = ("simulate", "train", "infer", "closure")
    table = campaign(tmp_path, "--kills", "8", "--of", *names)
    check(table, names)
    assert table["kills"] >= 8


def test_who_is_asked_to_stop_says_so_and_goes_on_later(tmp_path):
    table = campaign(tmp_path, "--kills", "6", "--of", "simulate", "--signal", "TERM")
    check(table, ("simulate",))
    assert table["signal"] == "TERM"


@pytest.mark.slow
def test_a_killed_workflow_ends_as_an_undisturbed_one(tmp_path):
    table = campaign(tmp_path, "--kills", "6", "--of-workflow", "1")
    check(table, ("simulate", "train", "infer", "closure", "workers", "workflow"))
