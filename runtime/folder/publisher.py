"""Finished files get their names: recorded first, asked once more, and never over what somebody else put there."""

from __future__ import annotations

import stat
import time
from pathlib import Path

from nafnet.files import Place, file_sha256
from nafnet.runtime.folder.item import FileItem
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import Journal, Record
from nafnet.runtime.paths.outputs import Identity, Outputs
from nafnet.runtime.paths.standing import Judge, path_of


class Publisher:
    """Makes the functions that place the files of a run.

    Args:
        outputs: asked for each path.
        journal: where finished files are recorded; None for no record.
        judge: knows how a comparison stands.
    """

    def __init__(self, outputs: Outputs, journal: Journal | None, judge: Judge) -> None:
        self._outputs, self._journal, self._judge = outputs, journal, judge

    @property
    def tag(self) -> str:
        """Goes into the names of temporary files."""
        return self._journal.mark.tag if self._journal else ""

    def result(self, item: FileItem) -> Place:
        """Places the restored file of an item."""
        standing = item.standing
        expected = standing.identity if standing else Identity.of(item.job.target)
        key = self._journal.key_of(item.job) if self._journal else ""

        def place(temporary: Path, path: Path) -> None:
            item.result_sha256 = self._publish(item, "restored", key, temporary, path, expected)

        return place

    def comparison(self, item: FileItem) -> Place:
        """Places the comparison of an item, whose result stands by then.

        Raises:
            ImageError: something else stands in its place.
        """
        expected = self._judge.comparison(item.job).identity

        def place(temporary: Path, path: Path) -> None:
            self._publish(item, "compared", item.result_sha256, temporary, path, expected)

        return place

    def sheet(self, item: FileItem, key: str, expected: Identity | None) -> Place:
        """Places the picture of several results, that of an item among them; `key` says which they are."""

        def place(temporary: Path, path: Path) -> None:
            self._publish(item, "sheet", key, temporary, path, expected)

        return place

    def _publish(
        self, item: FileItem, event: str, key: str, temporary: Path, path: Path, expected: Identity | None
    ) -> str:
        """Record and place; returns the SHA-256 of the file."""
        self._outputs.ask(path, expected)
        content = file_sha256(temporary) if self._journal else ""
        if self._journal:
            state = temporary.stat()
            record = Record(
                event=event, output=self._journal.name_of(path), input=path_of(item.job), sha256=item.digest,
                input_bytes=item.times[0], input_mtime_ns=item.times[1], key=key, output_sha256=content,
                bytes=state.st_size, mtime_ns=state.st_mtime_ns, time=round(time.time(), 3),
            )  # fmt: skip
            self._journal.add(record)
        self._outputs.place(temporary, path, expected)
        return content


def permissions(job: Job) -> int:
    """Of a job's files: no more may read them than the photograph."""
    try:
        return stat.S_IMODE(job.source.stat().st_mode) & 0o666 | 0o600
    except OSError:
        return 0o600
