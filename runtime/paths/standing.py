"""How the output of a job stands before the work: absent, done, outdated, or not ours to touch."""

from __future__ import annotations

import dataclasses
import enum
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from nafnet.errors import ImageError
from nafnet.files import file_sha256
from nafnet.runtime.paths.job import Job
from nafnet.runtime.paths.journal import Journal, Record
from nafnet.runtime.paths.outputs import Identity

_CHANGED = "was changed since it was written"
Digest = Callable[[], str]
"""Reads the photograph of a job and gives its SHA-256; called only where times and sizes do not tell."""


class State(enum.Enum):
    """What an output is."""

    ABSENT = "absent"
    DONE = "done"
    """From this very photograph, with this model and these settings."""
    OUTDATED = "outdated"
    """From this photograph, but from another state of it, or with another model or settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """How an output stands."""

    state: State
    identity: Identity | None
    """Of what is there, and may be replaced if it is not done."""
    sha256: str = ""
    """Of what is there, where it is done."""


class Judge:
    """Says of each job's files whether they are done, to be made, or not to be touched.

    Args:
        journal: what is known; None where a single file is written.
        overwrite: replace what is there, whatever it is, and do again what is done.
        since: with `overwrite`, what was recorded later than this counts as done, in seconds since 1970.
        checksum: compare photographs by their content, not by size and time.
    """

    def __init__(
        self, journal: Journal | None, *, overwrite: bool = False, since: float | None = None, checksum: bool = False
    ) -> None:
        self._journal, self._overwrite, self._checksum = journal, overwrite, checksum
        self._since = float("inf") if since is None else since

    def result(self, job: Job, digest: Digest) -> Standing:
        """Of the restored file.

        Raises:
            ImageError: what is there was not made of this photograph, or was changed since; it is not replaced.
        """
        identity = Identity.of(job.target)
        record, reason = self._match(job.target, identity)
        if identity and identity.bytes == 0 and reason == _CHANGED:
            # A name that was taken, on a file system without links, when the power went; it holds nothing to lose.
            return Standing(state=State.OUTDATED, identity=identity)
        if record is None or (self._overwrite and record.time < self._since):
            return self._unmatched(job.target, identity, reason)
        if self._is_same_photograph(record, job, digest):
            if self._journal is not None and record.key == self._journal.key_of(job):
                return Standing(state=State.DONE, identity=identity, sha256=record.output_sha256)
            return self._outdated(job.target, identity, record)
        if _is_same_path(record, job):
            return self._outdated(job.target, identity, record)
        return self._unmatched(job.target, identity, f"was restored from another photograph, {record.input}")

    def comparison(self, job: Job) -> Standing:
        """Of the picture side by side, which is done if it shows the result that stands.

        Raises:
            ImageError: as `result`.
        """
        assert job.compare is not None
        identity = Identity.of(job.compare)
        record, reason = self._match(job.compare, identity)
        if record is None:
            return self._unmatched(job.compare, identity, reason)
        shown, _ = self._match(job.target, Identity.of(job.target))
        done = shown is not None and record.key == shown.output_sha256
        return Standing(state=State.DONE if done else State.OUTDATED, identity=identity)

    def sheet(self, path: Path, key: str) -> Standing:
        """Of a picture of several results, which is done if it shows those that `key` is of.

        Raises:
            ImageError: as `result`.
        """
        identity = Identity.of(path)
        record, reason = self._match(path, identity)
        if record is None:
            return self._unmatched(path, identity, reason)
        return Standing(state=State.DONE if record.key == key else State.OUTDATED, identity=identity)

    def _match(self, path: Path, identity: Identity | None) -> tuple[Record | None, str]:
        """The record of the file as it stands, else why there is none."""
        if identity is None:
            return None, ""
        records = self._journal.of(path) if self._journal else ()
        if not records:
            return None, "was not written from here"
        if not identity.is_file:
            return None, "is no regular file"
        return self._recorded(path, identity, records), _CHANGED

    def _recorded(self, path: Path, identity: Identity, records: Sequence[Record]) -> Record | None:
        quick = (identity.bytes, identity.mtime_ns)
        if known := next((each for each in reversed(records) if (each.bytes, each.mtime_ns) == quick), None):
            return known
        alike = [record for record in reversed(records) if record.bytes == identity.bytes and record.output_sha256]
        if not alike:
            return None
        content = _content(path)  # a folder that was copied has other times
        found = next((record for record in alike if record.output_sha256 == content), None)
        return self._remembered(found, mtime_ns=identity.mtime_ns) if found else None

    def _outdated(self, path: Path, identity: Identity | None, record: Record) -> Standing:
        """What is replaced is read first: some programs change a file and keep its size and time."""
        if record.output_sha256 and _content(path) != record.output_sha256:
            return self._unmatched(path, identity, _CHANGED)
        return Standing(state=State.OUTDATED, identity=identity)

    def _unmatched(self, path: Path, identity: Identity | None, reason: str) -> Standing:
        if identity is None:
            return Standing(state=State.ABSENT, identity=None)
        if self._overwrite and identity.is_file:
            return Standing(state=State.OUTDATED, identity=identity)
        raise ImageError(
            f"{path} is there and {reason}; it is left as it is: choose another output, use --keep-folders where two "
            "photographs have one name, or --overwrite to replace it"
        )

    def _is_same_photograph(self, record: Record, job: Job, digest: Digest) -> bool:
        now = photograph_times(job.source)
        if not self._checksum and _is_same_path(record, job) and (record.input_bytes, record.input_mtime_ns) == now:
            return True
        if digest() != record.sha256:
            return False
        self._remembered(record, input=path_of(job), input_bytes=now[0], input_mtime_ns=now[1])
        return True

    def _remembered(self, record: Record, **changed: str | int) -> Record:
        """The record as things are now, so that the next run need not read the file again."""
        new = dataclasses.replace(record, **changed)  # type: ignore[arg-type]  # mypy takes each field for all of them
        if self._journal and self._journal.is_open and new != record:
            self._journal.add(new)
        return new


def _content(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ImageError(f"{path}: cannot be read ({error.strerror or error})") from error


def photograph_times(path: Path) -> tuple[int, int]:
    """Bytes and time of change of a photograph, through links; impossible ones where it is gone."""
    try:
        state = path.stat()
    except OSError:
        return -2, -2
    return state.st_size, state.st_mtime_ns


def path_of(job: Job) -> str:
    """What a journal calls the photograph: its path without links."""
    return job.real or os.path.realpath(job.source)


def _is_same_path(record: Record, job: Job) -> bool:
    return record.input in (path_of(job), str(job.source))
