"""The progress bar of a run, on stderr: megapixels done, megapixels per second, time left, failures as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from nafnet.runtime.discovery import Job
from nafnet.runtime.report import FileReport
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from nafnet.errors import ImageError
from nafnet.imagefile import read_header


class MegapixelColumn(ProgressColumn):
    """Megapixels done of all, and per second."""

    def render(self, task: Task) -> Text:
        speed = f"{task.speed / 1e6:.2f}" if task.speed else "-"
        return Text(f"{task.completed / 1e6:.1f}/{(task.total or 0) / 1e6:.1f} MP  {speed} MP/s")


class RunProgress:
    """Follows a pipeline; `advance` and `done` are its callbacks.

    Args:
        jobs: their headers are read for the sum of their pixels; one that cannot be read counts for nothing.
        quiet: show no bar; failures are printed all the same.
    """

    def __init__(self, jobs: Sequence[Job], *, quiet: bool) -> None:
        columns = (TextColumn("restoring"), BarColumn(), MegapixelColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=quiet, speed_estimate_period=60)
        self._left = {} if quiet else {str(job.source): float(_pixels(job)) for job in jobs}
        self._task = self._bar.add_task("", total=sum(self._left.values()))

    def advance(self, source: str, pixels: float) -> None:
        """Count restored pixels of a file."""
        self._left[source] = self._left.get(source, 0) - pixels
        self._bar.advance(self._task, pixels)

    def done(self, row: FileReport) -> None:
        """Print a failed file's error; what was left of it is counted as done, so that the bar ends full."""
        self.advance(row.input, self._left.get(row.input, 0))
        if row.status == "failed":
            self._bar.console.print(f"failed: {row.error}", highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _pixels(job: Job) -> int:
    try:
        header = read_header(job.source)
    except ImageError:
        return 0
    return header.width * header.height
