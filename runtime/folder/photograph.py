"""A photograph on its way through the stages: the engine's item, and the files that are made of it.

It is decoded once and goes once through the model, for however many files. What happens to it happens to all of them
that are under way; what happens to one of them is its own.
"""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nafnet.images.header import Header
from nafnet.runtime.engine.events import Item, Layout, Opened, State
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.folder.report import FileReport
from nafnet.runtime.folder.settings import AS_IS, Encoding
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.standing import photograph_times
from nafnet.words import counted


class PhotographItem(Item):
    """A photograph that is read and restored.

    Args:
        work: the jobs of one source, with their rows of the report.
        on_done: called once with each row, from any stage's thread, when it is settled.
        on_settled: called once, likewise, when all of them are.
    """

    def __init__(
        self, work: Sequence[tuple[Job, FileReport]], on_done: Callable[[FileReport], None],
        on_settled: Callable[[PhotographItem], None] = lambda _: None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._on_done, self._on_settled = on_done, on_settled
        self.files = [FileItem(job, row, self._one_done) for job, row in work]
        self.wanted: Sequence[FileItem] = ()
        """Of these, what is to be made, as far as it is known."""
        self.digest = ""
        """SHA-256 of it, once it is known."""
        self._left, self._counting = len(self.files), threading.Lock()

    @functools.cached_property
    def times(self) -> tuple[int, int]:
        """Its bytes and time of change, when they were first asked for: before it is read."""
        return photograph_times(self.source)

    @property
    def source(self) -> Path:
        """Where it lies."""
        return self.files[0].job.source

    @property
    def sheet(self) -> Path | None:
        """Where a picture of its files goes."""
        return self.files[0].job.sheet

    @property
    def metadata_bytes(self) -> int:
        """Of what it carries beside its pixels, while it is on its way."""
        return max((file.metadata_bytes for file in self.wanted), default=0)  # they share it

    @property
    def state(self) -> State:
        """Where it stands: that of the file that has the longest way to go."""
        states = {file.state for file in self.files}
        return next(state for state in (State.AGAIN, State.UNDER_WAY, State.FAILED, State.DONE) if state in states)

    @property
    def under_way(self) -> bool:
        """Whether its rows are still worth handling."""
        return any(file.under_way for file in self.files)

    def begin(self) -> None:
        """Its first row is about to be fed, perhaps not for the first time."""
        super().begin()
        self.wanted = ()
        for file in self.files:
            file.begin()

    def ask_again(self) -> None:
        """What is under way of it is void."""
        for file in self.files:
            file.ask_again()

    def fail(self, error: Exception) -> bool:
        """It failed, and with it each of its files that is not settled; says whether there was any."""
        failed = [file for file in self.files if file.fail(error)]
        return bool(failed)

    def opened(self, header: Header, encoding: Encoding) -> Opened[PhotographItem]:
        """The event that begins it, from the header of its source.

        Raises:
            ImageError: the format to write cannot hold it.
        """
        target = encoding.target(header, self.files[0].job)
        for file in self.wanted:
            file.opened(header, target, header.space.name if encoding.colours else AS_IS)
        layout = Layout(
            height=header.height, frames=header.timing.frames, width=header.width, channels=header.channels,
            alpha=header.alpha,
            given=header.pixel_type, wanted=target.pixel_type,
            looks=tuple(encoding.look_of(file.job) for file in self.wanted),
            space=header.space if encoding.colours else None, wanted_space=target.space if encoding.colours else None,
        )  # fmt: skip
        return Opened(self, layout)

    def decoded_in(self, seconds: float) -> None:
        """Decoding took so long; each file has its share of it."""
        for file in self.wanted:
            file.row.seconds["decode"] += seconds / len(self.wanted)

    def note(self, line: str) -> None:
        """Note it of each file that is under way."""
        for file in self.wanted:
            if file.under_way:
                file.row.notes.append(line)

    def _one_done(self, row: FileReport) -> None:
        row.tiles, row.flagged = self.tiles, self.recomputed
        row.seconds["infer"] = self.infer_seconds / max(len(self.wanted), 1)
        if self.recomputed and row.status == "restored":
            row.notes.append(
                f"{counted(self.recomputed, 'tile')} of {self.tiles} had impossible values and were computed again "
                "in full precision; the picture is fine"
            )
        self._on_done(row)
        with self._counting:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._on_settled(self)


def photographs(
    jobs: Sequence[Job], rows: Sequence[FileReport], on_done: Callable[[FileReport], None],
    on_settled: Callable[[PhotographItem], None],
) -> Iterator[PhotographItem]:  # fmt: skip
    """Jobs, with a row for each, by their photographs: the strengths of one are neighbours."""
    numbered = zip(itertools.count(), jobs, rows, strict=False)
    together = itertools.groupby(numbered, key=lambda each: each[0] if each[1].strength is None else each[1].source)
    for _, group in together:
        yield PhotographItem([(job, row) for _, job, row in group], on_done, on_settled)
