"""Feed damaged and hostile files to every reader, and see that nothing but one clear error comes.

::

    python benchmarks/fuzz.py --seconds 600 --output benchmarks/results/fuzz.json
    python benchmarks/fuzz.py --reproduce fuzz-failures/model-12345

An execution takes a valid file, changes it, and reads it. One half of the changes are of
bytes: bits flipped, numbers put to extremes, parts cut out, doubled or moved. The other half
are of the structure, where checksums would keep changed bytes from the code behind them: of
the JSON in headers, and of the arrays and links in HDF5. What is counted:

- crash: the process dies (a fault in a C library),
- hang: one execution takes ten seconds of the processor, or waits for five minutes,
- escaped: an exception that is none of ours, `MemoryError` under a limit of 2 GiB included.

Workers are forked and isolated. A file that did one of these is kept in ``fuzz-failures``.
"""

from __future__ import annotations

import argparse
import io
import json
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from fuzz_seeds import write_seeds

from lfi_mflow.closure import ClosureReport
from lfi_mflow.data import ColumnMapping, import_benchmark, import_events, open_events
from lfi_mflow.errors import LfiMflowError
from lfi_mflow.files import atomic_output
from lfi_mflow.flows import load_model
from lfi_mflow.inference import Limits, ScoreFile, load_posterior
from lfi_mflow.provenance import provenance
from lfi_mflow.training import read_run_config

HANG_SECONDS = 10  # of the processor
STILL_SECONDS = 300  # of waiting
MEMORY_BYTES = 2 * 2**30
BATCH = 5_000
Rng = np.random.Generator

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 10**18, -(10**18), 10**400, 1e308, float("nan"), float("inf")),
    *("", "x" * 5000, "../../../etc/passwd", "<script>", "\x00", "a:b.py", [], {}, [[[]]]),
    *([0] * 1000, {"a": {"b": {}}}, "9" * 5000, [None], ["theta"] * 3),
)


def read_events(path: Path) -> None:
    """Read an event file and check its digest."""
    with open_events(path) as file:
        for _ in file.blocks():
            pass
        file.verify()


def read_scores(path: Path) -> None:
    """Read a score file whole."""
    with ScoreFile(path) as file:
        for name in file.columns:
            file.read(name)


def read_columns(path: Path) -> None:
    """Read columns of a file of another program."""
    import_events(path, ColumnMapping(None, ("a", "b + c")), drop_nonfinite=True)


def read_particles(path: Path) -> None:
    """Read columns of an LHE file."""
    import_events(path, ColumnMapping(None, ("pz.final[:,0]", "weight")), drop_nonfinite=True)


def read_madminer(path: Path) -> None:
    """Convert a sample of MadMiner."""
    output = path.with_name("imported.h5")
    import_benchmark(path, output, "sm", force=True, drop_nonfinite=True)


# -- changes of bytes


