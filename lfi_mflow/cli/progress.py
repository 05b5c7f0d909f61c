"""How far a command is: a bar on a terminal, plain lines otherwise.

Both are callbacks for the library and context managers; both write to stderr.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lfi_mflow.cli.console import log, speaks

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from lfi_mflow.training import Phase, Progress, ProgressCallback

__all__ = ["counting", "training", "working"]

_LINE_SECONDS = 5.0


@contextmanager
def counting(
    verb: str, unit: str, total: int | None, console: Console | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a count that grows, with its rate.

    Arguments:
        verb: What is done, such as "simulating".
        unit: What is counted.
        total: Where it ends, None if unknown.
        console: Where the bar is drawn; stderr by default, if it is a terminal.

    Yields:
        A function of the count so far. Its first call is the start, which may
        not be zero when a run is resumed.
    """
    console = console or _terminal()
    if console is None:
        yield _CountLines(verb, unit, total)
        return
    with _bar(console, "{task.fields[rate]}") as bar:
        yield _CountBar(bar, bar.add_task(verb, total=total, rate=""), unit)


@contextmanager
def training(
    phases: tuple[Phase, ...], console: Console | None = None
) -> Iterator[ProgressCallback]:
    """Show the phases of a training with losses, learning rate and time left.

    Arguments:
        phases: The phases.
        console: Where the bars are drawn; stderr by default, if it is a terminal.

    Yields:
        A callback for :func:`lfi_mflow.training.fit`.
    """
    epochs = {phase.name: phase.epochs for phase in phases}
    console = console or _terminal()
    if console is None:
        yield _TrainingLines(epochs)
        return
    with _bar(console, "{task.fields[state]}") as bar:
        yield _TrainingBars(bar, epochs)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is being done whose length is not known."""
    console = _terminal()
    if console is None:
        log(f"{what} ...")
        yield
        return
    with console.status(f"{what} ..."):
        yield


class _Rate:
    """Counts per second since the first count."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, done: int) -> float:
        """Return the rate so far; zero at first."""
        now = time.monotonic()
        if self._start is None:
            self._start = now, done
        seconds = now - self._start[0]
        return (done - self._start[1]) / seconds if seconds > 0 else 0.0


class _CountLines:
    """A line of text every few seconds and at the end."""

    def __init__(self, verb: str, unit: str, total: int | None) -> None:
        self._verb, self._unit, self._total = verb, unit, total
        self._rate, self._next = _Rate(), time.monotonic() + _LINE_SECONDS

    def __call__(self, done: int) -> None:
        """Take the count so far."""
        rate = self._rate(done)
        if time.monotonic() < self._next and done != self._total:
            return
        self._next = time.monotonic() + _LINE_SECONDS
        of = "" if self._total is None else f" of {self._total:,}"
        log(f"{self._verb}: {done:,}{of} {self._unit}, {_per_second(rate, self._unit)}")


class _CountBar:
    """A bar."""

    def __init__(self, bar: Bar, task: Any, unit: str) -> None:
        self._bar, self._task, self._unit, self._rate = bar, task, unit, _Rate()

    def __call__(self, done: int) -> None:
        """Take the count so far."""
        rate = _per_second(self._rate(done), self._unit)
        self._bar.update(self._task, completed=done, rate=rate)


class _TrainingLines:
    """A line of text at the end of each epoch."""

    def __init__(self, epochs: Mapping[str, int]) -> None:
        self._epochs, self._phase = epochs, ""
        self._start = (0.0, 0)

    def __call__(self, progress: Progress) -> None:
        """Take the state of the training."""
        if progress.phase != self._phase:
            self._phase, self._start = progress.phase, (time.monotonic(), progress.step)
        if not progress.epoch_ended:
            return
        total = self._epochs[progress.phase]
        epoch = round(progress.step * total / progress.steps)
        log(f"{progress.phase} epoch {epoch}/{total}: {_state(progress)}{self._left(progress)}")

    def _left(self, progress: Progress) -> str:
        """Say how long the phase will take, once that can be known."""
        seconds, steps = time.monotonic() - self._start[0], progress.step - self._start[1]
        if not steps or progress.step == progress.steps:
            return ""
        return f", {seconds / steps * (progress.steps - progress.step):.0f} s left"


class _TrainingBars:
    """A bar for each phase that has begun."""

    def __init__(self, bar: Bar, epochs: Mapping[str, int]) -> None:
        self._bar, self._epochs = bar, epochs
        self._tasks: dict[str, Any] = {}

    def __call__(self, progress: Progress) -> None:
        """Take the state of the training."""
        if progress.phase not in self._tasks:
            # What an earlier run has done is where the bar begins: it gives no speed.
            self._tasks[progress.phase] = self._bar.add_task(
                progress.phase, total=progress.steps, completed=progress.step, state=""
            )
        self._bar.update(
            self._tasks[progress.phase], completed=progress.step, state=_state(progress)
        )


def _state(progress: Progress) -> str:
    """Write losses and learning rate."""
    shown = "-" if math.isnan(progress.validation) else f"{progress.validation:.4g}"
    return f"loss {progress.loss:.4g}, validation {shown}, rate {progress.learning_rate:.1e}"


def _per_second(rate: float, unit: str) -> str:
    """Write a rate with at most four digits."""
    for factor, prefix in ((1e6, "M "), (1e3, "k ")):
        if rate >= factor:
            return f"{rate / factor:.2f} {prefix}{unit}/s"
    return f"{rate:.0f} {unit}/s"


def _terminal() -> Console | None:
    """Return the console of stderr if somebody sees it."""
    if not (speaks() and sys.stderr.isatty()):
        return None
    from rich.console import Console  # noqa: PLC0415 - help needs none of it

    return Console(stderr=True)


def _bar(console: Console, fields: str) -> Bar:
    """Return a progress display: name, bar, percentage, some fields, time left."""
    from rich import progress  # noqa: PLC0415

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.TaskProgressColumn(),
        progress.TextColumn(fields),
        progress.TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        refresh_per_second=4,
    )
