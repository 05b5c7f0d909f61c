"""A clock that jumps changes nothing: the time of day is written down, never compared."""

import ast
import subprocess
import sys
from pathlib import Path

import lfi_mflow

PACKAGE = Path(lfi_mflow.__file__).parent
WRITERS = {"provenance.py", "cli/voice.py"}
CLOCKS = {"time.time", "datetime.now", "datetime.utcnow", "date.today", "time.localtime"}
STAMPS = {"st_mtime", "st_ctime", "st_atime", "getmtime", "getctime", "st_mtime_ns"}


def uses(path):
    """The clocks and time stamps that a module looks at."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name in CLOCKS or name.rpartition(".")[2] in STAMPS}


def test_only_records_tell_the_time_of_day():
    found = {
        str(path.relative_to(PACKAGE)): uses(path) for path in PACKAGE.rglob("*.py") if uses(path)
    }
    assert found == {name: {"datetime.now"} for name in WRITERS}


JUMPING = """
import sys, time
import lfi_mflow.provenance as provenance, lfi_mflow.cli.voice as voice
from datetime import datetime, timedelta

class Jumping(datetime):
    jumps = 0
    @classmethod
    def now(cls, zone=None):
        cls.jumps += 1
        return datetime.now(zone) + timedelta(days=(-1) ** cls.jumps * 400 * cls.jumps)

provenance.datetime = voice.datetime = Jumping
time.time = lambda: 0.0
from lfi_mflow.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_clock_that_jumps_changes_nothing(tmp_path):
    simulate = ["simulate", "polynomial-surface", "-n", "5000", "--chunk-size", "500"]
    command = [sys.executable, "-c", JUMPING, *simulate, "-o", tmp_path / "e.h5"]
    result = subprocess.run(
        [*command, "--log-file", tmp_path / "log"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert "5,000 events" in result.stdout