def change_bytes(content: bytes, rng: Rng) -> bytes:
    """Change a few places of a file."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 5))):
        BYTE_CHANGES[int(rng.integers(len(BYTE_CHANGES)))](data, rng)
        if not data:
            break
    return bytes(data)


def _flip(data: bytearray, rng: Rng) -> None:
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _byte(data: bytearray, rng: Rng) -> None:
    data[int(rng.integers(len(data)))] = int(rng.integers(256))


def _number(data: bytearray, rng: Rng) -> None:
    size = int(rng.choice([1, 2, 4, 8]))
    order = "little" if rng.random() < 0.6 else "big"
    number = NUMBERS[int(rng.integers(len(NUMBERS)))] % 256**size
    place = int(rng.integers(len(data)))
    data[place : place + size] = number.to_bytes(size, order)


def _cut(data: bytearray, rng: Rng) -> None:
    start, stop = sorted(rng.integers(0, len(data) + 1, size=2).tolist())
    if rng.random() < 0.7:
        stop = min(stop, start + 16)
    del data[start:stop]


def _truncate(data: bytearray, rng: Rng) -> None:
    del data[int(rng.integers(len(data))) :]


def _double(data: bytearray, rng: Rng) -> None:
    start = int(rng.integers(len(data)))
    piece = data[start : start + int(rng.integers(1, 64))]
    data[start:start] = piece * int(rng.integers(1, 5))


def _move(data: bytearray, rng: Rng) -> None:
    start, place = rng.integers(0, len(data), size=2).tolist()
    piece = data[start : start + int(rng.integers(1, 64))]
    data[place : place + len(piece)] = piece


BYTE_CHANGES = (_flip, _flip, _byte, _number, _number, _cut, _truncate, _double, _move)


# -- changes of structure


def change_table(table: Any, rng: Rng) -> Any:
    """Change one or two places of a JSON value, at any depth."""
    for _ in range(int(rng.integers(1, 3))):
        table = _change_node(table, rng)
    return table


def _change_node(node: Any, rng: Rng) -> Any:
    """Go down to a random place and put something else there."""
    if isinstance(node, dict) and node and rng.random() < 0.85:
        return _change_object(node, rng)
    if isinstance(node, list) and node and rng.random() < 0.85:
        index = int(rng.integers(len(node)))
        changed = [*node[:index], _change_node(node[index], rng), *node[index + 1 :]]
        return changed + node if rng.random() < 0.1 else changed
    if isinstance(node, int | float) and abs(node) < 1e300 and rng.random() < 0.3:
        return float(node) * float(rng.choice([-1.0, 0.5, 1e3, 1e9]))
    if rng.random() < 0.02:
        return json.loads("[" * 900 + "]" * 900)
    return VALUES[int(rng.integers(len(VALUES)))]


def _change_object(node: dict[str, Any], rng: Rng) -> dict[str, Any]:
    """Leave a key out, add one, or go down."""
    key, draw = list(node)[int(rng.integers(len(node)))], rng.random()
    if draw < 0.08:
        return {name: value for name, value in node.items() if name != key}
    if draw < 0.12:
        return {**node, str(VALUES[int(rng.integers(len(VALUES)))])[:50]: 1}
    return {**node, key: _change_node(node[key], rng)}


def change_json(content: bytes, rng: Rng) -> bytes:
    """Change a JSON file."""
    return json.dumps(change_table(json.loads(content), rng)).encode()


def change_model(content: bytes, rng: Rng) -> bytes:
    """Change header or table of tensors of a model file, and leave its digest out."""
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    texts = header.pop("__metadata__")
    table = json.loads(texts["lfi_mflow"])
    if rng.random() < 0.85:
        table = change_table(table, rng)
    else:
        header = change_table(header, rng)
    text = json.dumps({"__metadata__": {"lfi_mflow": json.dumps(table)}, **header}).encode()
    return struct.pack("<Q", len(text)) + text + data


def change_hdf5(content: bytes, rng: Rng) -> bytes:
    """Change an attribute or an array of an HDF5 file."""
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        file.attrs.pop("lfi_mflow_sha256", None)
        if rng.random() < 0.6 and len(file.attrs):
            _change_attribute(file, rng)
        else:
            _change_array(file, rng)
    return buffer.getvalue()


def _change_attribute(file: h5py.File, rng: Rng) -> None:
    """Change an attribute: its JSON, or the whole."""
    name = list(file.attrs)[int(rng.integers(len(file.attrs)))]
    try:
        value = change_table(json.loads(file.attrs[name]), rng)
        if rng.random() < 0.1:
            file.attrs[name] = rng.normal(size=3)
        else:
            file.attrs[name] = json.dumps(value)[:60_000].replace("\x00", "")
    except (ValueError, TypeError):
        file.attrs[name] = str(VALUES[int(rng.integers(len(VALUES)))]).replace("\x00", "")[:60_000]


def _change_array(file: h5py.File, rng: Rng) -> None:
    """Put something else in the place of an array."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
    name = names[int(rng.integers(len(names)))]
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    makers: tuple[Callable[[], Any], ...] = (
        lambda: None,
        lambda: file.create_group(name),
        lambda: file.__setitem__(name, h5py.SoftLink("/")),
        lambda: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
        lambda: file.__setitem__(name, h5py.ExternalLink("/dev/shm/none.h5", "/x")),
        lambda: file.create_dataset(
            name, shape, dtype, external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)]
        ),
        lambda: file.create_dataset(name, (10**18, *shape[1:]), dtype, chunks=(10**4, *shape[1:])),
        lambda: file.create_dataset(name, (10**15,), "f8", chunks=(2**28,), compression="gzip"),
        lambda: file.create_dataset(name, data=np.array([b"a", b"b"], dtype="S")),
        lambda: file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype()),
        lambda: file.create_dataset(name, data=h5py.Empty("f8")),
        lambda: file.create_dataset(name, data=rng.normal(size=(50, 2, 2))),
        lambda: file.create_dataset(name, data=rng.normal(size=tuple(rng.integers(0, 60, 2)))),
        lambda: file.create_dataset(name, data=np.full(shape, np.nan), dtype="f8"),
        lambda: file.create_dataset(name, (50, 10**7), "f8", chunks=(1, 10**7), compression="gzip"),
        lambda: file.create_dataset(name, (3, 2), "i8", fillvalue=7),
        lambda: file.create_virtual_dataset(name, _elsewhere()),
    )
    makers[int(rng.integers(len(makers)))]()


