"""The options that all commands share, and the signals that stop them."""

import contextlib
import json
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import click
import pytest

from lfi_mflow.cli.group import COMMANDS
from lfi_mflow.cli.main import cli
from lfi_mflow.cli.manners import Stop, with_manners

SHARED = {"quiet", "log_format", "log_file"}


@pytest.mark.parametrize("verb", COMMANDS)
def test_all_commands_have_the_same_manners(verb):
    command = cli.get_command(click.Context(cli), verb)
    names = [parameter.name for parameter in command.params]
    assert set(names) >= SHARED
    assert len(names) == len(set(names))
    assert len(with_manners(command).params) == len(names)


def test_quiet_says_the_result_only(run, tmp_path):
    simulate = ["simulate", "polynomial-surface", "-n", 100]
    assert "events" in run(*simulate, "-o", tmp_path / "a.h5").err
    result = run(*simulate, "-o", tmp_path / "b.h5", "--quiet")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(str(tmp_path / "b.h5"))


def test_a_log_file_tells_the_whole_run(run, tmp_path):
    path = tmp_path / "run.jsonl"
    simulate = ["simulate", "polynomial-surface", "-n", 100, "-o", tmp_path / "a.h5"]
    manners = ["--log-file", path, "--log-format", "json"]
    assert run(*simulate, *manners).status == 0
    assert run(*simulate, *manners).status == 2
    first, second = [], []
    for record in map(json.loads, path.read_text().splitlines()):
        (second if first and "status" in first[-1] else first).append(record)
    assert first[0]["command"].startswith("lfi-mflow simulate polynomial-surface -n 100")
    assert {"task", "done", "total", "per_second", "seconds_left"} <= set(first[1])
    assert first[-2]["record"]["n_events"] == 100
    assert first[-1]["status"] == 0
    assert [record["level"] for record in second] == ["info", "error", "info"]
    assert second[-1]["status"] == 2


def test_a_bug_is_logged_with_its_traceback(run, tmp_path, monkeypatch):
    def fail(**options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli.get_command(click.Context(cli), "simulators"), "callback", fail)
    path = tmp_path / "run.jsonl"
    with pytest.raises(ZeroDivisionError):
        run("simulators", "--log-file", path, "--log-format", "json")
    assert "ZeroDivisionError: a bug" in json.loads(path.read_text().splitlines()[-1])["traceback"]


def test_a_log_file_in_no_folder_is_bad_input(refused, tmp_path):
    line = refused(tmp_path, "simulators", "--log-file", tmp_path / "none" / "run.log")
    assert "expected a log file that can be written" in line


SIMULATE = ["simulate", "polynomial-surface", "-n", "100000000", "--chunk-size", "1000"]


def simulating(process, folder):
    """Wait until a process has simulated something."""
    for _ in range(600):
        if list(folder.glob(".*.partial/*.npz")):
            return
        assert process.poll() is None
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_and_keeps_what_there_is(start, tmp_path, number):
    process = start(*SIMULATE, "-o", tmp_path / "e.h5", "--log-file", tmp_path / "log")
    simulating(process, tmp_path)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (128 + number, "")
    assert err.splitlines()[-1].startswith("Interrupted: stopped after ")
    assert "go on with: lfi-mflow simulate polynomial-surface" in err
    assert f"ended with status {128 + number}" in (tmp_path / "log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".e.h5.partial", "log"]


def test_nohup_is_obeyed(start, tmp_path):
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from lfi_mflow.cli.main import main; raise SystemExit(main())"
    )
    process = start(*SIMULATE, "-o", tmp_path / "e.h5", code=code)
    simulating(process, tmp_path)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143


def test_signals_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Stop().listening():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def ignore_in_a_callback():
    """Of a weak reference: there no exception counts."""
    thing = type("Thing", (), {})()
    reference = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    del thing
    assert reference() is None


def lose_in_a_library():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.timeout(60, method="thread")  # the other method needs the same alarm
@pytest.mark.parametrize("lose", [ignore_in_a_callback, lose_in_a_library])
def test_a_signal_that_is_lost_comes_again(lose):
    def work():
        lose()
        time.sleep(10.0)

    before = sys.unraisablehook
    stop = Stop()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        work()
    assert stop.exit_status == 143
    assert sys.unraisablehook is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.timeout(60, method="thread")
def test_who_tidies_up_after_a_signal_is_left_alone():
    """But not by a second one, of somebody who does not want to wait."""
    tidy = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            time.sleep(0.3)
            tidy.append(True)
            signal.raise_signal(signal.SIGINT)
            tidy.append(True)

    stop = Stop()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        work()
    assert tidy == [True]
    assert stop.exit_status == 130


def test_what_a_library_makes_of_a_signal_is_no_bug(run, monkeypatch):
    def fail(**options):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        raise ValueError("could not determine the shape of an object")

    monkeypatch.setattr(cli.get_command(click.Context(cli), "simulators"), "callback", fail)
    result = run("simulators")
    assert result.status == 143
    assert result.err == "Interrupted: stopped; start again with: lfi-mflow simulators\n"


def test_what_a_signal_has_torn_down_does_not_complain():
    class Archive:
        def __del__(self):
            raise ValueError("an archive that is being written cannot be closed")

    def work():
        archive = Archive()
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            del archive

    stop = Stop()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        work()
    assert stop.exit_status == 130


def test_two_commands_on_one_output(start, run, tmp_path):
    process = start(*SIMULATE, "-o", tmp_path / "e.h5")
    simulating(process, tmp_path)
    result = run(*SIMULATE, "-o", tmp_path / "e.h5", "--seed", 2)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert f"another that is at work (process {process.pid} on" in line
    process.kill()
    process.communicate()
    small = ["simulate", "polynomial-surface", "-n", 10, "-o", tmp_path / "f.h5"]
    assert run(*small).status == 0


def test_stdout_on_a_full_disk_is_one_line():
    code = "from lfi_mflow.cli.main import main; raise SystemExit(main(['simulators', '--json']))"
    command = [sys.executable, "-c", code]
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            command, check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 1
    assert result.stderr.splitlines()[0].startswith("Error: could not write stdout: the disk is")
