"""A few thousand hostile files: one clear error each, or none."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz(script):
    script("fuzz_seeds")
    return script("fuzz")


def test_a_short_run_of_all_readers(tmp_path):
    output = tmp_path / "fuzz.json"
    command = [sys.executable, FUZZ, "--seconds", "8", "--output", output]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    table = json.loads(output.read_text())
    assert table["crashes"] == table["hangs"] == table["escaped"] == 0
    assert len(table["readers"]) == 11
    assert all(0 < row["refused"] <= row["executions"] for row in table["readers"].values())


def test_an_execution_can_be_done_again(fuzz, tmp_path):
    seeds = {"closure": b'{"metrics": {"a": {"value": 1.0}}}'}
    for number in range(20):
        once, again = (fuzz.content_of("closure", number, seeds) for _ in range(2))
        assert once == again
    contents = {fuzz.content_of("closure", number, seeds) for number in range(20)}
    assert len(contents) > 10


def test_what_escapes_is_told_from_what_is_refused(fuzz, tmp_path, monkeypatch):
    def fail(path):
        raise ZeroDivisionError

    path, seeds = tmp_path / "a.json", {"closure": b'{"metrics": {}}'}
    refused = [fuzz.execute("closure", number, path, seeds) for number in range(10)]
    assert "" in refused
    monkeypatch.setitem(fuzz.TARGETS, "closure", fuzz.Target(fail))
    assert fuzz.execute("closure", 1, path, seeds).startswith("ZeroDivisionError in test_fuzz.py")


def test_a_table_is_changed_at_any_depth(fuzz):
    table = {"a": [1, {"b": 2.0}], "c": "text"}
    rng = np.random.default_rng(0)
    changed = [fuzz.change_table(table, rng) for _ in range(200)]
    assert table == {"a": [1, {"b": 2.0}], "c": "text"}
    deep = [
        new["a"][1]
        for new in changed
        if isinstance(new, dict) and "a" in new and isinstance(new["a"], list) and len(new["a"]) > 1
    ]
    assert any(inner != {"b": 2.0} for inner in deep)