def _elsewhere() -> h5py.VirtualLayout:
    """Return an array that is in another file."""
    layout = h5py.VirtualLayout((50, 3), "f8")
    layout[:] = h5py.VirtualSource("/dev/shm/none.h5", "x", (50, 3))
    return layout


Change = Callable[[bytes, Rng], bytes]


@dataclass(frozen=True)
class Target:
    """A reader and the changes of its file beside those of bytes."""

    read: Callable[[Path], object]
    change: Change = change_bytes


TARGETS = {
    "events": Target(read_events, change_hdf5),
    "model": Target(load_model, change_model),
    "posterior": Target(lambda path: load_posterior(path).summary(), change_hdf5),
    "scores": Target(read_scores, change_hdf5),
    "closure": Target(ClosureReport.load, change_json),
    "limits": Target(Limits.load, change_json),
    "config": Target(read_run_config),
    "root": Target(read_columns),
    "parquet": Target(read_columns),
    "lhe": Target(read_particles),
    "madminer": Target(read_madminer, change_hdf5),
}


@dataclass
class Found:
    """What was found in a reader.

    Arguments:
        executions: How many files were read.
        refused: How many of them with an error of ours.
        crashes, hangs, escaped: What should not be.
        seconds: Time spent.
        peak_mib: Memory of a worker at most; the libraries alone take most of it.
        examples: The first number of each kind of failure.
    """

    executions: int = 0
    refused: int = 0
    crashes: int = 0
    hangs: int = 0
    escaped: int = 0
    seconds: float = 0.0
    peak_mib: float = 0.0
    examples: dict[str, int] = field(default_factory=dict)


def content_of(kind: str, number: int, seeds: dict[str, bytes]) -> bytes:
    """Return the file of an execution."""
    rng = np.random.default_rng([sum(kind.encode()), number])
    change = change_bytes if number % 2 else TARGETS[kind].change
    try:
        return change(seeds[kind], rng)
    except (ValueError, TypeError, KeyError, OSError, RuntimeError, OverflowError):
        return change_bytes(seeds[kind], rng)  # HDF5 does not write everything


def execute(kind: str, number: int, path: Path, seeds: dict[str, bytes]) -> str | None:
    """Do one execution; return what escaped, "" if it was refused, None if it was read."""
    path.write_bytes(content_of(kind, number, seeds))
    try:
        TARGETS[kind].read(path)
    except LfiMflowError:
        return ""
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
    return None


