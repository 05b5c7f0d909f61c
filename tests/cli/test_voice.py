"""What is said to whom: stderr and a log file, in words and in lines of JSON."""

import io
import json
import math
import sys

import pytest

from lfi_mflow.cli.console import log, note, show_result, warn
from lfi_mflow.cli.voice import plain, silence, speaking, voice
from lfi_mflow.errors import InputError


def test_a_log_file_holds_what_is_said_and_more(tmp_path, capsys):
    with speaking() as mine:
        mine.open(tmp_path / "run.log")
        log("a line")
        note("for the file")
        warn("beware")
        show_result("done", {"n": 1}, as_json=False)
    captured = capsys.readouterr()
    assert captured.err == "a line\nWarning: beware\n"
    assert captured.out == "done\n"
    lines = (tmp_path / "run.log").read_text().splitlines()
    words = ["info a line", "info for the file", "warning beware", "result done"]
    assert [line.split(" ", 1)[1] for line in lines] == words


def test_lines_of_json(tmp_path, capsys):
    with speaking() as mine:
        mine.form = "json"
        mine.open(tmp_path / "run.jsonl")
        log("half", done=1, total=2, seconds_left=math.inf)
        show_result("done", {"path": tmp_path}, as_json=False)
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("time") <= "9999"
    assert said == {
        "level": "info",
        "message": "half",
        "done": 1,
        "total": 2,
        "seconds_left": None,
    }
    half, done = map(json.loads, (tmp_path / "run.jsonl").read_text().splitlines())
    assert half["done"] == 1
    assert (done["level"], done["record"]) == ("result", {"path": str(tmp_path)})


def test_a_log_is_added_to(tmp_path):
    for word in ("first", "second"):
        with speaking() as mine:
            mine.open(tmp_path / "run.log")
            log(word)
    assert len((tmp_path / "run.log").read_text().splitlines()) == 2


def test_quiet_leaves_warnings(capsys):
    with speaking() as mine:
        mine.least = "result"
        log("a line")
        warn("beware")
    assert capsys.readouterr().err == "Warning: beware\n"


def test_a_log_file_that_cannot_be_opened(tmp_path):
    with speaking() as mine, pytest.raises(InputError, match="a log file that can be written"):
        mine.open(tmp_path / "none" / "run.log")


def test_a_full_disk_costs_the_log_and_not_the_run(tmp_path, capsys):
    with speaking() as mine:
        mine.open(tmp_path / "/dev/full")
        log("a line")
        log("another")
    assert capsys.readouterr().err == (
        "Warning: no more is logged to /dev/full: No space left on device\na line\nanother\n"
    )


def test_a_terminal_that_was_closed_ends_nothing(monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError(5, "Input/output error")

    silenced = []
    monkeypatch.setattr("lfi_mflow.cli.voice.silence", silenced.append)
    closed = Closed()
    monkeypatch.setattr(sys, "stderr", closed)
    log("a line")
    assert silenced == [closed]


def test_a_silenced_stream_takes_everything(tmp_path):
    with (tmp_path / "a").open("w") as stream:
        silence(stream)
        stream.write("lost")
    assert (tmp_path / "a").read_text() == ""


@pytest.mark.parametrize(
    ("form", "least", "drawn"),
    [("text", "info", True), ("json", "info", False), ("text", "result", False)],
)
def test_bars_are_for_people_who_want_them(monkeypatch, form, least, drawn):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with speaking() as mine:
        mine.form, mine.least = form, least
        assert voice().draws == drawn


def test_plain_values():
    assert plain({1: (math.nan, None, True)}) == {"1": [None, None, True]}
