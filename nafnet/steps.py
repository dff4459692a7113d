"""What takes long says so: how far it is, told to whoever asked, and drawn on standard error in one place."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

import click

from nafnet.words import printable

if TYPE_CHECKING:
    from rich.progress import Progress

OnStep = Callable[[str, float, float], None]
"""Told what is being done, how much of it is done, and how much there is, in any unit; 0 where that is not known."""


def unwatched(what: str, done: float, total: float) -> None:
    """An `OnStep` for when nobody looks."""


class Pace:
    """How long the step at hand takes, and when a log is to get a line: often where something new is done, else rarely.

    Times are in seconds, of any clock that does not go back.
    """

    EVERY = 4.0
    """Between two lines, where something else is being done by now."""
    PATIENCE = 30.0
    """Between two lines on the same step."""

    def __init__(self, now: float) -> None:
        self.what = ""
        """What is being done."""
        self._done = self._total = 0.0
        self._began = self._at = now
        self._first = 0.0
        self._told, self._last = "", now

    def step(self, what: str, done: float, total: float, now: float) -> None:
        """Take what an `OnStep` is told. Steps towards one total are one piece of work, and are timed together."""
        goes_on = total == self._total and done >= self._done and (total > 0 or what == self.what)
        if not goes_on:
            self._began, self._first = now, done
        self.what, self._done, self._total, self._at = what, done, total, now

    def spoke(self, now: float) -> None:
        """Something else was printed, so it is not silent."""
        self._last = now

    def due(self, now: float) -> str | None:
        """The line that a log is to get now, if any."""
        again = self.what == self._told
        if not self.what or now - self._last < (self.PATIENCE if again else self.EVERY):
            return None
        self._told, self._last = self.what, now
        return f"{self.what}{self.time(now, spent=again)}"

    def time(self, now: float, *, spent: bool) -> str:
        """`, about 20 s left`, else `, 20 s so far` if `spent` is wanted, or nothing."""
        part, took = self._done - self._first, self._at - self._began
        # The first steps are slower than the rest, and a guess from them alone is wrong by minutes.
        if 0 < self._total <= 5 * part and self._done < self._total and took >= 1:
            left = max(took / part * (self._total - self._done) - (now - self._at), 1)
            return f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"
        return f", {now - self._began:.0f} s so far" if spent else ""


class Display:
    """Draws steps: in a terminal one line that moves and goes away, elsewhere, as in a log, whole lines now and then.

    `step` is an `OnStep`. Threads may call it.

    Args:
        stream: where to; standard error by default.
        lines: where what is said goes; standard output by default.
        quiet: draw nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, lines: TextIO | None = None, quiet: bool = False) -> None:
        # A service, or a program without a console, has no standard error at all.
        self._stream: TextIO | None = stream or sys.stderr
        self._lines = lines or sys.stdout
        self._quiet = quiet or self._stream is None
        self._moves = (
            self._stream is not None and not quiet and self._stream.isatty() and os.environ.get("TERM") != "dumb"
        )
        self._pace = Pace(time.monotonic())
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._bar: Progress | None = None

    def step(self, what: str, done: float, total: float) -> None:
        """Show what is being done now."""
        with self._lock:
            self._pace.step(what, done, total, time.monotonic())
            if not self._moves:
                return
            if self._bar is None:
                assert self._stream is not None
                self._bar = _bar(self._stream, self._pace)
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=done, total=total or None)

    def say(self, line: str) -> None:
        """Print a line that stays."""
        with self._lock:
            self.clear()
            click.echo(printable(line), file=self._lines)

    def clear(self) -> None:
        """Take the line that moves away, for something else to be printed; the next step brings it back."""
        with self._lock:
            self._pace.spoke(time.monotonic())
            if self._bar:
                self._bar.stop()
                self._bar = None

    def __enter__(self) -> Self:
        if not self._moves and not self._quiet:
            threading.Thread(target=self._write_lines, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
            self.clear()

    def _write_lines(self) -> None:
        while not self._over.wait(0.5):
            with self._lock:
                line = None if self._over.is_set() else self._pace.due(time.monotonic())
                if line:
                    click.echo(printable(line), file=self._stream)


def _bar(stream: TextIO, pace: Pace) -> Progress:
    """One line with a bar, and what is being done beside it."""
    # Imported here: whoever only hands an `OnStep` on needs none of it.
    from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
    from rich.table import Column
    from rich.text import Text

    from nafnet.progress import PlainConsole

    class Words(ProgressColumn):
        def render(self, task: Task) -> Text:  # noqa: ARG002, rich's signature
            return Text(f"{pace.what}{pace.time(time.monotonic(), spent=True)}")

    words = Words(table_column=Column(no_wrap=True, overflow="ellipsis"))
    # Standard output may lead elsewhere than to this terminal, so rich is to leave it alone; see `Display.say`.
    bar = Progress(
        SpinnerColumn(), BarColumn(bar_width=16), words, console=PlainConsole(file=stream), transient=True,
        refresh_per_second=4, redirect_stdout=False, redirect_stderr=False,
    )  # fmt: skip
    bar.add_task("", total=None)
    return bar
