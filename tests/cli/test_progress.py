"""Bars on a terminal, lines otherwise."""

import io
import math
import sys
import time

import pytest
from rich.console import Console

from lfi_mflow.cli import progress
from lfi_mflow.cli.progress import counting, training, working
from lfi_mflow.training import Phase, Progress

PHASES = (Phase("chart", "reconstruction", 4), Phase("latent", "latent-likelihood", 2))


@pytest.fixture
def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=140)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only when it is told."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def state(phase, step, steps, *, ended, validation=0.5):
    return Progress(phase, step, steps, 0.25, validation, 1e-3, ended)


def test_counts_are_lines_with_the_rate_of_this_run(capsys, clock):
    with counting("simulating", "events", 9_000_000) as count:
        count(1_000_000)  # there from an earlier run
        clock[0] += 2.0
        count(5_000_000)
        clock[0] += 2.0
        count(9_000_000)
    assert capsys.readouterr().err == (
        "simulating: 9,000,000 of 9,000,000 events, 2.00 M events/s\n"
    )


def test_counts_say_how_much_time_is_left(capsys, clock):
    with counting("simulating", "events", 9_000_000) as count:
        count(0)
        clock[0] += 10.0
        count(3_000_000)
        clock[0] += 290.0
        count(4_000_000)
        clock[0] += 600.0
        count(4_100_000)
    left = [line.rpartition("/s, ")[2] for line in capsys.readouterr().err.splitlines()]
    assert left == ["20 s left", "6.2 min left", "17.9 min left"]


def test_long_work_gives_signs_of_life(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_STILL_SECONDS", 0.02)
    with working("testing"):
        time.sleep(0.2)
    first, *more = capsys.readouterr().err.splitlines()
    assert first == "testing ..."
    assert more
    assert set(more) == {"testing: at work for 0 s"}


def test_count_lines_are_few(capsys, clock):
    with counting("importing", "rows", None) as count:
        for done in range(0, 1000, 10):
            count(done)
            clock[0] += 0.25
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 5
    assert all(line.startswith("importing: ") and "40 rows/s" in line for line in lines)


def test_training_lines_come_with_each_epoch(capsys, clock):
    with training(PHASES) as report:
        report(state("chart", 5, 40, ended=False, validation=math.nan))
        clock[0] += 1.0
        report(state("chart", 10, 40, ended=True))
        report(state("chart", 15, 40, ended=False))
        clock[0] += 5.0
        report(state("chart", 40, 40, ended=True))
        report(state("latent", 10, 20, ended=True, validation=math.nan))
    assert capsys.readouterr().err.splitlines() == [
        "chart epoch 1/4: loss 0.25, validation 0.5, rate 1.0e-03, 6 s left",
        "chart epoch 4/4: loss 0.25, validation 0.5, rate 1.0e-03",
        "latent epoch 1/2: loss 0.25, validation -, rate 1.0e-03",
    ]


def test_a_terminal_gets_a_bar_with_the_rate(terminal, monkeypatch):
    with counting("simulating", "events", 100, terminal) as count:
        count(0)
        count(100)
    text = terminal.file.getvalue()
    assert "simulating" in text
    assert "100%" in text
    assert "events/s" in text


def test_a_terminal_gets_a_bar_for_each_phase(terminal):
    with training(PHASES, terminal) as report:
        report(state("chart", 40, 40, ended=True))
        report(state("latent", 10, 20, ended=True))
    text = terminal.file.getvalue()
    assert "chart" in text
    assert "latent" in text
    assert "50%" in text
    assert "loss 0.25, validation 0.5" in text


def test_work_of_unknown_length_is_named(capsys):
    with working("testing"):
        pass
    assert capsys.readouterr().err == "testing ...\n"


def test_a_terminal_is_recognised(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with counting("simulating", "events", 10) as count:
        count(10)
    with working("testing"):
        pass
