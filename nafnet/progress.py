"""Progress of long work: a bar on a terminal; in a log a line after five seconds, and then ever more rarely."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from nafnet.words import lasting, printable

Item = TypeVar("Item")
FIRST = 5.0
"""Seconds of a task before its first line."""
MOST = 60.0
"""Seconds from one line to the next, at most; each time is twice the one before."""


class PlainConsole(Console):
    """Rich's console, for which text is text: names of files can hold markup, and commands to the terminal."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is shown passes here: text, tables, bars."""
        for segment in super().render(renderable, options):
            lines = "\n".join(map(printable, segment.text.split("\n")))
            yield segment if segment.control else Segment(lines, segment.style)


class LoggedProgress(Progress):
    """Rich's progress bar; where there is no terminal, for which rich shows nothing, lines in its place.

    Args:
        columns: of the bar; by default what is done, how much of it, and the time it took and has left.
        console: where to; standard output by default.
        quiet: show neither.
        line: what a task's line says.
    """

    def __init__(
        self,
        *columns: ProgressColumn,
        console: Console | None = None,
        quiet: bool = False,
        line: Callable[[Task], str] | None = None,
    ) -> None:
        console = console or PlainConsole()
        columns = columns or (
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            TimeRemainingColumn(),
        )  # fmt: skip
        super().__init__(*columns, console=console, disable=quiet or not console.is_terminal)
        self.writes_lines = not quiet and not console.is_terminal
        """Whether it is a log."""
        self._line = line or line_of
        self._lines = LineTimes()
        self._ended = threading.Event()

    def start(self) -> None:
        """Show the bar, or begin to write lines."""
        super().start()
        if self.writes_lines:
            threading.Thread(target=self._write, daemon=True).start()

    def stop(self) -> None:
        """Show no more."""
        self._ended.set()
        super().stop()

    def _write(self) -> None:
        while not self._ended.wait(1):
            running = [task for task in self.tasks if task.started and not task.finished]
            if running and self._lines.due(running[-1].id, time.monotonic()):
                self.console.print(self._line(running[-1]), highlight=False, markup=False, soft_wrap=True)


def tracked(progress: Progress, items: Sequence[Item], description: str) -> Iterator[Item]:
    """The items one by one, with a task of `progress` that goes when they are through."""
    task = progress.add_task(description, total=len(items))
    try:
        for item in items:
            yield item
            progress.advance(task)
    finally:
        progress.remove_task(task)


@contextlib.contextmanager
def busy(progress: Progress, description: str) -> Iterator[None]:
    """A task of `progress` for work of which nobody knows the length, while this is open."""
    task = progress.add_task(description, total=None)
    try:
        yield
    finally:
        progress.remove_task(task)


class LineTimes:
    """When a task's next line is due."""

    def __init__(self) -> None:
        self._next: dict[int, tuple[float, float]] = {}

    def due(self, task: int, now: float) -> bool:
        """Whether the task gets a line at `now`, in seconds; the first call for a task is taken for its start."""
        at, pause = self._next.setdefault(task, (now + FIRST, FIRST))
        if now < at:
            return False
        pause = min(2 * pause, MOST)
        self._next[task] = (now + pause, pause)
        return True


def line_of(task: Task) -> str:
    """What a task has done so far, and how long the rest will take if that can be told.

    A task's field `left` has the seconds where its owner knows them better than its pace of late; 0 if not yet.
    """
    if task.total is None:
        return task.description
    seconds = task.fields.get("left", task.time_remaining)
    left = f", {lasting(seconds)} left" if seconds else ""
    return f"{task.description}: {task.completed:,.0f} of {task.total:,.0f}{left}"
