"""How far a run is, on stderr: files, megapixels per second, time left; failures as they come."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Self

from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from nafnet.progress import LoggedProgress, PlainConsole
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.paths.job import Job
from nafnet.words import counted, lasting


class MegapixelColumn(ProgressColumn):
    """Files done of all, megapixels restored, and restored per second."""

    def render(self, task: Task) -> Text:
        return Text("  ".join(_done(task)), no_wrap=True)


def _done(task: Task) -> tuple[str, str, str]:
    fields = task.fields
    speed = f"{fields['pixels'] / 1e6 / task.elapsed:.2f}" if task.elapsed and fields["pixels"] else "-"
    files = f"{fields['files']}/{counted(fields['count'], 'file')}"
    return files, f"{fields['pixels'] / 1e6:.1f} MP", f"{speed} MP/s"


def _line(task: Task) -> str:
    """What a log is told."""
    left = f", {lasting(task.time_remaining)} left" if task.time_remaining else ""
    return f"restoring: {', '.join(_done(task))}{left}"


class RunProgress:
    """Follows a pipeline; `advance` and `done` are its callbacks.

    The bar is as long as the files have bytes: their sizes are known at once, their pixels only when they are opened.

    Args:
        jobs: what is to be restored.
        quiet: show no bar; failures are printed all the same.
    """

    def __init__(self, jobs: Sequence[Job], *, quiet: bool) -> None:
        columns = (TextColumn("restoring"), BarColumn(), MegapixelColumn(), TimeRemainingColumn())
        self._bar = LoggedProgress(*columns, console=PlainConsole(stderr=True), quiet=quiet, line=_line)
        self._sizes = {} if quiet else {str(job.target): _size(job) for job in jobs}
        self._left = dict(self._sizes)
        self._files = 0
        self._pixels = 0.0
        self._task = self._bar.add_task(
            "", total=sum(self._left.values()) or None, files=0, count=len(jobs), pixels=0.0
        )

    def advance(self, row: FileReport, pixels: float) -> None:
        """Count restored pixels of a file."""
        self._pixels += pixels
        share = self._sizes.get(row.output, 0.0) * pixels / (row.width * row.height * row.frames)
        self._step(row, share)

    def done(self, row: FileReport) -> None:
        """Print a failed file's error; what was left of it is counted as done, so that the bar ends full."""
        self._files += 1
        self._step(row, self._left.get(row.output, 0.0))
        if row.status == "failed":
            self._bar.console.print(f"failed: {row.error}", soft_wrap=True)

    def _step(self, row: FileReport, size: float) -> None:
        self._left[row.output] = self._left.get(row.output, 0.0) - size
        self._bar.update(self._task, advance=size, files=self._files, pixels=self._pixels)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _size(job: Job) -> float:
    with contextlib.suppress(OSError):
        return float(job.source.stat().st_size)
    return 0.0
