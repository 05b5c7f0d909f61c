"""Fuzz one reader guided by the coverage of its Python code, with atheris (libFuzzer).

::

    pip install 'lfi-mflow[fuzz]'
    python benchmarks/fuzz_guided.py closure -max_total_time=60

What follows the reader are options of libFuzzer. It ends at the first exception that is
none of ours, at the first hang and beyond 2 GiB, and writes the file that did it to
``crash-*``. Other than ``fuzz.py`` it knows no structure: where checksums guard a file, it
does not come far behind them.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["lfi_mflow", "json"]):
    import fuzz

    from lfi_mflow.errors import LfiMflowError


def main() -> None:
    """Read the command line and fuzz until libFuzzer has had enough."""
    kind, *options = sys.argv[1:]
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    seed = fuzz.write_seeds(folder)[kind]
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(seed.read_bytes())
    path = folder / f"case{''.join(seed.suffixes)}"

    def execute(content: bytes) -> None:
        path.write_bytes(content)
        with suppress(LfiMflowError):
            fuzz.TARGETS[kind].read(path)

    limits = [f"-timeout={fuzz.HANG_SECONDS * 30}", "-rss_limit_mb=2048", "-max_len=65536"]
    atheris.Setup([sys.argv[0], str(corpus), *limits, *options], execute)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