def work(kind: str, first: int, deadline: float, state: mmap.mmap, log: Path, path: Path) -> None:
    """Do executions until the time is up; the state tells how far it went."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    warnings.simplefilter("ignore")
    refused = 0
    for number in range(first, first + BATCH):
        struct.pack_into("<qq", state, 0, number, refused)
        if time.monotonic() > deadline:
            break
        signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS)
        signal.alarm(STILL_SECONDS)
        outcome = execute(kind, number, path, SEEDS)
        refused += outcome == ""
        if outcome:
            with log.open("a") as file:
                file.write(f"{number} {outcome}\n")
            keep(kind, number, path)
    else:
        struct.pack_into("<qq", state, 0, first + BATCH, refused)


def keep(kind: str, number: int, path: Path) -> None:
    """Keep a file that did what it should not."""
    FAILURES.mkdir(exist_ok=True)
    shutil.copy(path, FAILURES / f"{kind}-{number}")


FAILURES = Path("fuzz-failures")
SEEDS: dict[str, bytes] = {}  # the valid files, which forked workers inherit


def fuzz(kind: str, seconds: float, folder: Path, ending: str, start: int) -> Found:
    """Fuzz one reader for some time."""
    found, first = Found(), start
    state, log = mmap.mmap(-1, 16), folder / f"{kind}.log"
    path = folder / f"case-{kind}{ending}"
    begin = time.monotonic()
    deadline = begin + seconds
    while time.monotonic() < deadline:
        child = os.fork()
        if not child:
            try:
                work(kind, first, deadline, state, log, path)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(70)
        _, status, usage = os.wait4(child, 0)
        number, refused = struct.unpack_from("<qq", state, 0)
        found.executions += number - first
        found.refused += refused
        found.peak_mib = max(found.peak_mib, usage.ru_maxrss / 1024)
        first = number
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise SystemExit(f"the fuzzer itself failed at {kind}:{number}")
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            kind_of = "hangs" if name in ("SIGALRM", "SIGPROF") else "crashes"
            setattr(found, kind_of, getattr(found, kind_of) + 1)
            found.examples.setdefault(name, number)
            keep(kind, number, path)
            found.executions += 1
            first += 1
    for line in log.read_text().splitlines() if log.exists() else ():
        number_text, _, what = line.partition(" ")
        found.escaped += 1
        found.examples.setdefault(what, int(number_text))
    found.seconds = time.monotonic() - begin
    return found


def main() -> int:
    """Read the command line and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all readers together")
    parser.add_argument("--readers", nargs="*", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--first", type=int, default=0, help="number of the first execution")
    parser.add_argument("--reproduce", type=Path, metavar="FAILURE")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        folder = Path(name)
        paths = write_seeds(folder)
        SEEDS.update({kind: path.read_bytes() for kind, path in paths.items()})
        for kind in options.readers:
            TARGETS[kind].read(paths[kind])  # a seed has to be valid
        if options.reproduce:
            return reproduce(options.reproduce, folder, paths)
        found = {}
        for kind in options.readers:
            ending = "".join(paths[kind].suffixes)
            share = options.seconds / len(options.readers)
            found[kind] = fuzz(kind, share, folder, ending, options.first)
            print(kind, asdict(found[kind]), flush=True)
            if options.output:
                save(options.output, found, options.first)
    return int(any(row.crashes + row.hangs + row.escaped for row in found.values()))


def reproduce(failure: Path, folder: Path, paths: dict[str, Path]) -> int:
    """Read a file that was kept again, with its traceback."""
    kind = failure.name.partition("-")[0]
    path = folder / f"case{''.join(paths[kind].suffixes)}"
    shutil.copy(failure, path)
    try:
        TARGETS[kind].read(path)
    except LfiMflowError as error:
        print(f"refused: {error}")
    return 0


def save(output: Path, found: dict[str, Found], first: int) -> None:
    """Write what was found."""
    rows = list(found.values())
    table = {
        **{
            name: sum(getattr(row, name) for row in rows)
            for name in ("executions", "refused", "crashes", "hangs", "escaped")
        },
        "peak_mib": max(row.peak_mib for row in rows),
        "first": first,
        "readers": {kind: asdict(row) for kind, row in found.items()},
        "provenance": {key: value for key, value in provenance().items() if key != "command"},
    }
    with atomic_output(output) as temporary:
        temporary.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
