"""A file that is made: where it stands, with its job and its row of the report."""

from __future__ import annotations

from collections.abc import Callable

from nafnet.errors import NafnetError
from nafnet.images.header import Header
from nafnet.runtime.engine.events import Item
from nafnet.runtime.folder.report import FileReport, Status
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.standing import Standing


class FileItem(Item):
    """A file that is read, restored and written.

    Its photograph is the engine's item, and of that may be made several files; see
    `nafnet.runtime.folder.photograph.PhotographItem`.

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

    def opened(self, header: Header, target: Header, colours: str) -> None:
        """Its photograph is read: it has this header, its file will have that, and its values stand for these."""
        self.header, self.target = header, target
        self.row.width, self.row.height, self.row.frames = header.width, header.height, header.timing.frames
        self.row.colours = colours
        self.row.notes = list(dict.fromkeys([*self.row.notes, *target.notes]))  # it may be opened again

    def settle(self, status: Status) -> None:
        """It is done, in this way."""
        if self.finish():
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
        self.row.status = status
        self.header = self.target = None  # its metadata can be megabytes, and there may be thousands of files
        self._on_done(self.row)
