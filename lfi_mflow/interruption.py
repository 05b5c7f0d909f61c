"""Ctrl-C and its like, wherever they hit."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lfi_mflow.errors import Interrupted

__all__ = ["SIGNALS", "interruptible"]

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What Ctrl-C, batch systems and closed terminals send."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C be ``KeyboardInterrupt`` whatever a library makes of it.

    Code that is interrupted may fail once more while it cleans up, and then it is this error
    that comes out: ``zipfile``, for example, cannot close an archive in which a file is just
    being opened.

    Raises:
        KeyboardInterrupt: If Ctrl-C set off the error.
    """
    outside = sys.exc_info()[1]
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        if any(isinstance(cause, KeyboardInterrupt) for cause in _causes(error, outside)):
            raise KeyboardInterrupt from error
        raise


def _causes(error: BaseException | None, outside: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what set it off, but not what was being handled before."""
    while error is not None and error is not outside:
        yield error
        error = error.__cause__ or error.__context__
