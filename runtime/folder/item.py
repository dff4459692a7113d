"""A file on its way through the stages: the engine's item, with its job and its row of the report."""

from __future__ import annotations

from collections.abc import Callable

from nafnet.errors import NafnetError
from nafnet.images.header import Header
from nafnet.runtime.engine.events import Item, Layout, Opened
from nafnet.runtime.folder.report import FileReport, Status
from nafnet.runtime.folder.settings import AS_IS, Encoding
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.standing import Standing
from nafnet.words import counted


class FileItem(Item):
    """A file that is read, restored and written.

    Args:
        job: what it is.
        row: of the report; filled in on the way.
        on_done: called once with the row, from any stage's thread, when it is settled.
    """

    def __init__(self, job: Job, row: FileReport, on_done: Callable[[FileReport], None]) -> None:
        super().__init__()
        self.job, self.row, self._on_done = job, row, on_done
        self.header: Header | None = None
        """Of the source, and"""
        self.target: Header | None = None
        """of the file to write; known once the source is opened."""
        self.digest = ""
        """SHA-256 of the source, once it is known,"""
        self.times = (-2, -2)
        """and its bytes and time of change before it was read."""
        self.standing: Standing | None = None
        """How its output stood before the work; None where nobody asked."""
        self.result_sha256 = ""
        """Of the restored file, once it is written."""

    @property
    def metadata_bytes(self) -> int:
        """Of what the file carries beside its pixels, while it is on its way."""
        target = self.target
        return target.metadata.size if target else 0

    def opened(self, header: Header, encoding: Encoding) -> Opened[FileItem]:
        """The event that begins it, from the header of its source.

        Raises:
            ImageError: the format to write cannot hold it.
        """
        target = encoding.target(header, self.job.format)
        self.header, self.target = header, target
        self.row.width, self.row.height, self.row.frames = header.width, header.height, header.timing.frames
        self.row.colours = header.space.name if encoding.colours else AS_IS
        self.row.notes = list(dict.fromkeys([*self.row.notes, *target.notes]))  # it may be opened again
        layout = Layout(
            height=header.height, frames=header.timing.frames, width=header.width, channels=header.channels,
            alpha=header.alpha, given=header.pixel_type, wanted=target.pixel_type, look=encoding.look,
            space=header.space if encoding.colours else None, wanted_space=target.space if encoding.colours else None,
        )  # fmt: skip
        return Opened(self, layout)

    def settle(self, status: Status) -> None:
        """It is done, in this way."""
        if self.finish():
            if self.recomputed:
                self.row.notes.append(
                    f"{counted(self.recomputed, 'tile')} of {self.tiles} had impossible values and were computed again "
                    "in full precision; the picture is fine"
                )
            self._tell(status)

    def fail(self, error: Exception) -> bool:
        """Whatever goes wrong with this file is its row's error, and the run goes on; the first error counts."""
        if not super().fail(error):
            return False
        kind = "" if isinstance(error, NafnetError) else f"{type(error).__name__}: "
        source, message = self.job.source, f"{kind}{error}"
        named = message if str(source) in message or f"{str(source)!a}" in message else f"{source}: {message}"
        self.row.error = " ".join(named.split())
        self._tell("failed")
        return True

    def _tell(self, status: Status) -> None:
        row = self.row
        row.status, row.tiles, row.flagged = status, self.tiles, self.recomputed
        row.seconds["infer"] = self.infer_seconds
        self.header = self.target = None  # its metadata can be megabytes, and there may be thousands of files
        self._on_done(row)
