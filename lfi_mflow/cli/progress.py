"""How far a command is: a bar on a terminal, plain lines otherwise.

Both are callbacks for the library and context managers; both write to stderr. The lines
go to the log file in any case.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

from lfi_mflow.cli.console import log, note
from lfi_mflow.cli.voice import voice

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from lfi_mflow.training import Phase, Progress, ProgressCallback

__all__ = ["both", "counting", "training", "working"]

T = TypeVar("T")
Say = Callable[..., None]

_LINE_SECONDS = 5.0
_STILL_SECONDS = 60.0


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
        yield _CountLines(verb, unit, total, log)
        return
    with _bar(console, "{task.fields[rate]}") as bar:
        shown = _CountBar(bar, bar.add_task(verb, total=total, rate=""), unit)
        yield both(shown, _CountLines(verb, unit, total, note))


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
        yield _TrainingLines(epochs, log)
        return
    with _bar(console, "{task.fields[state]}") as bar:
        yield both(_TrainingBars(bar, epochs), _TrainingLines(epochs, note))


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that something is being done whose length is not known."""
    console = _terminal()
    say = log if console is None else note
    say(f"{what} ...")
    still = _Still(what, say)
    still.start()
    try:
        with nullcontext() if console is None else console.status(f"{what} ..."):
            yield
    finally:
        still.stop()


class _Still(threading.Thread):
    """A sign of life from time to time, while nothing else is said."""

    def __init__(self, what: str, say: Say) -> None:
        super().__init__(daemon=True)
        self._what, self._say = what, say
        self._start, self._end = time.monotonic(), threading.Event()

    def run(self) -> None:
        """Say that the work goes on, until it has ended."""
        while not self._end.wait(_STILL_SECONDS):
            seconds = time.monotonic() - self._start
            self._say(f"{self._what}: at work for {_duration(seconds)}", seconds=seconds)

    def stop(self) -> None:
        """Say no more."""
        self._end.set()
        self.join()


def both(first: Callable[[T], None], second: Callable[[T], None]) -> Callable[[T], None]:
    """Return a callback that calls two."""

    def call(value: T) -> None:
        first(value)
        second(value)

    return call


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

    def __init__(self, verb: str, unit: str, total: int | None, say: Say) -> None:
        self._verb, self._unit, self._total, self._say = verb, unit, total, say
        self._rate, self._next = _Rate(), time.monotonic() + _LINE_SECONDS

    def __call__(self, done: int) -> None:
        """Take the count so far."""
        rate = self._rate(done)
        if time.monotonic() < self._next and done != self._total:
            return
        self._next = time.monotonic() + _LINE_SECONDS
        of = "" if self._total is None else f" of {self._total:,}"
        left = self._left(done, rate)
        self._say(
            f"{self._verb}: {done:,}{of} {self._unit}, {_per_second(rate, self._unit)}"
            f"{_in_words(left)}",
            task=self._verb,
            done=done,
            total=self._total,
            per_second=rate,
            seconds_left=left,
        )

    def _left(self, done: int, rate: float) -> float | None:
        """Return how long it will take, None if that is not known or nothing is left."""
        if self._total is None or done >= self._total or rate <= 0.0:
            return None
        return (self._total - done) / rate


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

    def __init__(self, epochs: Mapping[str, int], say: Say) -> None:
        self._epochs, self._phase, self._say = epochs, "", say
        self._start = (0.0, 0)

    def __call__(self, progress: Progress) -> None:
        """Take the state of the training."""
        if progress.phase != self._phase:
            self._phase, self._start = progress.phase, (time.monotonic(), progress.step)
        if not progress.epoch_ended:
            return
        total = self._epochs[progress.phase]
        epoch = round(progress.step * total / progress.steps)
        left = self._left(progress)
        self._say(
            f"{progress.phase} epoch {epoch}/{total}: {_state(progress)}{_in_words(left)}",
            **{**dataclasses.asdict(progress), "epoch": epoch, "epochs": total},
            seconds_left=left,
        )

    def _left(self, progress: Progress) -> float | None:
        """Return how long the phase will take, once that can be known."""
        seconds, steps = time.monotonic() - self._start[0], progress.step - self._start[1]
        if not steps or progress.step == progress.steps:
            return None
        return seconds / steps * (progress.steps - progress.step)


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


def _in_words(left: float | None) -> str:
    """Write how long something will take, if that is known."""
    return "" if left is None else f", {_duration(left)} left"


def _duration(seconds: float) -> str:
    """Write a duration in the unit that one thinks of it in."""
    for factor, unit in ((86_400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * factor:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds:.0f} s"


def _terminal() -> Console | None:
    """Return the console of stderr if somebody sees it and wants a bar."""
    if not voice().draws:
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
