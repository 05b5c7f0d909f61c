"""The entry point: help without waiting, errors in one line, honest exit statuses."""

import shlex
import subprocess
import sys

import click
import pytest

from lfi_mflow import __version__
from lfi_mflow.cli import simulators
from lfi_mflow.cli.group import COMMANDS
from lfi_mflow.cli.main import cli, main
from lfi_mflow.errors import LfiMflowError, TrainingError

HEAVY = ("torch", "sbi", "zuko", "uproot", "matplotlib", "numpy", "scipy", "h5py", "rich")


@pytest.mark.parametrize("arguments", [["--help"], *([verb, "--help"] for verb in COMMANDS)])
def test_help_imports_nothing_heavy_and_is_there_at_once(arguments):
    code = (
        "import sys, time; start = time.process_time()\n"
        "from lfi_mflow.cli.main import main\n"
        f"assert main({arguments!r}) == 0\n"
        "print(time.process_time() - start)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    *_, seconds, heavy = result.stdout.splitlines()
    assert heavy == "[]"
    assert float(seconds) < 0.5
    assert result.stderr == ""


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_help_has_an_example_that_can_be_parsed(verb):
    command = cli.get_command(click.Context(cli), verb)
    _, _, text = command.epilog.partition("Example:\n")
    examples = text.replace("\\\n", "").strip().splitlines()
    assert examples
    for line in examples:
        words = shlex.split(line)
        at = words.index(verb)
        assert words[:at] == ["lfi-mflow"] or (words[0], words[at - 1]) == ("torchrun", "lfi_mflow")
        command.make_context(verb, words[at + 1 :])


def test_the_help_lists_the_verbs_in_the_order_of_the_work(run):
    lines = run("--help").out.partition("Commands:\n")[2].splitlines()[: len(COMMANDS)]
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    assert not any(line.endswith("...") for line in lines)


def test_the_help_tells_the_exit_statuses(run):
    _, _, text = run("--help").out.partition("Exit status:")
    assert all(f" {status} " in f" {text} " for status in (0, 1, 2, 3, "129,", 130, 143))


def test_nothing_typed_shows_the_help(run):
    assert run().out == run("--help").out


def test_the_version_is_that_of_the_package(run):
    assert __version__ in run("--version").out


def test_an_unknown_command_offers_the_nearest(run):
    result = run("simulat")
    assert result.status == 2
    assert result.err == (
        "Error: expected the name of a command, found 'simulat'; "
        "did you mean 'simulate' or 'simulators'?\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train"], "Missing argument"),
        (["train", "events.h5"], "Missing option '-o'"),
        (["simulate", "x", "-n", "many", "-o", "e.h5"], "'many' is not a valid integer"),
        (
            ["infer", "m", "--observed", "o", "-o", "p", "--method", "ratio"],
            "'ratio' is not one of",
        ),
        (["train", "e", "-o", "m", "--epochs", "0"], "0 is not in the range"),
        (["info", "f", "--jsn"], "No such option"),
    ],
)
def test_wrong_options_are_one_line_that_names_the_help(run, arguments, words):
    result = run(*arguments)
    assert result.status == 2
    (line,) = result.err.splitlines()
    assert words in line
    assert line.endswith(f"see: lfi-mflow {arguments[0]} --help")


@pytest.mark.parametrize(("kind", "status"), [(LfiMflowError, 1), (TrainingError, 1)])
def test_an_error_is_one_line_and_its_status(run, monkeypatch, kind, status):
    def fail(**options):
        raise kind("it did\nnot work")

    monkeypatch.setattr(simulators.command, "callback", fail)
    result = run("simulators")
    assert (result.status, result.out, result.err) == (status, "", "Error: it did not work\n")


def test_a_bug_keeps_its_traceback(monkeypatch):
    def fail(**options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(simulators.command, "callback", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["simulators"])


def test_ctrl_c_tells_the_command_to_type_again(run, monkeypatch):
    def stop(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(simulators.command, "callback", stop)
    result = run("simulators", "--json")
    assert result.status == 130
    assert "nothing was written; start again with: lfi-mflow simulators --json" in result.err


def test_a_reader_that_leaves_ends_the_command_quietly():
    code = (
        "import sys, time; from lfi_mflow.cli.main import main\n"
        "sys.stdin.readline(); raise SystemExit(main(['simulators', '--json']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    process.stdin.write("go\n")
    process.stdin.flush()
    assert process.wait(30) == 1
    assert process.stderr.read() == ""
    process.stdin.close()
    process.stderr.close()


def test_openmp_is_told_to_sleep_before_torch_is_imported():
    code = (
        "import os, sys; from lfi_mflow.cli.main import main; main(['models'])\n"
        "assert 'torch' in sys.modules and os.environ['OMP_WAIT_POLICY'] == 'PASSIVE'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PATH": ""}, capture_output=True)
