"""Results on stdout, the rest on stderr."""

import json
import math
from pathlib import Path

from lfi_mflow.cli.console import error, log, show_facts, show_result, show_table, warn


def test_progress_warnings_and_errors_go_to_stderr(capsys):
    log("a line")
    warn("two\nlines")
    error("no\ngood")
    error("stop", prefix="Interrupted")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "a line\nWarning: two lines\nError: no good\nInterrupted: stop\n"


def test_a_result_is_a_line(capsys):
    show_result("done", {"n": 1}, as_json=False)
    assert capsys.readouterr().out == "done\n"


def test_json_holds_paths_as_text_and_no_nan(capsys):
    record = {
        "path": Path("a/b"),
        "bad": math.nan,
        "rows": [(1, math.inf)],
        "yes": True,
        "no": None,
    }
    show_result("done", record, as_json=True)
    expected = {"path": "a/b", "bad": None, "rows": [[1, None]], "yes": True, "no": None}
    assert json.loads(capsys.readouterr().out) == expected


def test_a_table_shows_every_cell_and_no_markup(capsys):
    show_table(("name", "value"), [("Muon_Px[:,0]", "1"), ("[red]", "22")])
    lines = capsys.readouterr().out.split()
    assert {"name", "value", "Muon_Px[:,0]", "1", "[red]", "22"} <= set(lines)


def test_a_wide_table_is_not_cut(capsys):
    words = [f"word{i:03d}" for i in range(40)]
    show_table(("a", "b"), [(" ".join(words), "1")])
    assert set(words) <= set(capsys.readouterr().out.split())


def test_facts_are_aligned_and_missing_ones_left_out(capsys):
    show_facts({"n": 3, "long name": "x", "nothing": None})
    assert capsys.readouterr().out == "n          3\nlong name  x\n"
