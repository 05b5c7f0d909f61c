"""All measurements of docs/performance.md by one command, for a quiet machine.

::

    make performance                                          # about a quarter of an hour
    LFI_MFLOW_BENCHMARK_SCALE=.02 python benchmarks/performance.py    # only checks that it runs

The benchmarks that compare with the original code, the roofline and the cost curves are
run one after the other; their results come to ``results/`` (performance.json, roofline.json,
cost_curves.json), the figures and the tables of the page to ``docs/``. At another scale
than one all of it, a copy of the page included, goes to a new folder, which is named.
``--resume`` keeps what is there, and goes on where a run was stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import SCALE, machine
from performance_tables import fill, tables

from lfi_mflow.files import atomic_output

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BENCHMARKS = (
    *("test_epochs.py", "test_likelihood.py", "test_sampling.py", "test_posterior.py"),
    *("test_closure.py", "test_loading.py", "test_simulation.py"),
)
_KEPT_STATS = ("min", "max", "mean", "stddev", "rounds", "median", "iqr")


def run_benchmarks(output: Path) -> bool:
    """Run the benchmarks, leave in their file what is of use to others; say if all passed.

    One that misses its target does not take the others with it.
    """
    command = [sys.executable, "-m", "pytest", *(str(HERE / name) for name in BENCHMARKS)]
    command += ["--override-ini", "addopts=", "--import-mode=importlib", "--benchmark-only"]
    raw = output.with_suffix(".raw.json")
    try:
        status = subprocess.run(
            [*command, f"--benchmark-json={raw}"], cwd=HERE.parent, check=False
        ).returncode
        table = slim(json.loads(raw.read_text()))
    finally:
        raw.unlink(missing_ok=True)
    with atomic_output(output) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n")
    return status == 0


def slim(table: dict[str, Any]) -> dict[str, Any]:
    """Drop the name of the machine and the single timings."""
    return {
        "machine": machine(),
        "commit": table["commit_info"]["id"],
        "datetime": table["datetime"],
        "benchmarks": [
            {
                "name": row["name"],
                "fullname": row["fullname"],
                "params": row["params"],
                "extra_info": row["extra_info"],
                "stats": {name: row["stats"][name] for name in _KEPT_STATS},
            }
            for row in table["benchmarks"]
        ],
    }


def run_script(name: str, output: Path, figure: Path, *, resume: bool) -> None:
    """Run a script that measures and draws."""
    command = [sys.executable, str(HERE / name), "-o", str(output), "--figure", str(figure)]
    subprocess.run([*command, *([] if resume else ["--force"])], cwd=HERE.parent, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--resume", action="store_true", help="go on where a run was stopped")
    options = parser.parse_args()
    results, docs, page = HERE / "results", PAGE.parent, PAGE
    if SCALE != 1.0:
        results = docs = Path(tempfile.mkdtemp(prefix="performance-"))
        page = Path(shutil.copy(PAGE, docs))
    start = time.perf_counter()
    benchmarks, passed = results / "performance.json", True
    if not (options.resume and benchmarks.exists()):
        passed = run_benchmarks(benchmarks)
    for name, figure in (("roofline", "roofline.png"), ("cost_curves", "cost.png")):
        target = results / f"{name}.json"
        run_script(f"{name}.py", target, docs / figure, resume=options.resume)
    page.write_text(fill(page.read_text(), tables(results)))
    print(f"{page} after {(time.perf_counter() - start) / 60:.1f} minutes")
    if not passed:
        sys.exit("some benchmarks failed or missed their target: see above")


if __name__ == "__main__":
    main()
