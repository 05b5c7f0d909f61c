"""A file that HDF5 can always close, also on a full disk and after Ctrl-C.

When a write fails, HDF5 cannot close its file any more, and the process dies
with a segmentation fault when the library is unloaded. So HDF5 writes through
an object that keeps the first error to itself and from then on throws away what
it is given: HDF5 closes an incomplete file in peace, and the error is raised
afterwards, in Python. Signals that come while HDF5 is at work wait for the same moment.
"""

from __future__ import annotations

import inspect
import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import h5py

from lfi_mflow.interruption import SIGNALS

__all__ = ["Sink", "create_hdf5"]


class Sink(io.FileIO):
    """A new file whose writes never raise.

    Arguments:
        path: Where the file is created; it must not exist.

    Attributes:
        error: The first error of the system, None as long as all is well.
        waiting: Signals that have come in a call of HDF5.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "xb+")
        self.error: OSError | None = None
        self.waiting: list[int] = []

    def write(self, data: Any) -> int:
        """Write all of ``data``, or note the error and drop it."""
        view = memoryview(data)
        done = 0
        while self.error is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file, or note the error."""
        if self.error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.error = error
        return size or 0

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer; what was never written reads as zeros."""
        view = memoryview(buffer)
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def raise_error(self) -> None:
        """Raise the noted error, or what the signals that have waited raise."""
        if self.error is not None:
            raise self.error
        while self.waiting:
            signal.raise_signal(self.waiting.pop())


@contextmanager
def create_hdf5(path: Path) -> Iterator[tuple[h5py.File, Sink]]:
    """Create an HDF5 file with checksummed metadata that HDF5 1.10 and later read.

    Call ``sink.raise_error()`` after each block, so that a full disk or Ctrl-C ends the
    work at once; it is called at the end in any case.

    Raises:
        OSError: What the system said when a write failed.
    """
    with Sink(path) as sink:
        with _waiting_signals(sink), h5py.File(sink, "w", libver=("v110", "v110")) as file:
            yield file, sink
        sink.raise_error()


@contextmanager
def _waiting_signals(sink: Sink) -> Iterator[None]:
    """Let signals wait that come while HDF5 opens, writes or closes a file.

    Python handles them in the main thread, and only there can that be changed.
    """
    main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in SIGNALS if main}
    handlers = {number: how for number, how in before.items() if callable(how)}

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_within(frame):
            sink.waiting.append(number)
        else:
            handlers[signal.Signals(number)](number, frame)

    try:
        for number in handlers:
            signal.signal(number, handle)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _is_within(frame: FrameType | None) -> bool:
    """Whether HDF5 is at work: it has called the sink, or is called to open or close."""
    while frame is not None:
        if frame.f_code in _AT_WORK:
            return True
        frame = frame.f_back
    return False


_AT_WORK: frozenset[CodeType] = frozenset(
    inspect.unwrap(function).__code__
    for function in (Sink.write, Sink.truncate, Sink.readinto, create_hdf5)
)
